"""The `file` source: each line once, whatever happens to the file and to us."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.errors import DefinitionError
from automation.plugins import read_settings, registry
from automation.sources.file import FileSettings, file
from automation.sources.follow import Follower, Line, Place
from automation.sources.source import Delivery, Rejected, SourceContext


class Waiting(Exception):
    """The source has read all there is, and waits."""


class StepClock:
    """Instead of sleeping, does the next thing that happens to the file; when there is none, ends the test."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def now(self) -> float:
        return 1000.0

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        if not self.steps:
            raise Waiting
        self.steps.pop(0)()


async def gathered(
    path: Path, *steps: Callable[[], object], position: Any = None, **values: Any
) -> list[Delivery | Rejected]:
    read = read_settings(FileSettings, {"path": str(path), **values})
    assert isinstance(read, FileSettings)
    items: list[Delivery | Rejected] = []
    stream: AsyncIterator[Delivery | Rejected] = file(read, SourceContext("log", StepClock(*steps), position))
    async with aclosing(stream) as source:  # type: ignore[type-var]
        try:
            async for item in source:
                items.append(item)  # noqa: PERF401 - those before the end are wanted too
        except Waiting:
            pass
    return items


def events(items: list[Delivery | Rejected]) -> list[Any]:
    return [event for item in items if isinstance(item, Delivery) for event in item.events]


def rejected(items: list[Delivery | Rejected]) -> list[Rejected]:
    return [item for item in items if isinstance(item, Rejected)]


def append(path: Path, *values: object) -> Callable[[], None]:
    def step() -> None:
        with path.open("a") as out:
            for value in values:
                out.write(value if isinstance(value, str) else json.dumps(value) + "\n")

    return step


def happened(number: int) -> dict[str, Any]:
    return {"type": "tick", "data": {"n": number}}


def numbers(items: list[Delivery | Rejected]) -> list[int]:
    return [event.data["n"] for event in events(items)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


async def test_lines_become_events_with_ids_that_stay(path: Path) -> None:
    append(
        path, {"type": "a", "subject": "web", "severity": "high", "labels": {"x": "y"}}, {"type": "b", "id": "mine"}
    )()
    first, second = events(await gathered(path))
    inode = path.stat().st_ino
    assert (first.type, first.subject, first.severity, first.labels) == ("a", "web", "high", {"x": "y"})
    assert (first.source, first.time, first.id) == ("file:log", 1000.0, f"{inode}:0:0")
    assert second.id == "mine"
    assert events(await gathered(path)) == [first, second]


async def test_it_waits_for_a_file_that_comes_later_and_for_the_rest_of_a_line(path: Path) -> None:
    items = await gathered(path, lambda: None, append(path, '{"type": "ti'), append(path, 'ck", "data": {"n": 1}}\n'))
    assert numbers(items) == [1]


async def test_after_a_restart_it_goes_on_where_it_was(path: Path) -> None:
    append(path, happened(1), happened(2))()
    before = await gathered(path)
    append(path, happened(3))()
    after = await gathered(path, append(path, happened(4)), position=before[-1].position)
    assert numbers(before) == [1, 2]
    assert numbers(after) == [3, 4]
    assert not {event.id for event in events(before)} & {event.id for event in events(after)}


async def test_a_position_in_another_file_does_not_count(path: Path) -> None:
    append(path, happened(1))()
    before = await gathered(path)
    other = path.with_name("other.jsonl")
    append(other, happened(2))()
    assert numbers(await gathered(other, position=before[-1].position)) == [2]


async def test_from_now_on_begins_at_the_line_being_written_and_is_stored_at_once(path: Path) -> None:
    append(path, happened(1), '{"type": "tick", ')()
    items = await gathered(path, from_start=False)
    assert items == [Delivery((), items[0].position)]
    append(path, '"data": {"n": 2}}\n', happened(3))()
    assert numbers(await gathered(path, from_start=False, position=items[0].position)) == [2, 3]


async def test_from_now_on_reads_all_of_a_file_that_comes_later(path: Path) -> None:
    items = await gathered(path, from_start=False)
    append(path, happened(1))()
    assert numbers(await gathered(path, from_start=False, position=items[-1].position)) == [1]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("not json\n", "byte 0: not valid JSON"),
        ("[1]\n", "a line must be an object, not a list"),
        ('{"subject": "x"}\n', "type: is required"),
        ('{"type": ""}\n', "type: must not be empty"),
        ('{"type": "a", "data": 5}\n', "data: must be an object, not a whole number"),
        ('{"type": "a", "time": "soon"}\n', "time: must be a time such as"),
        ('{"type": "a", "time": 1e300}\n', "time: is outside of the years"),
        ('{"type": "a", "labels": {"x": 1}}\n', "labels.x: must be text"),
        (
            '{"type": "a", "user": 1}\n',
            "user is not a key of an event (data, id, labels, severity, source, subject, time",
        ),
        ("[" * 5000 + "\n", "nested deeper than 64 levels"),
        ('{"type": "' + "x" * 2000 + '"}\n', "the line is longer than 1024 bytes"),
    ],
)
async def test_what_is_no_event_is_rejected_and_the_rest_is_read(path: Path, line: str, says: str) -> None:
    append(path, happened(1), line, happened(2))()
    limit = 1024 if "longer" in says else 100_000
    items = await gathered(path, max_line_bytes=limit)
    assert [type(item) for item in items] == [Delivery, Rejected, Delivery]
    assert numbers(items) == [1, 2]
    [found] = rejected(items)
    assert says.replace("byte 0", f"byte {len(json.dumps(happened(1))) + 1}") in found.error
    assert found.raw == line.strip()[:1000] or limit > 1024
    # Neither is read again after a restart behind the rejected line.
    assert numbers(await gathered(path, position=found.position)) == [2]


async def test_a_line_longer_than_memory_should_hold_is_passed_over(path: Path) -> None:
    append(path, happened(1), "x" * 1_000_000 + "\n", happened(2))()
    items = await gathered(path, max_line_bytes=1024)
    assert numbers(items) == [1, 2]
    [found] = rejected(items)
    assert found.raw == "x" * 1000


async def test_any_object_can_be_the_data_of_an_event(path: Path) -> None:
    append(
        path,
        {"msg": "x", "service": "web", "kind": "login_failed"},
        {"type": "error", "msg": "y"},
        {"type": "tick", "data": {"n": 1}},
        "\n",
    )()
    first, second, third = events(await gathered(path, type="log.line", type_key="kind"))
    assert (first.type, first.subject, first.data["msg"]) == ("login_failed", "web", "x")
    assert (second.type, second.data) == ("log.line", {"type": "error", "msg": "y"})
    assert (third.type, third.data) == ("tick", {"n": 1})
    [only] = events(await gathered(path, type="t", subject_key="msg"))[:1]
    assert only.subject == "x"
    [no_type] = rejected(await gathered(path, type_key="kind"))
    assert "kind: is required" in no_type.error


async def test_blank_lines_are_nothing_but_are_behind_us(path: Path) -> None:
    append(path, "\n", " \n")()
    items = await gathered(path)
    assert [item for item in items if item != Delivery((), item.position)] == []
    assert items[-1].position["offset"] == 3


async def test_many_lines_come_in_order_and_in_parts(path: Path) -> None:
    append(path, *(happened(number) for number in range(20_000)))()
    items = await gathered(path)
    assert numbers(items) == list(range(20_000))
    assert max(len(item.events) for item in items if isinstance(item, Delivery)) <= 500


async def test_rotation_loses_nothing_not_even_what_is_written_late(path: Path) -> None:
    append(path, happened(1))()
    old = path.with_name("events.jsonl.1")
    items = await gathered(
        path,
        lambda: path.rename(old),
        append(old, happened(2)),
        path.touch,
        append(old, '{"type": "tick", "data": {"n": 3}}'),
        append(path, happened(4)),
    )
    assert numbers(items) == [1, 2, 3, 4]
    assert len({event.id for event in events(items)}) == 4


async def test_what_is_written_late_to_a_file_that_was_left_is_read_once_and_nothing_of_it_again(path: Path) -> None:
    one, two = path.with_name("events.jsonl.1"), path.with_name("events.jsonl.2")
    append(path, happened(1), happened(2))()
    before = await gathered(
        path,
        lambda: path.rename(one),
        append(path, happened(3)),
        append(one, happened(4)),
        lambda: (one.rename(two), path.rename(one)),
        append(path, happened(5)),
    )
    assert numbers(before) == [1, 2, 3, 4, 5]
    append(two, happened(6))()
    append(path, happened(7))()
    after = await gathered(path, position=before[-1].position)
    assert sorted(numbers(after)) == [6, 7]
    assert len({event.id for event in events([*before, *after])}) == 7


async def test_rotation_while_away_is_followed_to_where_the_file_went(path: Path) -> None:
    append(path, happened(1))()
    before = await gathered(path)
    append(path, happened(2))()
    os.utime(path, (1, 1))
    path.rename(path.with_name("events.jsonl.2"))
    append(path, happened(3))()
    os.utime(path, (2, 2))
    path.rename(path.with_name("events.jsonl.1"))
    append(path.with_name("events.jsonl.0"), happened(99))()
    os.utime(path.with_name("events.jsonl.0"), (0, 0))
    append(path, happened(4))()
    items = await gathered(path, position=before[-1].position)
    assert numbers(items) == [2, 3, 4]
    assert rejected(items) == []


async def test_what_was_rotated_out_of_reach_is_told(path: Path) -> None:
    append(path, happened(1))()
    before = await gathered(path)
    path.unlink()
    append(path, happened(2))()
    items = await gathered(path, position=before[-1].position)
    [lost] = rejected(items)
    assert "rotated away or written anew while it was not followed: lines after byte" in lost.error
    assert numbers(items) == [2]
    # Also where the new file got the inode of the old one, no id is given twice.
    assert events(items)[0].id != events(before)[0].id


@pytest.mark.parametrize("size", [1, 3])
async def test_truncation_begins_anew_with_new_ids(path: Path, size: int) -> None:
    append(path, happened(1), happened(2))()

    def truncate() -> None:
        # Also where it has grown beyond where it was since the last look.
        os.truncate(path, 0)
        append(path, *(happened(number) for number in range(10, 10 + size)))()

    items = await gathered(path, truncate, append(path, happened(50)))
    assert numbers(items) == [1, 2, *range(10, 10 + size), 50]
    assert len({event.id for event in events(items)}) == 3 + size


async def test_an_unfinished_line_at_truncation_is_not_dropped_silently(path: Path) -> None:
    append(path, "unfinished")()
    items = await gathered(path, lambda: None, lambda: os.truncate(path, 0), append(path, happened(1)))
    assert [item.raw for item in rejected(items)] == ["unfinished"]
    assert numbers(items) == [1]


async def test_what_is_no_regular_file_fails_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        read = FileSettings(path=place)
        with pytest.raises(OSError, match="not a regular file"):
            await anext(file(read, SourceContext()))


def test_it_is_registered_with_its_settings() -> None:
    found = registry.get("source", "file")
    assert found.settings is FileSettings
    with pytest.raises(DefinitionError, match=r"settings\.pth: unknown key"):
        read_settings(found.settings, {"path": "x", "pth": "y"}, "settings")


# Whatever happens, each line that was written is read exactly once.

STEPS = st.lists(
    st.sampled_from(["write", "write", "half", "end", "rotate", "late", "truncate", "poll", "poll", "restart"]),
    max_size=30,
)


class World:
    """A file that is written to and rotated, and a follower that is killed now and then."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log"
        self.written: list[bytes] = []
        self.read: list[Line] = []
        self.partial = b""
        self.rotations = 0
        self.place: Place | None = None
        self.follower = Follower(self.path, 1024, None, True)

    def put(self, data: bytes) -> None:
        with self.path.open("ab") as out:
            out.write(data)

    def do(self, step: str) -> None:
        number = len(self.written)
        match step:
            case "write":
                self.end_line()
                self.put(b"line %d\n" % number)
                self.written.append(b"line %d" % number)
            case "half":
                self.end_line()
                self.put(b"half %d" % number)
                self.partial = b"half %d" % number
                self.written.append(self.partial)
            case "end":
                self.end_line()
            case "rotate" if self.path.exists():
                # As a rotation does it: the writer is done with the old file. Times apart, as in life.
                self.partial = b""
                self.rotations += 1
                os.utime(self.path, (self.rotations, self.rotations))
                self.path.rename(self.path.with_name(f"log.{self.rotations}"))
            case "late" if self.rotations:
                # By a writer that has not heard of the rotation, to a file that was read to its end.
                self.poll_all()
                old = self.path.with_name(f"log.{number % self.rotations + 1}")
                ended = old.read_bytes()[-1:] in (b"", b"\n")
                with old.open("ab") as out:
                    out.write((b"" if ended else b"\n") + b"late %d\n" % number)
                os.utime(old, (self.rotations + 0.5, self.rotations + 0.5))
                self.written.append(b"late %d" % number)
            case "truncate" if self.path.exists():
                # What is not read by then is lost by nature, so it is read before.
                self.poll_all()
                self.partial = b""
                os.truncate(self.path, 0)
                self.poll_all()
            case "poll":
                self.take(self.follower.lines())
            case "restart":
                self.follower.close()
                self.follower = Follower(self.path, 1024, self.place, True)

    def end_line(self) -> None:
        if self.partial:
            self.put(b"\n")
            self.partial = b""

    def take(self, lines: list[Line]) -> None:
        self.read += lines
        place = lines[-1].place_after if lines else self.follower.new_place()
        if place is not None:
            self.place = place

    def poll_all(self) -> None:
        for _ in range(2 * self.rotations + 4):
            self.take(self.follower.lines())


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_each_line_is_read_once_through_rotation_truncation_and_restarts(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.path.touch()
        world.do("poll")
        for step in steps:
            world.do(step)
        world.do("write")
        world.poll_all()
        world.follower.close()
        lines = [line for line in world.read if line.problem is None and line.raw]
        read = [line.raw for line in lines]
        assert sorted(read) == sorted(world.written)
        # What is late comes when it is found.
        assert [raw for raw in read if not raw.startswith(b"late")] == [
            raw for raw in world.written if not raw.startswith(b"late")
        ]
        assert len({line.id for line in lines}) == len(lines)
