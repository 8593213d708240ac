"""Replays: what was missed is started once, what was held back on purpose is not; and what an event is explained as."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import ActionDefinition, Event, InputError, WorkflowDefinition
from automation.model.event import as_mapping
from automation.store.dead_letters import DeadLetter
from automation.store.store import to_json
from automation.testing import EngineUnderTest
from automation.testing import engine as under_test
from automation.triggers.replay import Replayed
from tests.support import handlers


@pytest.fixture
async def engine() -> AsyncIterator[EngineUnderTest]:
    handlers.calls.clear()
    async with under_test(outcomes={"test.record": {}}) as running:
        yield running


async def define(engine: EngineUnderTest, name: str = "w", value: str = "${event.subject}", **terms: Any) -> None:
    action = ActionDefinition(name="a", action_type="test.record", parameters={"value": value})
    trigger = {"type": "event", "event": "x", **terms}
    await engine.register_workflow(WorkflowDefinition(name=name, actions=(action,), triggers=[trigger]))


async def replay(engine: EngineUnderTest, **how: Any) -> list[Replayed]:
    """All portions of a replay of everything."""
    found, after = [], 0
    while True:
        report = await engine.triggers.replay.run(0.0, after=after, **how)
        found += report.items
        if report.after is None:
            return found
        after = report.after


def told(found: list[Replayed]) -> list[tuple[str, str | None, str]]:
    return [(item.event_id, item.workflow, item.outcome) for item in found]


async def test_a_workflow_that_comes_late_gets_its_events_once(engine: EngineUnderTest) -> None:
    for number in range(450):
        await engine.publish(Event(type="x" if number % 3 == 0 else "y", id=f"{number}"))
    await define(engine)

    tried = await replay(engine, dry_run=True)
    assert [item.outcome for item in tried] == ["would_start"] * 150
    assert (await engine.queries.executions(workflow="w")).items == ()

    first, second = await asyncio.gather(replay(engine, actor="ann"), replay(engine, actor="bob"))
    outcomes = [item.outcome for item in (*first, *second)]
    assert (outcomes.count("started"), outcomes.count("started_before")) == (150, 150)
    assert len((await engine.queries.executions(workflow="w", limit=1000)).items) == 150
    assert {item.outcome for item in await replay(engine)} == {"started_before"}
    detail = await engine.queries.event("0")
    assert [execution.workflow for execution in detail.executions] == ["w"]


async def test_what_was_refused_is_started_and_what_was_held_back_is_not(engine: EngineUnderTest) -> None:
    await define(engine, "lacks", value="${needed}")
    await define(engine, "rests", cooldown="1h")
    await define(engine, "off", enabled=False)
    await engine.publish(Event(type="x", id="1"))
    await engine.publish(Event(type="x", id="2"))
    assert ("1", "lacks", "refused") in told(await replay(engine))

    await define(engine, "lacks", value="${event.id}")
    await define(engine, "off")
    found = told(await replay(engine))

    assert sorted(found) == [
        ("1", "lacks", "started"),
        ("1", "off", "started"),
        ("1", "rests", "started_before"),
        ("2", "lacks", "started"),
        ("2", "off", "started"),
        ("2", "rests", "held_back"),
    ]


async def test_patterns_and_throttles_are_left_alone(engine: EngineUnderTest) -> None:
    action = ActionDefinition(name="a", action_type="test.record")
    trigger = {"type": "count", "event": "x", "count": 2, "within": "1h"}
    await engine.publish(Event(type="x", id="1"))
    await engine.publish(Event(type="x", id="2"))
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(action,), triggers=[trigger]))
    assert await replay(engine) == []


async def test_a_refused_event_is_kept_for_a_replay_whatever_is_retained(engine: EngineUnderTest) -> None:
    engine._dispatcher.retain = "none"
    await define(engine, value="${needed}")
    await engine.publish(Event(type="x", id="1"))
    await define(engine)
    assert told(await replay(engine)) == [("1", "w", "started")]


async def test_dead_letters_that_are_events_are_taken_in(engine: EngineUnderTest) -> None:
    await define(engine)
    event = Event(type="x", id="1", source="s")
    letters = [
        DeadLetter.new(1.0, "file", to_json(as_mapping(event)), "the id was too long"),
        DeadLetter.new(2.0, "file", "{broken", "not JSON"),
    ]
    await engine.store.commit([letter.op() for letter in letters])

    assert [item.outcome for item in await replay(engine, dry_run=True)] == ["refused", "would_try"]
    assert sorted(item.outcome for item in await replay(engine)) == ["accepted", "refused"]
    assert [item.outcome for item in await replay(engine) if item.type == "dead_letter"] == ["refused"]
    assert len((await engine.queries.executions(workflow="w")).items) == 1
    newest, oldest = (await engine.triggers.replay.dead()).items
    assert (newest.body, newest.replayed_at) == ("{broken", None)
    assert oldest.replayed_at == engine.clock.now()


async def test_a_replay_of_the_future_is_refused(engine: EngineUnderTest) -> None:
    with pytest.raises(InputError, match="future"):
        await engine.triggers.replay.run(engine.clock.now() + 1)


async def test_an_event_is_explained_with_values(engine: EngineUnderTest) -> None:
    await define(engine, "high", condition="load > 5 AND host == 'a1'")
    await define(engine, "low", condition="load < 5")
    await define(engine, "off", enabled=False)
    await define(engine, "elsewhere", event="y")

    found = {
        rule.workflow: (reason, told)
        for rule, reason, told in engine.triggers.explain(Event(type="x", data={"load": 9}))
    }

    assert set(found) == {"high", "low", "off"}
    assert found["high"][0] == "condition \"load > 5 AND host == 'a1'\" is unknown"
    reason, (told_low,) = found["low"]
    assert reason == "condition 'load < 5' is false"
    assert (told_low.value, [(part.text, part.value) for part in told_low.children]) == (False, [("load", 9)])
    assert found["off"][0] == "the trigger is disabled"
