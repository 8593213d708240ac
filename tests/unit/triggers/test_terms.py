"""On which terms a trigger starts its workflow: throttles, cooldown, priority, hours, switches; and what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import ActionDefinition, Event, WorkflowDefinition
from automation.errors import Conflict
from automation.model.trigger import ActiveHours
from automation.testing import EngineUnderTest, crash_and_recover
from automation.testing import engine as under_test
from automation.triggers.hours import hours_of
from automation.triggers.throttles import Limit, step
from tests.support import handlers


@pytest.fixture
async def engine() -> AsyncIterator[EngineUnderTest]:
    handlers.calls.clear()
    async with under_test(outcomes={"test.record": {}}) as running:
        yield running


async def define(engine: EngineUnderTest, name: str = "w", **terms: Any) -> None:
    action = ActionDefinition(name="a", action_type="test.record", parameters={"value": "${event}"})
    trigger = {"type": "event", "event": "x", **terms}
    await engine.register_workflow(WorkflowDefinition(name=name, actions=(action,), triggers=[trigger]))


async def send(engine: EngineUnderTest, **event: Any) -> list[str]:
    """The workflows that an event starts."""
    receipt = await engine.publish(Event(type="x", **event))
    return [(await engine.queries.execution(known)).workflow for known in receipt.executions]


async def told(engine: EngineUnderTest) -> list[str]:
    """Why what did not start did not."""
    return [decision.outcome for decision in reversed((await engine.queries.decisions()).items)]


async def test_once_within_by_key_also_over_a_death(engine: EngineUnderTest) -> None:
    await define(engine, throttle={"once_within": "5m", "key": "event.subject"})
    assert await send(engine, subject="a") == ["w"]
    assert await send(engine, subject="b") == ["w"]
    again = await crash_and_recover(engine)
    assert await send(again, subject="a") == []
    await again.clock.advance(300)
    assert await send(again, subject="a") == ["w"]
    assert await told(again) == ["throttled"]
    (decision,) = (await again.queries.decisions()).items
    assert "once within 300 s: it has started, not again until 2026-01-01T00:05:00.000Z" in decision.reason


@pytest.mark.parametrize(
    "way", [{"once_within": "5m"}, {"once_after": "5m"}, {"accumulate": {"count": 2, "within": "5m"}}]
)
async def test_the_keys_of_a_throttle_are_bounded_and_the_rest_is_told(
    engine: EngineUnderTest, way: dict[str, Any]
) -> None:
    await define(engine, throttle={**way, "key": "event.subject", "most_keys": 2})
    for subject in ("a", "b", "c", "a"):
        await send(engine, subject=subject)
    refused = [each for each in (await engine.queries.decisions()).items if each.outcome == "too_many_keys"]
    assert [decision.reason for decision in refused] == [
        "w.trigger-0: 2 keys are open, more are not followed; raise most_keys"
    ]

    again = await crash_and_recover(engine)
    await again.clock.advance(301)
    await send(again, subject="c")
    assert (await told(again)).count("too_many_keys") == 1


async def test_once_after_starts_once_with_all_that_has_come(engine: EngineUnderTest) -> None:
    await define(engine, throttle={"once_after": "5m"}, condition="n > 0")
    for n in (1, 2, 0, 3):
        assert await send(engine, subject=f"s{n}", data={"n": n}) == []
        await engine.clock.advance(60)
    again = await crash_and_recover(engine)
    await again.clock.advance(60)

    (found,) = (await again.queries.executions(workflow="w")).items
    event = (await again.queries.execution_detail(found.id)).event or {}
    assert event["type"] == "trigger.once_after"
    assert event["subject"] == "s3"
    assert event["data"]["n"] == 3
    gathered = event["data"]["gathered"]
    assert (gathered["count"], gathered["first"]["subject"], gathered["last"]["subject"]) == (3, "s1", "s3")
    assert await told(again) == ["gathered"] * 3


async def test_accumulate_starts_with_the_last_of_so_many(engine: EngineUnderTest) -> None:
    await define(engine, throttle={"accumulate": {"count": 3, "within": "1m"}})
    assert [await send(engine) for _ in range(4)] == [[], [], ["w"], []]
    await engine.clock.advance(61)
    assert await told(engine) == ["accumulating"] * 3 + ["accumulated_too_few"]
    assert [await send(engine) for _ in range(3)] == [[], [], ["w"]]


async def test_cooldown_begins_with_a_start_and_outlives_a_death(engine: EngineUnderTest) -> None:
    await define(engine, cooldown="10m")
    assert await send(engine) == ["w"]
    again = await crash_and_recover(engine)
    assert await send(again) == []
    await again.clock.advance(599)
    assert await send(again) == []
    await again.clock.advance(1)
    assert await send(again) == ["w"]
    assert await told(again) == ["cooldown", "cooldown"]


async def test_the_first_of_higher_priority_stops_those_of_lower(engine: EngineUnderTest) -> None:
    await define(engine, "low", priority=-5)
    await define(engine, "same", priority=10)
    await define(engine, "first", priority=10, stop=True, condition="event.subject == 's'")
    await define(engine, "middle")

    assert await send(engine) == ["same", "middle", "low"]
    assert sorted(await send(engine, subject="s")) == ["first", "same"]
    assert await told(engine) == ["stopped", "stopped"]


async def test_what_does_not_start_stops_nobody(engine: EngineUnderTest) -> None:
    await define(engine, "first", priority=1, stop=True, cooldown="1h")
    await define(engine, "second")
    assert await send(engine) == ["first"]
    assert await send(engine) == ["second"]


async def test_active_hours(engine: EngineUnderTest) -> None:
    # The clock begins on Thursday, 2026-01-01, at 01:00 in Berlin.
    hours = {"start": "09:00", "end": "17:00", "days": ["thu"], "timezone": "Europe/Berlin"}
    await define(engine, active_hours=hours)
    assert await send(engine) == []
    await engine.clock.advance(8 * 3600)
    assert await send(engine) == ["w"]
    await engine.clock.advance(8 * 3600)
    assert await send(engine) == []
    (decision, _) = (await engine.queries.decisions()).items
    assert decision.reason == "active only 09:00 to 17:00 Europe/Berlin on thu"


async def test_disabled_by_definition_or_by_hand(engine: EngineUnderTest) -> None:
    await define(engine, "off", enabled=False)
    await define(engine)
    switches = engine.triggers.switches
    await switches.turn("w.trigger-0", on=False, actor="ann")
    assert await send(engine) == []
    await define(engine, condition="true")
    assert await send(engine) == [], "a new version is still off"
    await switches.turn("w.trigger-0", on=True, actor="ann")
    assert await send(engine) == ["w"]
    with pytest.raises(Conflict, match="was not disabled by hand"):
        await switches.turn("w", on=True, actor="ann")
    facts = [row for row in (await engine.queries.audit()).items if row.act in ("workflow.enable", "workflow.disable")]
    assert [(row.act, row.subject, row.actor) for row in reversed(facts)] == [
        ("workflow.disable", "w.trigger-0", "ann"),
        ("workflow.enable", "w.trigger-0", "ann"),
    ]


async def test_a_start_that_is_refused_uses_nothing_up(engine: EngineUnderTest) -> None:
    action = ActionDefinition(name="a", action_type="test.record", parameters={"value": "${needed}"})
    trigger = {"type": "event", "event": "x", "cooldown": "1h", "throttle": {"once_within": "1h"}}
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(action,), triggers=[trigger]))
    assert await send(engine) == []
    assert await told(engine) == ["refused"]
    assert await send(engine, data={"needed": 1}) == ["w"]


@given(st.lists(st.integers(0, 9), max_size=20), st.sampled_from(["once_within", "accumulate", "once_after"]))
def test_whatever_comes_throttles_keep_their_word(gaps: list[int], way: str) -> None:
    limit = Limit(way, 10.0, 3 if way == "accumulate" else 0)
    known: dict[str, Any] | None = None
    now, starts, gathered = 0.0, [], 0
    for gap in gaps:
        now += gap
        passage = step(limit, known, {"id": now}, now)
        known = passage.body
        if passage.outcome is None:
            starts.append(now)
        gathered += passage.ended["count"] if passage.ended else 0
    if way == "once_within":
        assert all(later - sooner >= 10 for sooner, later in pairwise(starts))
        assert bool(starts) == bool(gaps)
    elif way == "accumulate":
        assert len(starts) <= len(gaps) // 3
    else:
        assert starts == []
        assert gathered + (known["count"] if known else 0) == len(gaps), "nothing is lost"


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
TIMES = st.builds(lambda hour, minute: f"{hour:02}:{minute:02}", st.integers(0, 23), st.integers(0, 59))


@given(TIMES, TIMES, ZONES, st.integers(1_700_000_000, 1_900_000_000))
def test_hours_are_those_of_the_clocks_on_the_wall(start: str, end: str, zone: str, moment: int) -> None:
    hours = hours_of(ActiveHours(start=start, end=end, timezone=zone))
    there = f"{datetime.fromtimestamp(moment, ZoneInfo(zone)):%H:%M}"
    expected = start <= there < end if start < end else there >= start or there < end
    assert hours.contains(moment) is expected


def test_hours_over_midnight_are_of_the_day_on_which_they_begin() -> None:
    hours = hours_of(ActiveHours(start="22:00", end="06:00", days=("fri",)))
    friday = datetime(2026, 1, 2, 23, tzinfo=ZoneInfo("UTC")).timestamp()
    assert hours.contains(friday)
    assert hours.contains(friday + 6 * 3600)
    assert not hours.contains(friday + 7 * 3600)
    assert not hours.contains(friday - 24 * 3600)
    assert not hours.contains(friday - 20 * 3600)


@pytest.mark.parametrize("throttle", [{}, {"once_within": 1, "once_after": 1}, {"once_within": 1, "other": 1}])
async def test_a_throttle_is_one_of_three(engine: EngineUnderTest, throttle: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|Extra inputs"):
        await define(engine, throttle=throttle)
