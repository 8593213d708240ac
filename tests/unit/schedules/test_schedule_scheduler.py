"""The scheduler on virtual time: each time once, nothing missed without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from automation.clock import VirtualClock, iso
from automation.errors import DefinitionError, InputError, NotFound, StoreUnavailable
from automation.model.event import Event, EventReceipt
from automation.model.schedule import ScheduleDefinition
from automation.schedules.scheduler import RECHECK_SECONDS, Scheduler
from automation.store import events, records
from automation.store.statement import Op
from automation.store.store import Store
from tests.support.schedules import NINE, World


def every(name: str, cron: str, **more: Any) -> ScheduleDefinition:
    return ScheduleDefinition(name=name, cron=cron, **more)


@pytest.fixture
async def world() -> World:
    return World()


async def test_each_time_is_an_event(world: World) -> None:
    await world.scheduler.add(every("report", "*/15 * * * *", variables={"kind": "short", "schedule": "mine"}))
    await world.scheduler.start()
    await world.run(1800)
    assert world.at == ["report 09:15", "report 09:30"]
    [first, _] = world.published
    assert (first.type, first.source, first.id) == ("schedule", "schedule", "report:2026-11-23T09:15:00.000Z")
    assert first.data == {
        "kind": "short",
        "schedule": "report",
        "scheduled_at": NINE + 900,
        "late_seconds": 0.0,
        "missed": False,
    }
    assert world.positions["schedule.report"]["until"] == NINE + 1800
    await world.scheduler.stop()


async def test_all_that_are_due_at_the_same_time_fire(world: World) -> None:
    for number in range(20):
        await world.scheduler.add(every(f"s{number}", "0 * * * *"))
    await world.scheduler.start()
    await world.run(3600)
    assert sorted(world.at) == sorted(f"s{number} 10:00" for number in range(20))
    await world.scheduler.stop()


async def test_a_time_that_the_clock_skips_or_repeats_comes_once() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for day, expected in ((29, "03:00"), (25, "02:30")):
        month = 3 if day == 29 else 10
        world = World(datetime(2026, month, day, 0, 0, tzinfo=berlin).timestamp())
        await world.scheduler.add(every("nightly", "30 2 * * *", timezone="Europe/Berlin"))
        await world.scheduler.start()
        await world.run(12 * 3600)
        assert [f"{datetime.fromtimestamp(event.time, berlin):%H:%M}" for event in world.published] == [expected]
        await world.scheduler.stop()


async def test_schedules_come_change_and_go_while_it_runs(world: World) -> None:
    await world.scheduler.start()
    await world.run(100)
    await world.scheduler.add(every("a", "*/10 * * * *"))
    await world.run(600)
    assert world.at == ["a 09:10"]
    await world.scheduler.add(every("a", "*/20 * * * *"))
    await world.run(1100)
    assert world.at == ["a 09:10", "a 09:20"]
    await world.scheduler.add(every("a", "*/20 * * * *", enabled=False))
    await world.run(3600)
    await world.scheduler.add(every("a", "*/20 * * * *"))
    await world.run(1200)
    assert world.at == ["a 09:10", "a 09:20", "a 10:40"]
    await world.scheduler.remove("a")
    await world.run(7200)
    assert len(world.at) == 3
    assert (world.positions, world.decisions) == ({}, [])
    with pytest.raises(NotFound, match="there is no schedule named 'a'"):
        await world.scheduler.remove("a")
    with pytest.raises(DefinitionError, match="cron: hour '25' is not valid"):
        await world.scheduler.add(every("b", "0 25 * * *"))
    await world.scheduler.stop()


async def test_the_latest_missed_time_is_made_up_for_and_the_older_ones_are_recorded(world: World) -> None:
    await world.scheduler.add(every("a", "*/10 * * * *"))
    await world.scheduler.start()
    await world.run(600)
    await world.away(1805)
    assert world.at == ["a 09:10", "a 09:40"]
    made_up = world.published[-1]
    assert made_up.data["missed"] is True
    assert made_up.data["late_seconds"] == pytest.approx(5)
    assert world.decisions == [
        (
            "a",
            "missed",
            "2 missed while nothing ran to publish it: 2026-11-23T09:20:00.000Z to 2026-11-23T09:30:00.000Z; "
            "made up for by the one of 2026-11-23T09:40:00.000Z",
        )
    ]
    await world.run(600)
    assert world.at[2:] == ["a 09:50"]
    assert world.published[-1].data["missed"] is False
    await world.scheduler.stop()


async def test_what_was_missed_more_than_an_hour_ago_is_only_recorded(world: World) -> None:
    await world.scheduler.add(every("a", "0 10 * * *"))
    await world.scheduler.start()
    await world.run(10)
    await world.away(2 * 3600 + 10)
    assert world.at == []
    [(_, outcome, reason)] = world.decisions
    assert outcome == "missed"
    assert reason == (
        "1 missed while nothing ran to publish it: 2026-11-23T10:00:00.000Z; none is made up for after 60 minutes"
    )
    await world.away(10)
    assert len(world.decisions) == 1
    await world.scheduler.stop()


async def test_a_long_absence_is_one_decision_and_soon_counted(world: World) -> None:
    await world.scheduler.add(every("a", "* * * * *"))
    await world.scheduler.start()
    await world.run(1)
    await world.away(30 * 86_400)
    assert len(world.at) == 1
    [(_, _, reason)] = world.decisions
    assert reason.startswith("more than 1000 missed")
    await world.scheduler.stop()


async def test_what_was_due_just_as_it_stopped_fires_once(world: World) -> None:
    await world.scheduler.add(every("a", "*/10 * * * *"))
    await world.scheduler.start()
    await world.run(600)
    await world.away(0)
    await world.away(0)
    assert world.at == ["a 09:10"]
    await world.scheduler.stop()


@pytest.mark.parametrize("changes", [{"cron": "30 * * * *"}, {"timezone": "Asia/Kolkata"}])
async def test_a_schedule_that_was_changed_meanwhile_has_missed_nothing(world: World, changes: dict[str, str]) -> None:
    await world.scheduler.add(every("a", "0 * * * *"))
    await world.scheduler.start()
    await world.run(10)
    await world.scheduler.stop()
    await world.clock.advance(3 * 3600)
    world.fresh()
    await world.scheduler.add(every("a", **{"cron": "0 * * * *", **changes}))
    await world.scheduler.start()
    await world.run(10)
    assert (world.at, world.decisions) == ([], [])
    await world.scheduler.stop()


async def test_two_nodes_fire_once(world: World) -> None:
    other = Scheduler(world.clock, world.publish, world.stored, world.commit)
    for scheduler in (world.scheduler, other):
        await scheduler.add(every("a", "*/10 * * * *"))
        await scheduler.start()
    await world.run(1800)
    assert world.at == ["a 09:10", "a 09:20", "a 09:30"]
    await world.scheduler.stop()
    await other.stop()


async def test_a_clock_that_is_set_forward_is_noticed_soon(world: World) -> None:
    await world.scheduler.add(every("a", "0 12 * * *"))
    await world.scheduler.start()
    await world.run(10)
    world.clock.set_by(3 * 3600)
    await world.run(RECHECK_SECONDS)
    assert world.at == ["a 12:00"]
    assert world.published[0].data["missed"] is False
    assert world.published[0].data["late_seconds"] <= RECHECK_SECONDS
    await world.scheduler.stop()


async def test_a_clock_that_was_wrong_by_a_year_does_not_silence_a_schedule(world: World) -> None:
    world.clock.set_by(365 * 86_400)
    await world.scheduler.add(every("a", "*/10 * * * *"))
    await world.scheduler.start()
    await world.run(600)
    world.clock.set_by(-365 * 86_400)
    await world.run(600 + RECHECK_SECONDS)
    assert world.at == ["a 09:10", "a 09:20"]
    assert [outcome for _, outcome, _ in world.decisions] == ["clock_went_back"]
    await world.scheduler.stop()


async def test_a_clock_that_goes_back_a_little_fires_nothing_twice(world: World) -> None:
    await world.scheduler.add(every("a", "*/10 * * * *"))
    await world.scheduler.start()
    await world.run(601)
    world.clock.set_by(-5)
    await world.run(1200)
    assert world.at == ["a 09:10", "a 09:20"]
    assert world.decisions == []
    await world.scheduler.stop()


async def test_while_the_database_cannot_be_written_it_tries_again(world: World) -> None:
    tries = 0

    def trouble(event: Event) -> None:
        nonlocal tries
        if event.subject == "a":
            tries += 1
            if world.clock.now() < NINE + 600 + 20:
                raise StoreUnavailable("the disk is full")

    world.trouble = trouble
    for name in ("a", "b"):
        await world.scheduler.add(every(name, "*/10 * * * *"))
    await world.scheduler.start()
    await world.run(601)
    assert world.at == ["b 09:10"]
    await world.run(60)
    assert world.at == ["b 09:10", "a 09:10"]
    assert 4 <= tries <= 6
    await world.scheduler.stop()


async def test_an_event_that_cannot_be_accepted_is_recorded(world: World) -> None:
    def trouble(event: Event) -> None:
        raise InputError("data: too large")

    world.trouble = trouble
    await world.scheduler.add(every("a", "*/10 * * * *"))
    await world.scheduler.start()
    await world.run(1200)
    assert world.decisions == [("a", "refused", "data: too large")] * 2
    await world.scheduler.stop()


async def test_upcoming(world: World) -> None:
    await world.scheduler.add(every("a", "0 * * * *", workflow="clean_up"))
    await world.scheduler.add(every("b", "*/40 * * * *", timezone="Asia/Kolkata"))
    await world.scheduler.add(every("off", "* * * * *", enabled=False))
    found = world.scheduler.upcoming(4)
    assert [(one.name, iso(one.at)[11:16]) for one in found] == [
        ("b", "09:10"),
        ("b", "09:30"),
        ("a", "10:00"),
        ("b", "10:10"),
    ]
    assert (found[2].workflow, found[2].timezone, found[0].timezone) == ("clean_up", "UTC", "Asia/Kolkata")
    assert world.scheduler.upcoming(0) == []
    assert set(world.scheduler.definitions) == {"a", "b", "off"}


async def test_on_a_real_database(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/automation.db")
    await store.open()
    clock = VirtualClock(NINE)

    writing = 0

    async def commit(ops: Sequence[Op]) -> None:
        nonlocal writing
        writing += 1
        await store.commit_patiently(ops)
        writing -= 1

    async def publish(found: Event, *, also: Sequence[Op] = ()) -> EventReceipt:
        await commit([events.insert(found, clock.now(), False), *also])
        return EventReceipt(event_id=found.id)

    async def times(count: int) -> list[str]:
        """The times that are stored, once there are so many; the clock waits for the disk."""
        for _ in range(2000):
            while writing:
                await asyncio.sleep(0.001)
            found = (await events.page(store)).items
            if len(found) >= count:
                break
            await clock.advance(10)
        return [iso(one.event.time)[11:16] for one in found]

    for expected in (["09:10"], ["09:30", "09:10"]):
        scheduler = Scheduler(clock, publish, partial(records.all_positions, store), commit)
        await scheduler.add(every("a", "*/10 * * * *"))
        await scheduler.start()
        assert await times(len(expected)) == expected
        await scheduler.stop()
        await clock.advance(NINE + 1800 + 5 - clock.now())
    [decision] = (await events.decision_page(store, kind="schedule")).items
    assert (decision.outcome, decision.reason[:8]) == ("missed", "1 missed")
    await store.close()
