"""A transaction that fails as a whole: what was decided within it does not hold."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from automation import AutomationEngine, Event
from automation.errors import StoreUnavailable
from automation.store import statements
from automation.store.writer import Unit, Writer


async def test_a_duplicate_of_an_event_that_was_not_kept_is_no_duplicate(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two equal events is refused by the first one's row, which is then undone with the transaction."""
    backend: Any = engine.store.backend
    write_audit = backend._write_audit

    def full(*arguments: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    event = Event(type="thing", id="e-1", source="test")
    monkeypatch.setattr(backend, "_write_audit", full)
    outcomes = await asyncio.gather(engine.publish(event), engine.publish(event), return_exceptions=True)
    monkeypatch.setattr(backend, "_write_audit", write_audit)

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert (await engine.queries.events()).items == ()
    assert (await engine.publish(event)).duplicate is False


async def test_writers_that_waited_for_room_go_on_after_a_fault() -> None:
    class Broken:
        broken = True
        told_at_once = 32

        async def write(self, units: list[Unit]) -> None:
            if self.broken:
                raise RuntimeError("a fault")

    backend = Broken()
    writer = Writer(backend, max_pending=2)
    writer.start()
    try:
        waiting = [asyncio.ensure_future(writer.commit([])) for _ in range(5)]
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        assert writer.failure == "the writer failed: RuntimeError('a fault')"
        backend.broken = False
        await asyncio.wait_for(writer.commit([]), 10)
        assert writer.failure is None
    finally:
        await writer.stop()


async def test_the_log_says_once_that_it_began_and_once_that_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Nearly:
        """A disk that is all but full: small writes still find room."""

        told_at_once = 32
        room = 1

        async def write(self, units: list[Unit]) -> None:
            if sum(unit.writes for unit in units) > self.room:
                raise StoreUnavailable("the disk is full")

    def said() -> list[str]:
        return [record.message for record in caplog.records]

    caplog.set_level("INFO", "automation.store")
    op = statements.JOURNAL(execution_id="e", seq=1, at=1.0, kind="k", action=None, body="{}")
    backend = Nearly()
    writer = Writer(backend)
    writer.start()
    began, over = "the disk is full; what waits is tried again", "the database can be written again"

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await writer.commit([op] * 2)
        assert writer.failure == "the disk is full"
        await writer.commit([op])
        assert writer.failure is None
    assert said() == [began]

    monkeypatch.setattr("automation.store.writer.CALM_SECONDS", 0.0)
    backend.room = 2
    with pytest.raises(StoreUnavailable):
        await writer.commit([op] * 3)
    await writer.commit([op] * 2)
    await asyncio.sleep(0.01)
    assert said() == [began, over]

    # Who stops it reads how it ended, also where that was a moment ago.
    monkeypatch.undo()
    with pytest.raises(StoreUnavailable):
        await writer.commit([op] * 3)
    await writer.commit([op] * 2)
    await writer.stop()
    assert said() == [began, over, began, over]


async def test_so_many_writes_wait_however_they_are_divided() -> None:
    begun, go = [], asyncio.Event()

    class Slow:
        told_at_once = 32

        async def write(self, units: list[Unit]) -> None:
            begun.append(len(units))
            await go.wait()

    writer = Writer(Slow(), max_pending=6)
    writer.start()
    write = statements.POSITION_DELETE(where_name="x")
    waiting = [asyncio.ensure_future(writer.commit([write] * 4)) for _ in range(5)]
    while not begun:
        await asyncio.sleep(0)
    # Two are being written, which were more than six together. Two wait; the last one is held back.
    for _ in range(20):
        await asyncio.sleep(0)
    assert (begun, writer.pending) == ([2], 2)
    go.set()
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    await writer.stop()
    assert sum(begun) == 5
