"""Whatever is sent: it is refused with an error of ours, or it is stored and read back as it was sent."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation import AutomationConfig, AutomationEngine, Event
from automation.errors import InputError
from automation.sources.webhook import events_from_json
from tests.fuzz.readers import READERS, refused
from tests.support.databases import Database

PIECES = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b")",
        b"\\u0000",
        b"\\ud800",
        b"\0",
        b"\xff",
        b"\xe2\x80\xa8",
        b"\xf0\x9f\x98\x80",
    ),
    *(b"null", b"true", b"NaN", b"-0", b"1e400", b"18446744073709551616", b"9" * 400, b"1" * 5000),
    *(b"[" * 200, b'{"a":' * 100, b"\x80" * 12, b"\r\n\r\n", b"--x\r\n", b"=?utf-8?q?=00?=", b"%ff", b"charset=idna"),
    *(
        b" AND ",
        b" not ",
        b"${",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!int ",
        b"0001-01-01T00:00:00Z",
        b"9999-12-31T23:59:60+99:99",
    ),
]
CHANGES = st.lists(
    st.tuples(st.integers(0, 600), st.integers(0, 20), st.sampled_from(PIECES) | st.binary(max_size=8)), max_size=6
)


def changed(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """What a reader takes, with some of its bytes replaced."""
    body = bytearray(seed)
    for place, length, piece in changes:
        begin = place % (len(body) + 1)
        body[begin : begin + length] = piece
    return bytes(body)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_its_example(name: str) -> None:
    reader, example = READERS[name]
    assert not refused(reader, example)


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_taken_or_refused(name: str) -> None:
    reader, _ = READERS[name]

    @settings(derandomize=True, max_examples=100)
    @given(st.binary(max_size=300))
    def holds(body: bytes) -> None:
        refused(reader, body)

    holds()


@pytest.mark.parametrize("name", READERS)
def test_what_is_nearly_right_is_taken_or_refused(name: str) -> None:
    reader, example = READERS[name]

    @settings(derandomize=True, max_examples=250)
    @given(CHANGES)
    def holds(changes: list[tuple[int, int, bytes]]) -> None:
        refused(reader, changed(example, changes))

    holds()


SIZE = 1_000_000
LARGE = {
    "webhook": [b"[" * SIZE, b'{"a":' * 200_000, b'"' + b"\\" * SIZE, b"9" * SIZE],
    "alertmanager": [b'{"version":"4","alerts":[' + b"{}," * 300_000 + b"{}]}"],
    "cloudevents binary": [b"ce-a: " + b"%41" * 300_000 + b"\n\n{}", b'ce-a: "' + b"\\" * 300_000 + b'"\n\n{}'],
    "remote write, unpacked": [b"\x0a\x00" * 400_000, b"\x0a\x04\x12\x02\x10\x01" * 150_000, b"\x80" * SIZE],
    "remote write": [b"\xff\xff\xff\xff\x0f" + b"\0" * 100, b"\xc0\x84\x3d" + b"\xfe\x01\x00" * 20_000],
    "scrape": [b"a{" * 300_000, b"a" * SIZE, b'a{x="' + b"\\" * SIZE, b"a 1\n" * 200_000],
    "log": [b"a " * 500_000, b"\xff" * SIZE],
    "condition": [b"(" * 10_000, b"not " * 2_500 + b"a", b"a and " * 1_600 + b"a", b"[" + b"1," * 4_900 + b"1]"],
    "template": [b"${" * SIZE, b"${a" * 300_000, b"$" * SIZE, b"${a}" * 250_000],
    "rulebook condition": [b"(" * 10_000, b"not " * 2_500, b"event.a and " * 800 + b"event.a", b"9" * 9_999],
    "yaml": [b"[" * SIZE, b"a: " * 300_000, b"- " * 300_000, b"&a " * 200_000],
    "json": [b"[" * SIZE, b"9" * SIZE],
    "time": [b"1" * SIZE, b"2026-01-01T00:00:00." + b"0" * SIZE],
}


# What needs more than a moment, or more memory than there is, fails by the limit.
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_does_no_harm(name: str) -> None:
    for body in LARGE[name]:
        refused(READERS[name][0], body)


NASTY = [
    "",
    "\0",
    "é",
    "e\u0301",
    "\u2028",
    "\ufeff",
    "\U0001f600",
    "\u202e",
    "'",
    '"',
    "\\",
    "%s",
    "a" * 2000,
    "\x7f\x1b[0m",
]


def nasty(random: random.Random, depth: int = 0) -> Any:
    """A value of JSON."""
    kind = random.randrange(8 if depth < 5 else 6)
    if kind == 6:
        return [nasty(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 7:
        return {random.choice(NASTY) + str(number): nasty(random, depth + 1) for number in range(random.randrange(4))}
    numbers = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -0.0, 5e-324, 1.7976931348623157e308]
    return [None, random.choice([True, False]), random.choice(numbers), *(random.choice(NASTY) for _ in range(3))][kind]


async def test_what_is_taken_is_read_back_as_it_was(database: Database, tmp_path: Path) -> None:
    chance = random.Random(20)
    bodies = [{"host": chance.choice(NASTY), "value": nasty(chance)} for _ in range(200)]
    taken: list[Event] = []
    async with AutomationEngine(AutomationConfig(database_url=database.url, data_dir=tmp_path / "data")) as engine:
        for body in bodies:
            [event] = events_from_json("fuzz", json.dumps(body).encode(), {}, 64)
            assert event.data == body
            try:
                await engine.publish(event)
            except InputError:
                continue
            taken.append(event)
        for event in taken:
            assert (await engine.queries.event(event.id)).stored.event == event
    assert len(taken) > 150
