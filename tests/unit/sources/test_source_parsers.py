"""What others post to us: any JSON, Alertmanager's webhook, CloudEvents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.clock import iso, parse_iso
from automation.errors import InputError
from automation.model.event import Event
from automation.sources.alertmanager import events_from_alertmanager, fingerprint_of
from automation.sources.cloudevents import BATCH, STRUCTURED, events_from_cloudevents
from automation.sources.grafana import events_from_grafana
from automation.sources.webhook import events_from_json

HERE = Path(__file__).parent
FIRING = json.loads((HERE / "alertmanager_firing.json").read_text())
RESOLVED = json.loads((HERE / "alertmanager_resolved.json").read_text())


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


# Any JSON


def test_an_object_is_one_event() -> None:
    [event] = events_from_json("deploys", b'{"service": "web", "sha": "abc"}', {}, 64)
    assert (event.type, event.source, event.subject) == ("webhook.deploys", "webhook:deploys", "web")
    assert event.data == {"service": "web", "sha": "abc"}
    [again] = events_from_json("deploys", b'{"service": "web", "sha": "abc"}', {}, 64)
    assert event.id != again.id


@pytest.mark.parametrize("header", ["X-Event-Id", "idempotency-key", "X-GitHub-Delivery"])
def test_the_sender_names_the_event(header: str) -> None:
    [event] = events_from_json("github", b"{}", {header: "d-1", "Content-Type": "application/json"}, 64)
    assert event.id == "d-1"


def test_a_list_of_objects_is_one_event_each_with_ids_of_their_own() -> None:
    events = events_from_json("batch", b'[{"host": "a"}, {"host": "b"}]', {"X-Event-Id": "7"}, 64)
    assert [(event.subject, event.id) for event in events] == [("a", "7:0"), ("b", "7:1")]


@pytest.mark.parametrize("body", [b"5", b'"text"', b"null", b"[1, 2]", b'[{"a": 1}, 2]'])
def test_anything_else_is_a_value(body: bytes) -> None:
    [event] = events_from_json("x", body, {}, 64)
    assert event.data == {"value": json.loads(body)}


@pytest.mark.parametrize("subject", [5, None, "", "two\nlines", "x" * 201, {"a": 1}])
def test_only_what_names_something_is_the_subject(subject: object) -> None:
    [event] = events_from_json("x", dump({"subject": subject, "host": "h1"}), {}, 64)
    assert event.subject == "h1"


def test_an_overlong_id_is_refused() -> None:
    with pytest.raises(InputError, match="x-event-id: must not be longer"):
        events_from_json("x", b"{}", {"X-Event-Id": "x" * 501}, 64)


# Alertmanager


def test_a_firing_alert() -> None:
    [event], truncated = events_from_alertmanager(dump(FIRING), 64)
    started = parse_iso("2026-11-23T01:25:06.632Z")
    assert truncated == 0
    assert (event.type, event.source, event.subject, event.severity) == (
        "alert.firing",
        "alertmanager",
        "web",
        "critical",
    )
    assert event.id == "17101295bd20c89d:firing:2026-11-23T01:25:06.632Z"
    assert event.time == started
    assert event.labels == FIRING["alerts"][0]["labels"]
    assert event.data == {
        "alert": "HighLatency",
        "status": "firing",
        "fingerprint": "17101295bd20c89d",
        "severity": "critical",
        "labels": FIRING["alerts"][0]["labels"],
        "annotations": FIRING["alerts"][0]["annotations"],
        "starts_at": started,
        "ends_at": None,
        "generator_url": "http://vm:8922/graph?g0.expr=app_latency_ms+%3E+800&g0.tab=1",
        "receiver": "hook",
        "group_key": '{}:{alertname="HighLatency", service="web"}',
        "external_url": "http://vm:8923",
    }


def test_a_resolved_alert_is_another_event_at_its_end() -> None:
    [firing], _ = events_from_alertmanager(dump(FIRING), 64)
    [event], _ = events_from_alertmanager(dump(RESOLVED), 64)
    assert event.type == "alert.resolved"
    assert event.time == event.data["ends_at"] == parse_iso("2026-11-23T01:25:15.132Z")
    assert event.id != firing.id
    assert events_from_alertmanager(dump(RESOLVED), 64).events[0].id == event.id


@pytest.mark.parametrize(
    ("labels", "subject"),
    [
        ({"service_name": "a", "job": "b"}, "a"),
        ({"job": "b", "instance": "c"}, "b"),
        ({"service": "", "instance": "c"}, "c"),
        ({}, ""),
    ],
)
def test_the_subject_comes_from_the_labels(labels: dict[str, str], subject: str) -> None:
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-23T01:25:06Z"}
    [event], _ = events_from_alertmanager(dump({"version": "4", "alerts": [alert]}), 64)
    assert event.subject == subject
    assert event.severity is None


def test_without_a_fingerprint_the_labels_name_the_alert() -> None:
    alert = FIRING["alerts"][0]
    turned = {**alert, "fingerprint": "", "labels": dict(reversed(alert["labels"].items()))}
    first = {key: value for key, value in alert.items() if key != "fingerprint"}
    events = events_from_alertmanager(dump({**FIRING, "alerts": [first, turned]}), 64).events
    assert events[0].id == events[1].id
    assert len(events[0].data["fingerprint"]) == 16
    assert fingerprint_of({"ab": "c"}) != fingerprint_of({"a": "bc"})


def test_truncated_alerts_are_told() -> None:
    assert events_from_alertmanager(dump({**FIRING, "truncatedAlerts": 3}), 64).truncated == 3


def changed(path: str, value: object) -> dict[str, Any]:
    body = json.loads(json.dumps(FIRING))
    place = body
    *parts, last = path.split(".")
    for part in parts:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("version", "1", "version: must be '4', as Alertmanager 0.16 and later send it, not '1'"),
        ("version", 4, "version: must be text, not a whole number"),
        ("version", ..., "version: is required"),
        ("alerts", ..., "alerts: is required"),
        ("alerts", {}, "alerts: must be a list, not an object"),
        ("alerts", ["x"], "alerts[0]: must be an object, not text"),
        ("alerts.0.status", "pending", "alerts[0].status: must be 'firing' or 'resolved', not 'pending'"),
        ("alerts.0.labels", ..., "alerts[0].labels: is required"),
        ("alerts.0.labels", None, "alerts[0].labels: must be an object, not null"),
        ("alerts.0.labels.service", 5, "alerts[0].labels.service: must be text, not a whole number"),
        ("alerts.0.annotations.summary", [], "alerts[0].annotations.summary: must be text, not a list"),
        ("alerts.0.startsAt", "now", "alerts[0].startsAt: must be a time such as"),
        ("alerts.0.startsAt", ..., "alerts[0].startsAt: is required"),
        ("alerts.0.endsAt", 5, "alerts[0].endsAt: must be text"),
        ("truncatedAlerts", "many", "truncatedAlerts: must be a whole number, not text"),
    ],
)
def test_what_alertmanager_would_not_send_is_refused_with_its_path(path: str, value: object, says: str) -> None:
    with pytest.raises(InputError) as caught:
        events_from_alertmanager(dump(changed(path, value)), 64)
    assert caught.value.message.startswith(says)


# CloudEvents

CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "order.placed",
    "subject": "o-1",
    "time": "2026-11-23T09:00:00Z",
    "data": {"total": 5},
}


def as_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    return {f"Ce-{key.title()}": value for key, value in attributes.items()}


BINARY = as_headers({key: value for key, value in CLOUD.items() if key != "data"})


def check_cloud(event: Event) -> None:
    assert (event.type, event.source, event.id, event.subject) == ("order.placed", "/shop", "1", "o-1")
    assert iso(event.time) == "2026-11-23T09:00:00.000Z"
    assert event.data == {"total": 5}


def test_structured_and_binary_say_the_same() -> None:
    [event] = events_from_cloudevents(dump(CLOUD), {"content-type": f"{STRUCTURED}; charset=utf-8"}, 64)
    check_cloud(event)
    [event] = events_from_cloudevents(b'{"total": 5}', {"Content-Type": "application/json", **BINARY}, 64)
    check_cloud(event)


def test_a_batch_is_one_event_each() -> None:
    events = events_from_cloudevents(dump([CLOUD, {**CLOUD, "id": "2"}]), {"Content-Type": BATCH}, 64)
    assert [event.id for event in events] == ["1", "2"]
    with pytest.raises(InputError, match=r"^\[1\]: a CloudEvent needs specversion, id, source, type$"):
        events_from_cloudevents(dump([CLOUD, {}]), {"Content-Type": BATCH}, 64)


def test_extension_attributes_become_labels() -> None:
    body = {**CLOUD, "severity": "high", "sequence": 7, "sampled": True, "absent": None, "datacontenttype": "a/b"}
    [event] = events_from_cloudevents(dump(body), {"Content-Type": STRUCTURED}, 64)
    assert event.labels == {"severity": "high", "sequence": "7", "sampled": "true"}
    assert event.severity == "high"
    with pytest.raises(InputError, match="odd: an extension attribute must be text"):
        events_from_cloudevents(dump({**CLOUD, "odd": {}}), {"Content-Type": STRUCTURED}, 64)


def test_headers_are_decoded() -> None:
    headers = {**BINARY, "ce-subject": "Euro%20%E2%82%AC", "ce-note": '"quoted \\"too\\""'}
    [event] = events_from_cloudevents(b"", headers, 64)
    assert event.subject == "Euro €"
    assert event.labels == {"note": 'quoted "too"'}
    assert event.data == {}


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        ("text/plain", "grün".encode(), {"value": "grün"}),
        ("application/vnd.shop+json", b"[1]", {"value": [1]}),
        ("image/png", b"\x89PNG", {"base64": base64.b64encode(b"\x89PNG").decode()}),
        ("", b'"x"', {"value": "x"}),
        ("application/json", b"null", {}),
    ],
)
def test_binary_data_of_any_kind(kind: str, body: bytes, data: dict[str, Any]) -> None:
    [event] = events_from_cloudevents(body, {**BINARY, "content-type": kind}, 64)
    assert event.data == data


def test_structured_data_of_any_kind() -> None:
    def data_of(**changes: object) -> dict[str, Any]:
        body = {key: value for key, value in {**CLOUD, **changes}.items() if value is not ...}
        return events_from_cloudevents(dump(body), {"Content-Type": STRUCTURED}, 64)[0].data

    assert data_of(data=[1]) == {"value": [1]}
    assert data_of(data=...) == {}
    assert data_of(data=..., data_base64="AAA=") == {"base64": "AAA="}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": None, "type": ""}, "a CloudEvent needs id, type"),
        ({"specversion": "0.3"}, "specversion: must be 1.0, not '0.3'"),
        ({"specversion": 1.0}, "specversion: must be text, not a number"),
        ({"id": 5}, "id: must be text"),
        ({"subject": []}, "subject: must be text"),
        ({"time": "soon"}, "time: must be a time such as"),
        ({"data_base64": "AAA="}, "data_base64: there is `data` as well; send one of them"),
        ({"data": None, "data_base64": "*"}, "data_base64: is not base64"),
        ({"data": None, "data_base64": "ä"}, "data_base64: is not base64"),
    ],
)
def test_what_is_no_cloudevent_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        events_from_cloudevents(dump({**CLOUD, **changes}), {"Content-Type": STRUCTURED}, 64)
    assert caught.value.message.startswith(says)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Content-Type": "application/json"}, "not a CloudEvent: send Content-Type"),
        ({"Content-Type": "application/cloudevents+avro"}, "the format 'application/cloudevents+avro' is not read"),
        ({"ce-id": "1"}, "a CloudEvent needs ce-specversion, ce-source, ce-type"),
        ({"Content-Type": STRUCTURED}, "a CloudEvent must be an object, not a list"),
        ({"Content-Type": BATCH}, "[0]: a CloudEvent must be an object, not a whole number"),
    ],
)
def test_requests_that_carry_none_are_refused(headers: dict[str, str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        events_from_cloudevents(b"[1]", headers, 64)
    assert caught.value.message.startswith(says)


# Whatever is sent, it is events or an InputError, and events can be stored.

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def mutated(genuine: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A genuine object with some values replaced by anything."""
    changes = st.dictionaries(st.sampled_from(list(genuine)) | st.text(max_size=5), anything, max_size=3)
    return changes.map(lambda some: {**genuine, **some})


notifications = mutated(FIRING) | mutated(FIRING["alerts"][0]).map(lambda alert: {**FIRING, "alerts": [alert]})
bodies = st.binary(max_size=80) | (anything | notifications | mutated(CLOUD)).map(dump)
headers = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "X-Event-Id", "ce-id", "ce-type", "ce-source", "ce-specversion", "ce-time", "ce-x"]
    ),
    st.text(max_size=10) | st.sampled_from([STRUCTURED, BATCH, "1.0", "text/plain", "2026-01-01T00:00:00Z", "%00"]),
    max_size=7,
)


def check_storable(events: list[Event]) -> None:
    for event in events:
        assert isinstance(event, Event)
        assert event.type
        assert event.id
        msgspec.json.encode(event)
        iso(event.time)


@settings(deadline=None)
@given(bodies, headers)
def test_any_json_is_events_or_an_input_error(body: bytes, headers: dict[str, str]) -> None:
    try:
        check_storable(events_from_json("x", body, headers, 8))
    except InputError:
        pass


@settings(deadline=None)
@given(bodies)
def test_any_grafana_body_is_events_or_an_input_error(body: bytes) -> None:
    try:
        check_storable(events_from_grafana(body, 8).events)
    except InputError:
        pass


@settings(deadline=None)
@given(bodies)
def test_any_alertmanager_body_is_events_or_an_input_error(body: bytes) -> None:
    try:
        check_storable(events_from_alertmanager(body, 8).events)
    except InputError:
        pass


@settings(deadline=None)
@given(bodies, headers)
def test_any_cloudevents_request_is_events_or_an_input_error(body: bytes, headers: dict[str, str]) -> None:
    try:
        check_storable(events_from_cloudevents(body, headers, 8))
    except InputError:
        pass
