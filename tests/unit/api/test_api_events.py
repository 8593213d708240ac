"""Events and webhooks over REST."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from automation import Event
from automation.store.statement import Op

from .conftest import Face

NOTIFICATION: dict[str, Any] = {
    "version": "4",
    "receiver": "automation",
    "status": "firing",
    "groupKey": '{}:{alertname="HighCpu"}',
    "truncatedAlerts": 3,
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighCpu", "service": name, "severity": "critical"},
            "annotations": {},
            "startsAt": "2026-11-23T09:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus",
        }
        for name in ("api", "web")
    ],
}


async def stored(face: Face) -> int:
    return len((await face.engine.queries.events(limit=1000)).items)


async def test_publish_one(face: Face) -> None:
    """Given a workflow that an event starts, then the receipt names the execution, which is on disk."""
    await face.workflow("heal", {"name": "note", "action_type": "test.record"}, conditions=["service_down"])
    source = await face.as_role("automation_source")
    event = {"type": "service_down", "subject": "api", "id": "e-1", "source": "probe", "time": "2026-11-23T09:00:00Z"}

    response = await source.post("/api/v1/events", json=event)
    again = await source.post("/api/v1/events", json=event)

    assert response.status_code == 202
    receipt = response.json()["receipts"][0]
    assert (receipt["event_id"], receipt["duplicate"], len(receipt["executions"])) == ("e-1", False, 1)
    assert again.json()["receipts"][0] == {
        "event_id": "e-1",
        "duplicate": True,
        "executions": [],
        "skipped": [],
        "woken": [],
    }
    await face.engine.drain()
    viewer = await face.as_role("automation_viewer")
    view = (await viewer.get("/api/v1/events/e-1")).json()
    assert view["event"]["time"] == "2026-11-23T09:00:00.000Z"
    assert view["matched"] is True
    assert [item["id"] for item in view["executions"]] == receipt["executions"]
    assert view["decisions"][0]["outcome"] == "duplicate"
    values = [{"expression": "service_down", "depth": 0, "value": "true"}]
    assert view["considered"] == [
        {"workflow": "heal", "rule": "conditions", "starts": True, "reason": "", "values": values}
    ]
    execution = (await viewer.get(f"/api/v1/executions/{receipt['executions'][0]}")).json()
    assert execution["event"]["time"] == "2026-11-23T09:00:00.000Z"


async def test_an_event_explains_what_it_did_not_start(face: Face, admin: Any) -> None:
    record = {"name": "note", "action_type": "test.record"}
    await face.workflow("off", record, triggers=[{"type": "event", "event": "x"}], enabled=False)
    await face.workflow("hot", record, triggers=[{"type": "event", "event": "x", "condition": "level > 5"}])

    receipt = (await admin.post("/api/v1/events", json={"type": "x", "data": {"level": 1}})).json()["receipts"][0]
    view = (await admin.get(f"/api/v1/events/{receipt['event_id']}")).json()

    assert receipt["skipped"] == ["off: the workflow is disabled"]
    assert [(item["workflow"], item["reason"]) for item in view["considered"]] == [
        ("off", "the workflow is disabled"),
        ("hot", "condition 'level > 5' is false"),
    ]
    decisions = (await admin.get("/api/v1/decisions", params={"kind": "start"})).json()["items"]
    assert decisions[0]["subject"] == "off"
    assert decisions[0]["at"].endswith("Z")


async def test_publish_many(face: Face, admin: Any) -> None:
    """Given a list, then the receipts come in its order, and a pair that is in it twice counts once."""
    events = [{"type": "x", "id": str(n % 9), "source": "s"} for n in range(10)]
    await face.workflow("note", {"name": "note", "action_type": "test.record"}, conditions=["x"])

    response = await admin.post("/api/v1/events", json=events)

    receipts = response.json()["receipts"]
    assert [receipt["event_id"] for receipt in receipts] == [event["id"] for event in events]
    assert [receipt["duplicate"] for receipt in receipts] == [False] * 9 + [True]
    assert (await admin.post("/api/v1/events", json=[])).json()["receipts"] == []
    assert (await admin.post("/api/v1/events", json=[{"type": "y"}] * 1000)).status_code == 202
    assert (await admin.post("/api/v1/events", json=[{"type": "y"}] * 1001)).status_code == 400


WRONG: list[tuple[Any, str, str]] = [
    ({}, "type", "Object missing required field type"),
    ({"type": 7}, "type", "Expected str, got int"),
    ({"type": "x", "data": []}, "data", "Expected object, got array"),
    ({"type": "x", "labels": {"a": 1}}, "labels.a", "must be text, not a whole number"),
    (
        {"type": "x", "typ": "y"},
        "typ",
        "unknown key; an event has data, id, labels, severity, source, subject, time, type",
    ),
    ({"type": "x", "time": "soon"}, "time", "must be a time such as 2026-11-23T09:00:00Z, not 'soon'"),
    ({"type": "x", "time": 1e18}, "time", "is outside of the years 1 to 9999"),
    ({"type": "x", "time": True}, "time", "Expected float, got bool"),
    ("x", "", "an event must be an object, not text"),
    (None, "", "an event must be an object, not null"),
]


async def test_a_wrong_event_refuses_the_whole_list(face: Face, admin: Any) -> None:
    """Given one wrong event in a list, then the answer says which and what, and nothing of it is published."""
    for event, path, message in WRONG:
        if isinstance(event, dict):
            one = (await admin.post("/api/v1/events", json=event)).json()
            assert one["status"] == 400
            assert message in one["detail"]
        many = (await admin.post("/api/v1/events", json=[{"type": "x"}, event, {"type": "x"}])).json()
        place = f"[1].{path}" if path and "missing" not in message else "[1]"
        assert (many["status"], many["problems"]) == (400, [{"path": place, "message": message}])
    for event in ({"type": ""}, {"type": "x" * 201}, {"type": "x", "id": ""}):
        many = (await admin.post("/api/v1/events", json=[{"type": "x"}, event])).json()
        assert (many["status"], many["problems"][0]["path"]) == (400, "[1]")
        assert (await admin.post("/api/v1/events", json=event)).status_code == 400
    assert await stored(face) == 0


async def test_lists_of_events(face: Face, admin: Any) -> None:
    for kind in ("a", "b", "a"):
        await face.engine.publish(Event(type=kind))
    first = (await admin.get("/api/v1/events", params={"limit": 2})).json()
    rest = (await admin.get("/api/v1/events", params={"cursor": first["next_cursor"]})).json()
    assert [item["event"]["type"] for item in first["items"] + rest["items"]] == ["a", "b", "a"]
    assert rest["next_cursor"] is None
    assert first["items"][0]["received_at"].endswith("Z")
    assert len((await admin.get("/api/v1/events", params={"type": "b"})).json()["items"]) == 1
    for path in ("events", "decisions", "audit", "alerts"):
        response = await admin.get(f"/api/v1/{path}", params={"cursor": "x"})
        assert response.status_code == 400
        assert "is not a cursor of this list" in response.json()["detail"]


async def test_ids_may_have_slashes_and_sources(face: Face, admin: Any) -> None:
    for source in ("one", "two"):
        await face.engine.publish(Event(type="x", id="a/b c", source=source))
    assert (await admin.get("/api/v1/events/a/b c")).json()["event"]["source"] == "two"
    assert (await admin.get("/api/v1/events/a%2Fb%20c", params={"source": "one"})).json()["event"]["source"] == "one"
    assert (await admin.get("/api/v1/events/a/b c", params={"source": "three"})).status_code == 404


async def test_alertmanager(face: Face, admin: Any) -> None:
    """Given a notification, then each alert is an event and an alert; what it left out is counted."""
    source = await face.as_role("automation_source")
    trigger = [{"type": "alert", "alert": "HighCpu"}]
    await face.workflow("heal", {"name": "note", "action_type": "test.record"}, triggers=trigger)

    response = await source.post("/webhooks/alertmanager", json=NOTIFICATION)
    again = await source.post("/webhooks/alertmanager", json=NOTIFICATION)

    assert response.status_code == 202
    found = response.json()
    assert [len(receipt["executions"]) for receipt in found["receipts"]] == [1, 1]
    assert found["truncated"] == 3
    assert [receipt["duplicate"] for receipt in again.json()["receipts"]] == [True, True]
    counted = face.engine.metrics.registry.get_sample_value(
        "automation_events_suppressed_total", {"reason": "truncated"}
    )
    assert counted == 6
    alerts = (await admin.get("/api/v1/alerts", params={"state": "firing"})).json()["items"]
    assert {alert["subject"] for alert in alerts} == {"api", "web"}


async def test_a_malformed_notification_starts_nothing(face: Face, admin: Any) -> None:
    broken = json.loads(json.dumps(NOTIFICATION))
    broken["alerts"][1]["startsAt"] = "yesterday"
    for body in (broken, {}, [], {**NOTIFICATION, "version": "5"}, {**NOTIFICATION, "alerts": {}}):
        response = await admin.post("/webhooks/alertmanager", json=body)
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
    first = (await admin.post("/webhooks/alertmanager", json=broken)).json()
    assert first["problems"][0]["path"] == "alerts[1].startsAt"
    too_long = json.loads(json.dumps(NOTIFICATION))
    too_long["alerts"][1]["labels"]["service"] = "x" * 600
    assert (await admin.post("/webhooks/alertmanager", json=too_long)).status_code == 400
    assert await stored(face) == 0
    assert face.refused("invalid") == 7


async def test_cloudevents(face: Face, admin: Any) -> None:
    event = {"specversion": "1.0", "id": "c-1", "source": "/shop", "type": "order.failed", "data": {"order": 7}}
    one = await admin.post(
        "/webhooks/cloudevents", content=json.dumps(event), headers={"Content-Type": "application/cloudevents+json"}
    )
    many = await admin.post(
        "/webhooks/cloudevents",
        content=json.dumps([{**event, "id": "c-2"}, event]),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    header = {"ce-specversion": "1.0", "ce-id": "c-3", "ce-source": "/shop", "ce-type": "order.failed"}
    binary = await admin.post("/webhooks/cloudevents", json={"order": 8}, headers=header)
    wrong = await admin.post("/webhooks/cloudevents", json=event)

    assert [response.status_code for response in (one, many, binary, wrong)] == [202, 202, 202, 400]
    assert [receipt["duplicate"] for receipt in many.json()["receipts"]] == [False, True]
    assert (await admin.get("/api/v1/events/c-3")).json()["event"]["data"] == {"order": 8}


async def test_while_too_much_waits_for_the_disk_senders_are_told_to_come_again(
    face: Face, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = face.engine.config.events.max_waiting
    writes: Any = property(lambda store: limit)
    for path, body in (("/api/v1/events", {"type": "x"}), ("/webhooks/deploy", {"service": "shop"})):
        for what, name, value in (
            (type(face.engine.store), "pending", writes),
            (face.engine.triggers.dispatcher, "waiting", limit),
        ):
            with monkeypatch.context() as busy:
                busy.setattr(what, name, value)
                answer = await admin.post(path, json=body)
                assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert (await admin.post(path, json=body)).status_code == 202
    assert face.refused("too-many-requests") == 4


async def test_events_that_wait_for_the_disk_are_counted_until_they_are_on_it(face: Face, admin: Any) -> None:
    dispatcher = face.engine.triggers.dispatcher
    publishing = asyncio.gather(
        face.engine.publish(Event(type="x")),
        face.engine.publish_many([Event(type="x") for _ in range(7)]),
        face.engine.publish_many([Event(type="x"), Event(type="")]),
        return_exceptions=True,
    )
    while not dispatcher.waiting:
        await asyncio.sleep(0)
    assert dispatcher.waiting == 8
    await publishing
    assert dispatcher.waiting == 0


async def test_grafana(face: Face, admin: Any) -> None:
    alert = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-11-23T09:00:00Z", "values": {"B": 2}}
    body = {"alerts": [alert], "truncatedAlerts": 1}
    response = await admin.post("/webhooks/grafana", json=body)
    [receipt] = response.json()["receipts"]
    event = (await face.engine.queries.event(receipt["event_id"])).stored.event
    assert (event.type, event.source, event.data["values"]) == ("alert.firing", "grafana", {"B": 2})
    assert response.json()["truncated"] == 1


async def test_an_empty_batch_of_cloudevents_is_nothing(admin: Any) -> None:
    header = {"Content-Type": "application/cloudevents-batch+json"}
    response = await admin.post("/webhooks/cloudevents", content=b"[]", headers=header)
    assert (response.status_code, response.json()["receipts"]) == (202, [])


async def test_any_webhook(face: Face, admin: Any) -> None:
    record = {"name": "note", "action_type": "test.record"}
    await face.workflow("deploy", record, triggers=[{"type": "webhook", "webhook": "github"}])
    delivery = {"X-GitHub-Delivery": "d-1"}

    first = await admin.post("/webhooks/github", json={"ref": "main"}, headers=delivery)
    again = await admin.post("/webhooks/github", json={"ref": "main"}, headers=delivery)
    several = await admin.post("/webhooks/github", json=[{"ref": "a"}, {"ref": "b"}])
    scalar = await admin.post("/webhooks/other", content=b"5", headers={"Content-Type": "text/plain"})

    assert len(first.json()["receipts"][0]["executions"]) == 1
    assert again.json()["receipts"][0]["duplicate"] is True
    assert len(several.json()["receipts"]) == 2
    assert scalar.status_code == 202
    for name in ("1st", "a b", "x" * 200, "%00"):
        assert (await admin.post(f"/webhooks/{name}", json={})).status_code == 400
    assert (await admin.post("/webhooks/github")).status_code == 400
    assert (await admin.get("/webhooks/github")).status_code == 405


async def test_the_test_webhook_takes_a_body_too(face: Face, admin: Any) -> None:
    receipt = (await admin.post("/webhooks/test", json={"service": "api"})).json()["receipts"][0]
    event = (await face.engine.queries.event(receipt["event_id"])).stored.event
    assert (event.type, event.subject, event.data) == ("webhook.test", "api", {"service": "api"})


async def test_a_store_that_cannot_be_written_is_said(face: Face, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a full disk, then publishing is answered 503 with Retry-After."""
    from automation.errors import StoreUnavailable

    async def full(ops: list[Op], facts: object = ()) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(face.engine.store, "commit", full)
        for body in ({"type": "x"}, [{"type": "x"}, {"type": "y"}]):
            response = await admin.post("/api/v1/events", json=body)
            assert (response.status_code, response.headers["retry-after"]) == (503, "2")
            assert response.json()["detail"] == "the disk is full"
