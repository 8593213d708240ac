"""All that reads what others send, each as a function of bytes that asserts what has to hold for any.

Only errors of ours come out of a reader; and what it takes can be stored and read back as it was.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable

import cramjam

from automation.clock import VirtualClock, parse_iso
from automation.conditions import compile_condition, compile_expression, compile_template
from automation.definitions.json_tree import read_json
from automation.definitions.rulebook.conditions import NoEquivalent, Scope, read, translated
from automation.definitions.rulebook.layout import Layout
from automation.definitions.tree import Unreadable
from automation.definitions.yaml_tree import read_yaml
from automation.errors import AutomationError, InputError, TryLater
from automation.model.event import Event
from automation.monitoring.collectors.prometheus import PrometheusScrape
from automation.monitoring.collectors.prometheus import _parse as scraped
from automation.sources import remote_write
from automation.sources.alertmanager import events_from_alertmanager
from automation.sources.cloudevents import BATCH, STRUCTURED, events_from_cloudevents
from automation.sources.grafana import events_from_grafana
from automation.sources.http_poll import HttpPoll
from automation.sources.http_poll import _parts as polled
from automation.sources.kubernetes import _event as kubernetes_event
from automation.sources.log import Log
from automation.sources.log import _event as log_event
from automation.sources.payload import parse_json
from automation.sources.record import Origin, Records, event_of
from automation.sources.smtp import Smtp
from automation.sources.smtp import _event as mail_event
from automation.sources.source import SourceContext
from automation.sources.webhook import events_from_json
from automation.store.store import decode, encode
from automation.triggers.dispatcher import check

DEPTH = 64
MOST_UNPACKED = 1_000_000
NOW = 1_800_000_000.0
CONTEXT = SourceContext("fuzz", VirtualClock())
_LOG = Log.model_validate(
    {"path": "x.log", "pattern": r"^(?P<time>[^ ]{1,40}) (?P<severity>\w+) (?P<size>\S+) ", "numbers": ["size"]}
)
_POLL = HttpPoll.model_validate({"url": "http://127.0.0.1/x", "type": "polled", "items": "items", "id_key": "id"})
_MAIL = Smtp(recipients=("*",))
_SCRAPE = PrometheusScrape(url="http://127.0.0.1/metrics", max_samples=50)


def stored(events: Iterable[Event]) -> None:
    """What is not refused when it is published can be stored, and is then what it was."""
    for event in events:
        try:
            check(event)
        except InputError:
            continue
        assert decode(encode(event.data)) == event.data
        assert decode(encode(event.labels)) == event.labels
        assert math.isfinite(event.time)
        for text in (event.type, event.source, event.id, event.subject, event.severity or ""):
            assert text.encode().decode() == text


def webhook(body: bytes) -> None:
    """Any JSON."""
    stored(events_from_json("fuzz", body, {"X-Event-Id": body[:600].decode("latin-1")[-550:]}, DEPTH))


def alertmanager(body: bytes) -> None:
    """Alertmanager, version 4."""
    stored(events_from_alertmanager(body, DEPTH).events)


def grafana(body: bytes) -> None:
    """Grafana's contact point."""
    stored(events_from_grafana(body, DEPTH).events)


def structured(body: bytes) -> None:
    """A CloudEvent, structured."""
    stored(events_from_cloudevents(body, {"Content-Type": STRUCTURED}, DEPTH))


def batched(body: bytes) -> None:
    """CloudEvents in a batch."""
    stored(events_from_cloudevents(body, {"Content-Type": BATCH}, DEPTH))


def binary(body: bytes) -> None:
    """A CloudEvent whose attributes are headers: lines until an empty one, then the data."""
    head, _, data = body.partition(b"\n\n")
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/fuzz", "ce-type": "fuzz"}
    for line in head.split(b"\n"):
        name, _, value = line.decode("latin-1").partition(":")
        if name:
            headers[name] = value
    stored(events_from_cloudevents(data, headers, DEPTH))


def record(body: bytes) -> None:
    """A record of a broker or a file."""
    origin = Origin("fuzz", "1", NOW, "subject", {"topic": "t"})
    for settings in (Records(), Records(type="fuzz"), Records(type_key="kind", subject_key="name")):
        try:
            stored([event_of(body, settings, origin, "a message", values=True)])
        except InputError:
            continue


def written(body: bytes) -> None:
    """A request of remote write, as it is sent."""
    _samples(remote_write.samples_of(body, MOST_UNPACKED, NOW))


def written_unpacked(body: bytes) -> None:
    """The protobuf in such a request."""
    written(bytes(cramjam.snappy.compress_raw(body)))


def written_second(body: bytes) -> None:
    """The protobuf in a request of version 2."""
    packed = bytes(cramjam.snappy.compress_raw(body))
    _samples(remote_write.samples_of(packed, MOST_UNPACKED, NOW, remote_write.VERSION_2))


def _samples(found: remote_write.Written) -> None:
    for sample in found.samples:
        assert sample.name
        assert not math.isnan(sample.value)
        assert sample.time <= found.latest
        assert decode(encode(sample.labels)) == sample.labels
        assert struct.unpack("<d", struct.pack("<d", sample.value))[0] == sample.value


def log_line(body: bytes) -> None:
    """A line of a log."""
    from automation.conditions.regex_safety import bounded

    pattern, limit = bounded(_LOG.pattern)
    text = body.decode(errors="replace")
    found = pattern.search(text[:limit])
    if found is not None:
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        stored([log_event(_LOG, groups, text, "1", CONTEXT)])


def mail(body: bytes) -> None:
    """An e-mail."""
    stored([mail_event("a@example.com", ["b@example.com"], body, _MAIL, CONTEXT)])


def scrape(body: bytes) -> None:
    """A page of metrics."""
    try:
        samples, _ = scraped(_SCRAPE, body, NOW)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise TryLater(f"not in Prometheus' text format: {error}") from None
    assert len(samples) <= _SCRAPE.max_samples


def kubernetes(body: bytes) -> None:
    """An event of Kubernetes."""
    stored([kubernetes_event(parse_json(body, max_depth=DEPTH), "fuzz")])


def poll(body: bytes) -> None:
    """An answer that was asked for."""
    for name, _ in polled(_POLL, body):
        assert name


def condition(body: bytes) -> None:
    """A condition: what parses says the same when it is printed and parsed again."""
    text = body.decode(errors="replace")
    compiled = compile_condition(text)
    again = compile_condition(str(compiled))
    names = {"event": {"type": "t", "data": {"a": 1, "b": "x", "c": [1, None]}}, "a": 1, "b": "x", "c": 2.5}
    assert compiled.evaluate(names) is again.evaluate(names)


def expression(body: bytes) -> None:
    """An expression."""
    compile_expression(body.decode(errors="replace"))({"a": 1, "b": "x", "c": [1, {"d": 2}]})


def template(body: bytes) -> None:
    """A text with expressions in it."""
    compile_template({"value": body.decode(errors="replace")}).render({"a": 1, "b": "x"})


def rulebook_condition(body: bytes) -> None:
    """A condition of ansible-rulebook."""
    try:
        compile_condition(translated(read(body.decode(errors="replace")).tree, Scope(Layout(("t",)), {"x": 1})))
    except NoEquivalent as error:
        raise InputError(str(error)) from None


def yaml_file(body: bytes) -> None:
    """A definition file."""
    try:
        read_yaml(body.decode(errors="replace"))
    except Unreadable as error:
        raise InputError(error.message) from None


def json_file(body: bytes) -> None:
    """A definition file in JSON."""
    try:
        read_json(body.decode(errors="replace"))
    except Unreadable as error:
        raise InputError(error.message) from None


def moment(body: bytes) -> None:
    """A time as ISO 8601 has it."""
    try:
        parse_iso(body.decode(errors="replace"))
    except (ValueError, OverflowError) as error:
        raise InputError(str(error)) from None


_ALERT = {
    "status": "firing",
    "labels": {"alertname": "a", "job": "j", "severity": "high"},
    "annotations": {"x": "y"},
    "startsAt": "2026-11-23T09:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "f",
    "values": {"B": 1.5},
}
_CLOUD = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "t",
    "time": "2026-11-23T09:00:00Z",
    "data": {"a": 1},
}
_KUBERNETES = {
    "metadata": {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-23T09:00:00Z"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "type": "Warning",
    "reason": "r",
}
_MAIL_TEXT = (
    b"From: =?utf-8?q?a?= <a@example.com>\r\nTo: b@example.com\r\nSubject: =?utf-8?b?4pqh?=\r\n"
    b"Message-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20b\r\n"
    b"--x\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename*=utf-8''a.csv\r\n\r\n1,2\r\n--x--\r\n"
)


def _part(number: int, content: bytes) -> bytes:
    """A field of protobuf that is a message or a text of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def _series() -> bytes:
    labels = b"".join(
        _part(1, _part(1, name) + _part(2, value)) for name, value in ((b"__name__", b"up"), (b"job", b"a"))
    )
    sample = b"\x09" + struct.pack("<d", 1.0) + b"\x10\x80\xa0\x94\xa5\x8d\x06"
    return _part(1, labels + _part(2, sample))


_SERIES = _series()
_SECOND = b"".join(_part(4, symbol) for symbol in (b"", b"__name__", b"up", b"job", b"a")) + _part(
    5, _part(1, b"\x01\x02\x03\x04") + _part(2, b"\x09" + struct.pack("<d", 1.0) + b"\x10\x80\xa0\x94\xa5\x8d\x06")
)


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()


READERS: dict[str, tuple[Callable[[bytes], None], bytes]] = {
    "webhook": (webhook, b'{"service": "web", "n": [1, 2.5, null, "\\u00e9"]}'),
    "alertmanager": (alertmanager, _dump({"version": "4", "alerts": [_ALERT]})),
    "grafana": (grafana, _dump({"receiver": "r", "orgId": 1, "alerts": [_ALERT]})),
    "cloudevents structured": (structured, _dump(_CLOUD)),
    "cloudevents batched": (batched, _dump([_CLOUD, {**_CLOUD, "data": None, "data_base64": "AAE="}])),
    "cloudevents binary": (binary, b'ce-subject: %41\nContent-Type: application/json\nce-x: 1\n\n{"a": 1}'),
    "record": (
        record,
        _dump({"type": "t", "kind": "k", "subject": "s", "data": {"a": 1}, "time": "2026-11-23T09:00:00Z"}),
    ),
    "remote write": (written, bytes(cramjam.snappy.compress_raw(_SERIES))),
    "remote write, unpacked": (written_unpacked, _SERIES),
    "remote write 2": (written_second, _SECOND),
    "log": (log_line, b"2026-11-23T09:00:00Z ERROR 12 the disk is full"),
    "mail": (mail, _MAIL_TEXT),
    "scrape": (scrape, b'# TYPE a counter\na_total{x="y"} 1.5 1700000000000\nb NaN\n'),
    "kubernetes": (kubernetes, _dump(_KUBERNETES)),
    "poll": (poll, _dump({"items": [{"id": 1}, {"id": "a"}]})),
    "condition": (condition, b"event.data.a > 80% AND NOT (b MATCHES '^x+$' OR c IN [1, 2h, null]) AND a / 0 IS NULL"),
    "expression": (expression, b'a * 2 + c[1]["d"] % 3 - -5GB'),
    "template": (template, b"https://${a}/${b}/$${x}"),
    "rulebook condition": (
        rulebook_condition,
        b"event.a == 1 or event.b is not match('x', ignorecase=true) and vars.x in [1]",
    ),
    "yaml": (yaml_file, b"workflows:\n  - &a {name: x, <<: {b: 1}}\n  - *a\n"),
    "json": (json_file, b'{"workflows": [{"name": "x", "n": 1e3}]}'),
    "time": (moment, b"2026-11-23T09:00:00.5+01:00"),
}
"""Each reader with something that it takes."""


def refused(reader: Callable[[bytes], None], body: bytes) -> bool:
    """Whether a reader refuses that; raises what is neither taken nor refused as it should be."""
    try:
        reader(body)
    except AutomationError as error:
        found: AutomationError | None = error
    else:
        found = None
    assert found is None or str(found)
    return found is not None
