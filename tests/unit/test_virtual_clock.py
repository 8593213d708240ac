"""Virtual time: it moves only when nothing is left to do at the time it shows."""

from __future__ import annotations

import asyncio
import threading

import pytest

from automation.clock import VirtualClock, rest, until


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000.0)


async def test_sleepers_wake_each_at_its_own_time_and_what_they_do_happens_before_the_next(clock: VirtualClock) -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, then: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.now()))
        await clock.sleep(then)
        seen.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper("a", 10, 5)), asyncio.create_task(sleeper("b", 12, 1))]
    await clock.advance(20)

    assert seen == [("a", 1010), ("b", 1012), ("b", 1013), ("a", 1015)]
    assert clock.now() == 1020
    await asyncio.gather(*tasks)


async def test_it_waits_for_all_that_follows_however_many_turns_that_takes(clock: VirtualClock) -> None:
    seen: list[float] = []

    async def busy() -> None:
        await clock.sleep(1)
        for _ in range(1000):
            await asyncio.sleep(0)
        seen.append(clock.now())

    task = asyncio.create_task(busy())
    await clock.advance(100)

    assert seen == [1001]
    await task


async def test_it_stands_still_while_a_part_has_something_under_way(clock: VirtualClock) -> None:
    """As the store has, whose writes are done in a thread."""
    begun, go_on = threading.Event(), threading.Event()
    writing = False
    seen: list[float] = []

    def write() -> None:
        begun.set()
        go_on.wait(10)

    async def store() -> None:
        nonlocal writing
        await clock.sleep(1)
        writing = True
        await asyncio.to_thread(write)
        writing = False
        seen.append(clock.now())

    clock.watch(lambda: "a write" if writing else "")
    task = asyncio.create_task(store())
    advancing = asyncio.create_task(clock.advance(100))
    await asyncio.to_thread(begun.wait, 10)

    assert clock.now() == 1001
    go_on.set()
    await advancing
    assert seen == [1001]
    await task


async def test_it_stands_still_while_an_activity_runs_except_while_that_sleeps_by_it(clock: VirtualClock) -> None:
    seen: list[float] = []

    async def act() -> None:
        with clock.held("an action"):
            await asyncio.sleep(0.02)
            seen.append(clock.now())
            await clock.sleep(30)
            seen.append(clock.now())
            await asyncio.sleep(0.02)
            seen.append(clock.now())

    task = asyncio.create_task(act())
    await asyncio.sleep(0)
    await clock.advance(100)

    assert seen == [1000, 1030, 1030]
    await task


async def test_it_says_what_it_waits_for_when_that_takes_too_long(clock: VirtualClock) -> None:
    clock.patience = 0.05
    clock.watch(lambda: "a write")
    with clock.held("deploy"), pytest.raises(TimeoutError, match=r"there is still under way: deploy, a write$"):
        await clock.advance(1)


async def test_it_says_so_when_a_task_never_waits(clock: VirtualClock) -> None:
    clock.patience = 0.05

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    with pytest.raises(TimeoutError, match="a task that never waits"):
        await clock.settle()
    task.cancel()


async def test_time_is_skipped_over_the_head_of_who_only_looks(clock: VirtualClock) -> None:
    looks: list[float] = []

    async def look() -> None:
        while True:
            await clock.idle(1)
            looks.append(clock.now())

    task = asyncio.create_task(look())
    sleeper = asyncio.create_task(clock.sleep(86_400))
    await clock.settle()
    assert clock.next_due == 1000 + 86_400

    await clock.advance(2 * 86_400)

    assert looks == [1000 + 86_400, 1000 + 2 * 86_400]
    assert clock.next_due is None
    task.cancel()
    await sleeper


async def test_a_clock_that_is_set_is_noticed_by_looking_and_by_nobody_else(clock: VirtualClock) -> None:
    looks: list[float] = []

    async def look() -> None:
        while True:
            await clock.idle(10)
            looks.append(clock.now())

    tasks = [asyncio.create_task(look()), asyncio.create_task(clock.sleep(25))]
    await clock.settle()
    clock.set_by(3600)

    assert (clock.now(), clock.monotonic()) == (4600, 1000)
    assert clock.next_due == 4610
    await clock.advance(30)
    assert looks == [4610, 4620, 4630]
    assert tasks[1].done()
    clock.set_by(-7200)
    assert (clock.now(), clock.monotonic()) == (-2570, 1030)
    tasks[0].cancel()


async def test_sleepers_that_were_cancelled_are_nobody_to_stop_for(clock: VirtualClock) -> None:
    first, second = asyncio.create_task(clock.sleep(1)), asyncio.create_task(clock.sleep(2))
    await clock.settle()
    first.cancel()
    await clock.settle()

    assert clock.next_due == 1002
    second.cancel()


@pytest.mark.parametrize(("due", "wake", "at"), [(1007.0, False, 1007), (None, False, 1020), (1030.0, True, 1000)])
async def test_a_rest_ends_at_what_comes_first(clock: VirtualClock, due: float | None, wake: bool, at: float) -> None:
    woken = asyncio.Event()
    task = asyncio.create_task(rest(clock, due, 20, woken))
    await clock.settle()
    assert clock.next_due == due
    if wake:
        woken.set()
        await clock.settle()
    else:
        await clock.advance(at - 1000)
    assert task.done()
    assert clock.now() == at


async def test_a_wait_for_a_time_of_day_ends_soon_after_the_clock_was_set_past_it(clock: VirtualClock) -> None:
    task = asyncio.create_task(until(clock, 2000))
    await clock.advance(20)
    clock.set_by(3600)
    await clock.advance(30)
    assert task.done()


async def test_a_clock_that_was_wrong_for_a_while_does_not_prolong_a_wait_by_as_much(clock: VirtualClock) -> None:
    task = asyncio.create_task(until(clock, 1300))
    await clock.advance(20)
    clock.set_by(-3600)
    await clock.advance(300)
    assert not task.done()
    clock.set_by(3600)
    await clock.advance(30)
    assert task.done()
