"""Who waits for the disk is told in portions, in the order in which it came, and nobody is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from automation.store import statements
from automation.store.writer import Unit, Writer

SO_MANY = 32


class Slow:
    """A database whose transactions end when the test says so."""

    told_at_once = SO_MANY

    def __init__(self) -> None:
        self.batches: list[list[Unit]] = []
        self.end = asyncio.Event()

    async def write(self, units: list[Unit]) -> None:
        self.batches.append(units)
        await self.end.wait()

    async def settle(self) -> bool:
        raise NotImplementedError


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture
async def writer(slow: Slow) -> Writer:
    writer = Writer(slow)
    writer.start()
    return writer


OPS = [statements.WAITS_DELETE(where_execution_id="x")]


async def test_a_turn_of_the_loop_tells_so_many_and_the_next_transaction_begins_before(
    slow: Slow, writer: Writer
) -> None:
    many = [writer.post(OPS) for _ in range(3 * SO_MANY)]
    while not slow.batches:
        await asyncio.sleep(0)
    first = len(slow.batches[0])
    told: list[int] = []
    for index, future in enumerate(many):
        future.add_done_callback(lambda _, index=index: told.append(index))

    slow.end.set()
    counts: list[int] = []
    while len(told) < len(many):
        await asyncio.sleep(0)
        counts.append(len(told))

    assert told == list(range(len(many)))
    assert max(after - before for before, after in zip([0, *counts], counts, strict=False)) <= SO_MANY
    assert [len(batch) for batch in slow.batches] == [first, len(many) - first]


async def test_it_is_busy_until_all_are_told(slow: Slow, writer: Writer) -> None:
    many = [writer.post(OPS) for _ in range(2 * SO_MANY)]
    slow.end.set()
    await writer.stop()
    assert all(future.done() for future in many)
    assert not writer.busy


async def test_what_comes_while_others_are_told_is_written_too(slow: Slow, writer: Writer) -> None:
    slow.end.set()
    many = [writer.post(OPS) for _ in range(2 * SO_MANY)]
    await many[0]
    assert not many[-1].done()
    late = writer.post(OPS)
    await late
    await writer.stop()
    assert sum(map(len, slow.batches)) == len(many) + 1
