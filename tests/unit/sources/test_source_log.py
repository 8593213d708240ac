"""The `log` source on real files; following them through rotation is tested with the `file` source, which shares it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from automation.clock import VirtualClock, parse_iso
from automation.errors import DefinitionError
from automation.model.event import Event
from automation.plugins import read_settings
from automation.sources.log import Log, log
from automation.sources.source import Delivery, Rejected, SourceContext

LINE = r"^(?P<time>\S+) (?P<severity>[A-Z]+) \[(?P<subject>[\w-]+)\] (?P<message>.*?)(?: took (?P<ms>\S+) ms)?$"


def settings(path: Path, **more: Any) -> Log:
    found = read_settings(Log, {"path": str(path), "pattern": LINE, "from_start": True, **more})
    assert isinstance(found, Log)
    return found


async def read(
    found: Log, position: Any = None, now: str = "2026-11-23T09:00:00Z"
) -> tuple[list[Event], list[Rejected], Any]:
    """What the source gives until it has nothing more and waits."""
    clock = VirtualClock(parse_iso(now))
    events: list[Event] = []
    rejected: list[Rejected] = []

    async def take() -> None:
        nonlocal position
        async for item in log(found, SourceContext("app", clock, position)):
            if isinstance(item, Delivery):
                events.extend(item.events)
            else:
                rejected.append(item)
            position = item.position or position

    task = asyncio.ensure_future(take())
    while clock.next_due is None and not task.done():
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    return events, rejected, position


async def test_groups_become_the_event(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(
        "2026-11-23T09:00:00Z ERROR [api] timeout of playback took 5012.5 ms\n"
        "    at somewhere\n"
        "2026-11-23T09:00:01Z INFO [api] ready\r\n"
    )
    found = settings(path, numbers=["ms"], severities={"ERROR": "high"}, type="app")
    (first, second), rejected, _ = await read(found)
    assert (first.type, first.subject, first.severity) == ("app", "api", "high")
    assert first.time == parse_iso("2026-11-23T09:00:00Z")
    assert first.data == {
        "message": "timeout of playback",
        "ms": 5012.5,
        "line": "2026-11-23T09:00:00Z ERROR [api] timeout of playback took 5012.5 ms",
    }
    assert first.source == "log:app"
    assert (second.severity, second.data["message"]) == ("INFO", "ready")
    assert rejected == []


async def test_the_place_is_kept_also_behind_lines_that_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("noise\nnoise\n")
    found = settings(path)
    events, _, position = await read(found)
    assert events == []
    assert position["offset"] == 12
    with path.open("a") as out:
        out.write("2026-11-23T09:00:00Z WARN [db] slow\n")
    path.rename(tmp_path / "app.log.1")
    path.write_text("2026-11-23T09:00:01Z WARN [db] slower\n")
    events, _, position = await read(found, position)
    assert [event.data["message"] for event in events] == ["slow", "slower"]
    assert len({event.id for event in events}) == 2
    assert (await read(found, position))[0] == []


async def test_by_default_it_begins_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("2026-11-23T09:00:00Z WARN [db] old\n")
    found = settings(path, from_start=False)
    events, _, position = await read(found)
    assert events == []
    with path.open("a") as out:
        out.write("2026-11-23T09:00:01Z WARN [db] new\n")
    assert [event.data["message"] for event in (await read(found, position))[0]] == ["new"]


@pytest.mark.parametrize(
    ("line", "more", "says"),
    [
        ("yesterday WARN [db] x", {"time_format": None}, "time: must be a time such as"),
        (
            "2026-11-23T09:00:00Z WARN [db] x",
            {"time_format": "%d/%b/%Y"},
            "time: '2026-11-23T09:00:00Z' is not written",
        ),
        ("2026-11-23T09:00:00Z WARN [db] x took NaN ms", {"numbers": ["ms"]}, "ms: 'NaN' is not a number"),
        ("2026-11-23T09:00:00Z WARN [db] x took soon ms", {"numbers": ["ms"]}, "ms: 'soon' is not a number"),
        ("x" * 2000, {"max_line_bytes": 1024}, "the line is longer than 1024 bytes"),
    ],
)
async def test_what_matches_and_cannot_be_read_is_a_dead_letter(
    tmp_path: Path, line: str, more: dict[str, Any], says: str
) -> None:
    path = tmp_path / "app.log"
    path.write_text(line + "\n23/Nov/2026 WARN [db] after\n")
    found = settings(path, **{"time_format": "%Y-%m-%dT%H:%M:%SZ", **more})
    events, rejected, _ = await read(found)
    assert says in rejected[0].error
    # The next line is read all the same.
    assert len(events) + len(rejected) == 2


async def test_other_ways_to_write_a_time_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b'10.0.0.7 - - [23/Nov/2026:10:00:00 +0100] "GET /\xff HTTP/1.1" 503 12\n')
    pattern = r'^(?P<subject>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3})'
    found = settings(path, pattern=pattern, time_format="%d/%b/%Y:%H:%M:%S %z", numbers=["status"], keep_line=False)
    [event], _, _ = await read(found)
    assert event.time == parse_iso("2026-11-23T09:00:00Z")
    assert event.data == {"request": "GET /\ufffd HTTP/1.1", "status": 503}


@pytest.mark.parametrize(
    ("form", "text", "now", "meant"),
    [
        ("%b %d %H:%M:%S", "Dec 31 23:59:59", "2027-01-01T00:00:05Z", "2026-12-31T23:59:59Z"),
        ("%b %d %H:%M:%S", "Jan  1 00:00:01", "2026-12-31T23:59:58Z", "2027-01-01T00:00:01Z"),
        ("%b %d %H:%M:%S", "Feb 29 12:00:00", "2028-03-01T00:00:00Z", "2028-02-29T12:00:00Z"),
        ("%d.%m. %H:%M %z", "01.01. 00:30 +0100", "2026-12-31T23:31:00Z", "2026-12-31T23:30:00Z"),
        ("%H:%M:%S", "23:59:59", "2026-11-23T00:00:01Z", "2026-11-22T23:59:59Z"),
        ("%H:%M:%S", "09:00:00", "2026-11-23T09:00:02Z", "2026-11-23T09:00:00Z"),
        ("%Y %j", "2024 60", "2026-11-23T09:00:00Z", "2024-02-29T00:00:00Z"),
    ],
)
async def test_a_time_without_its_year_or_day_is_the_nearest(
    tmp_path: Path, form: str, text: str, now: str, meant: str
) -> None:
    path = tmp_path / "syslog"
    path.write_text(f"{text} gateway sshd: x\n")
    found = settings(path, pattern=r"^(?P<time>.*?) (?P<subject>\w+) sshd", time_format=form)
    [event], _, _ = await read(found, now=now)
    assert event.time == parse_iso(meant)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"pattern": "(a+)+$"}, "pattern"),
        ({"pattern": "("}, "pattern"),
        ({"numbers": ["nosuch"]}, "numbers: the pattern has no group 'nosuch'"),
    ],
)
def test_a_pattern_that_could_take_too_long_is_refused(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        settings(tmp_path / "x", **more)
