"""Remote write: the protobuf that is read by hand, and what of it is refused. A real one is in tests/integration."""

from __future__ import annotations

import math
import struct
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.errors import InputError
from automation.sources.remote_write import STALE, VERSION_2, samples_of
from tests.unit.api.conftest import *  # noqa: F403
from tests.unit.api.conftest import Face

LIMIT = 1_000_000
NOW = 1_767_225_600.0
SECOND = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
HEADERS = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}


def varint(number: int) -> bytes:
    found = bytearray()
    number &= 0xFFFFFFFFFFFFFFFF
    while True:
        number, low = number >> 7, number & 0x7F
        found.append(low | (0x80 if number else 0))
        if not number:
            return bytes(found)


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def series(labels: dict[str, str], *points: tuple[float, int], more: bytes = b"") -> bytes:
    written = b"".join(block(1, block(1, name.encode()) + block(2, text.encode())) for name, text in labels.items())
    written += b"".join(block(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at)) for value, at in points)
    return block(1, written + more)


def request(*series: bytes, symbols: tuple[str, ...], behind: bool = False) -> bytes:
    """A request of version 2; its symbols may stand behind its series."""
    written = [b"".join(block(4, text.encode()) for text in symbols), b"".join(block(5, one) for one in series)]
    return b"".join(reversed(written) if behind else written)


def references(*numbers: int, single: bool = False) -> bytes:
    if single:
        return b"".join(b"\x08" + varint(number) for number in numbers)
    return block(1, b"".join(map(varint, numbers)))


def point(value: float, at: int) -> bytes:
    return block(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at))


SYMBOLS = ("", "__name__", "cpu_usage", "job", "api", "host", "a1")


def packed(message: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message))


def test_samples_have_name_subject_labels_and_time() -> None:
    labels = {"__name__": "cpu_usage", "job": "api", "host": "a1"}
    metadata = block(3, block(2, b"cpu_usage"))
    found = samples_of(packed(series(labels, (91.5, 1_767_225_600_250), (-1.0, -5)) + metadata), LIMIT, NOW)
    first, second = found.samples
    assert (first.name, first.subject, first.labels) == ("cpu_usage", "api", {"job": "api", "host": "a1"})
    assert (first.value, first.time) == (91.5, 1_767_225_600.25)
    assert (second.value, second.time) == (-1.0, -0.005)
    assert not found.refused


def test_what_cannot_be_taken_is_counted_and_costs_only_itself() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", STALE))[0]
    message = series({"__name__": "a"}, (stale, 1), (math.nan, 2), (1.0, 3), (1.0, 1 << 62), (1.0, 1_767_225_900_001))
    message += series({"job": "x"}, (1.0, 1))
    message += series({"__name__": "h"}, more=block(4, b"\x08\x01"))
    message += series({f"l{number}": "x" for number in range(101)} | {"__name__": "wide"}, (1.0, 1))
    found = samples_of(packed(message), LIMIT, NOW)
    assert [one.value for one in found.samples] == [1.0]
    assert found.refused == {
        "stale": 1,
        "not_finite": 1,
        "no_time": 1,
        "future": 1,
        "no_name": 1,
        "native_histogram": 1,
        "too_many_labels": 1,
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not snappy: the body is empty"),
        (b"\x05not snappy", "the body is not snappy"),
        (varint(1 << 40) + b"bomb", "1099511627776 bytes after unpacking, more than 1000000"),
        (packed(b" " * 1_000_001), "1000001 bytes after unpacking"),
        (packed(b"\x0a\x7f"), "the protobuf is not valid"),
        (packed(b"\x08\x01"), "the protobuf is not valid"),
        (packed(b"\xff" * 11), "the protobuf is not valid"),
        (packed(series({"__name__": "a"})[:-1]), "the protobuf is not valid"),
        (packed(block(1, block(1, block(1, b"\xff")))), "the protobuf is not valid"),
        (packed(b"\x0b"), "the protobuf is not valid"),
    ],
)
def test_what_is_no_write_request_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        samples_of(body, LIMIT, NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_samples_or_an_input_error(body: bytes) -> None:
    for tried in (body, packed(body), packed(block(1, body)), packed(block(1, block(2, body)))):
        try:
            found = samples_of(tried, LIMIT, NOW)
        except InputError:
            continue
        assert found is not None


async def test_the_route_observes_and_counts(face: Face, admin: Any) -> None:
    body = packed(series({"__name__": "a", "job": "x"}, (5.0, 1_767_225_600_000), (math.nan, 1)))
    answer = await admin.post("/api/v1/prometheus/write", content=body, headers=HEADERS)
    assert answer.status_code == 204
    found = face.engine.metric_store.latest("a", "x")
    assert found is not None
    assert found.value == 5.0
    refused = face.engine.metrics.registry.get_sample_value(
        "automation_samples_refused_total", {"reason": "not_finite"}
    )
    assert refused == 1


async def test_the_route_refuses_what_it_does_not_read(face: Face, admin: Any) -> None:
    path = "/api/v1/prometheus/write"
    for kind in ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "application/json", ""):
        answer = await admin.post(path, content=b"", headers={**HEADERS, "Content-Type": kind})
        assert answer.status_code == 415
        assert "proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request" in answer.json()["detail"]
    assert (await admin.post(path, content=b"x")).status_code == 415
    assert (await admin.post(path, content=b"x", headers={"Content-Encoding": "gzip"})).status_code == 415
    assert (await admin.post(path, content=b"\x05nonsense", headers=HEADERS)).status_code == 400
    viewer = await face.as_role("automation_viewer")
    assert (await viewer.post(path, content=b"x", headers=HEADERS)).status_code == 403


# Version 2


@pytest.mark.parametrize("single", [False, True], ids=["packed", "one by one"])
@pytest.mark.parametrize("behind", [False, True], ids=["symbols first", "symbols behind"])
def test_labels_are_symbols_in_version_2(single: bool, behind: bool) -> None:
    metadata = block(5, b"\x08\x02")
    one = references(1, 2, 3, 4, 5, 6, single=single) + point(91.5, 1_767_225_600_250) + metadata + b"\x30\x01"
    other = references(1, 2, single=single) + point(-1.0, 5) + point(-2.0, 6)
    found = samples_of(packed(request(one, other, symbols=SYMBOLS, behind=behind)), LIMIT, NOW, VERSION_2)
    assert [(each.name, each.subject, each.labels, each.value, each.time) for each in found.samples] == [
        ("cpu_usage", "api", {"job": "api", "host": "a1"}, 91.5, 1_767_225_600.25),
        ("cpu_usage", "", {}, -1.0, 0.005),
        ("cpu_usage", "", {}, -2.0, 0.006),
    ]
    found.taken = len(found.samples)
    assert (found.understood, found.lost) == (3, {})


@pytest.mark.parametrize(
    "series",
    [
        references(1),
        references(1, 7),
        references(1, 2, 3),
        references(1, 1 << 40),
        block(1, b"\xff"),
        references(1, 2) + block(2, b"\x09"),
    ],
)
def test_a_symbol_that_is_not_there_makes_a_request_invalid(series: bytes) -> None:
    with pytest.raises(InputError, match=r"not a io\.prometheus\.write\.v2\.Request of"):
        samples_of(packed(request(series, symbols=SYMBOLS)), LIMIT, NOW, VERSION_2)


def test_a_long_symbol_that_is_named_again_and_again_costs_nothing() -> None:
    symbols = ("", "__name__", "a", "x" * 10_000, "y" * 10_000)
    one = references(1, 2, 3, 4) + point(1.0, 1)
    found = samples_of(packed(request(*[one] * 1000, symbols=symbols)), LIMIT, NOW, VERSION_2)
    assert (found.samples, found.refused) == ([], {"labels_too_long": 1000})


@given(st.binary(max_size=200))
def test_any_bytes_are_samples_of_version_2_or_an_input_error(body: bytes) -> None:
    for tried in (body, request(body, symbols=SYMBOLS), request(block(1, body), symbols=SYMBOLS)):
        try:
            found = samples_of(packed(tried), LIMIT, NOW, VERSION_2)
        except InputError:
            continue
        assert found is not None


WRITTEN = "X-Prometheus-Remote-Write-Samples-Written"


async def test_the_answer_says_how_many_were_taken(face: Face, admin: Any) -> None:
    path = "/api/v1/prometheus/write"
    good = references(1, 2, 3, 4) + point(5.0, 1_767_225_600_000) + point(math.nan, 1_767_225_600_001)
    answer = await admin.post(path, content=packed(request(good, symbols=SYMBOLS)), headers=SECOND)
    assert (answer.status_code, answer.headers[WRITTEN]) == (204, "2")
    assert answer.headers["X-Prometheus-Remote-Write-Exemplars-Written"] == "0"
    found = face.engine.metric_store.latest("cpu_usage", "api")
    assert found is not None
    assert found.value == 5.0

    nameless = references(3, 4) + point(1.0, 1)
    histogram = references(1, 2) + block(3, b"\x08\x01") + block(4, b"\x11" + bytes(8))
    body = packed(request(good, nameless, histogram, symbols=SYMBOLS))
    answer = await admin.post(path, content=body, headers=SECOND)
    assert (answer.status_code, answer.headers[WRITTEN]) == (400, "2")
    assert "not all was taken in (exemplar: 1, native_histogram: 1, no_name: 1)" in answer.json()["detail"]
    early, ended = references(1, 2, 3, 4) + point(5.0, 1), references(1, 2, 3, 4) + point(math.inf, 1_767_225_600_002)
    explosion = [references(1, 3, 4, number) + point(1.0, 1) for number in range(7, 10_107)]
    body = packed(request(early, ended, *explosion, symbols=(*SYMBOLS, *map(str, range(10_100)))))
    answer = await admin.post(path, content=body, headers=SECOND)
    assert (answer.status_code, answer.headers[WRITTEN]) == (400, "10001")
    assert "not all was taken in (out_of_order: 1, series_limit: 100)" in answer.json()["detail"]
    # Version 1 knows of no such answer: what is refused is counted only.
    body = packed(series({"job": "x"}, (1.0, 1)))
    answer = await admin.post(path, content=body, headers=HEADERS)
    assert (answer.status_code, answer.headers[WRITTEN]) == (204, "0")
