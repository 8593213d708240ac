"""A backtest tells what happened, where it can be asked what did, and changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import ActionDefinition, Event, InputError, WorkflowDefinition
from automation.testing import EngineUnderTest
from automation.testing import engine as under_test
from automation.triggers.backtest import Backtest
from automation.workflows.compiler import compile_workflow
from tests.support import handlers

TRIGGERS: dict[str, dict[str, Any]] = {
    "event": {"type": "event", "event": "a", "condition": "n > 3"},
    "count": {"type": "count", "event": "a", "count": 3, "within": "5m", "key": "event.subject"},
    "sequence": {"type": "sequence", "events": [{"event": "a"}, {"event": "b"}], "within": "4m"},
    "not_all": {"type": "not_all", "events": [{"event": "a"}, {"event": "b"}], "within": "3m", "key": "event.subject"},
    "absence": {"type": "absence", "event": "a", "within": "6m", "key": "event.subject"},
    "once_after": {"type": "event", "event": "a", "throttle": {"once_after": "7m"}},
    "once_within": {"type": "event", "event": "a", "throttle": {"once_within": "7m", "key": "event.subject"}},
    "accumulate": {"type": "event", "event": "a", "throttle": {"accumulate": {"count": 4, "within": "9m"}}},
    "cooldown": {"type": "event", "event": "b", "cooldown": "10m"},
}


def workflow(trigger: dict[str, Any], name: str = "w") -> WorkflowDefinition:
    action = ActionDefinition(name="a", action_type="test.record")
    return WorkflowDefinition(name=name, actions=(action,), triggers=[trigger])


@pytest.fixture
async def engine() -> AsyncIterator[EngineUnderTest]:
    handlers.calls.clear()
    async with under_test(outcomes={"test.record": {}}) as running:
        yield running


async def live(engine: EngineUnderTest, events: int) -> None:
    """Let things happen, at random times."""
    chance = random.Random(7)
    for _ in range(events):
        subject, number = chance.choice("xy"), chance.randrange(6)
        await engine.publish(Event(type=chance.choice("aab"), subject=subject, data={"n": number}))
        await engine.clock.advance(chance.choice([1, 20, 100, 400]))
    await engine.clock.advance(3600)


async def tried(engine: EngineUnderTest, name: str, trigger: dict[str, Any] | None = None) -> Backtest:
    plan = engine.workflow_manager.plan(name)
    new = compile_workflow(workflow(trigger, name)) if trigger is not None else plan
    return await engine.triggers.backtest(new, plan, 0.0)


async def test_what_it_tells_is_what_happened(engine: EngineUnderTest) -> None:
    for name, trigger in TRIGGERS.items():
        await engine.register_workflow(workflow(trigger, name))
    await live(engine, 60)
    decisions = (await engine.queries.decisions(limit=1000)).items
    told = Counter((decision.subject, decision.outcome) for decision in decisions)

    for name in TRIGGERS:
        found = await tried(engine, name)
        executions = (await engine.queries.executions(workflow=name, limit=1000)).items
        assert found.tried.count == len(executions) > 0, name
        assert [start.event_id for start in found.tried.starts] == [run.event_id for run in reversed(executions)]
        assert dict(found.tried.held_back) == {outcome: n for (of, outcome), n in told.items() if of == name}
        assert (found.events, found.complete) == (60, True)
        assert found.tried == found.current
        assert found.gained == found.lost == ()
    assert len((await engine.queries.decisions(limit=1000)).items) == len(decisions), "nothing was written"


async def test_another_version_is_compared_with_that_in_force(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(TRIGGERS["event"], "event"))
    for number in range(8):
        await engine.publish(Event(type="a", id=f"{number}", data={"n": number}))

    found = await tried(engine, "event", {**TRIGGERS["event"], "condition": "n > 1 AND n < 6"})

    assert [start.event_id for start in found.gained] == ["2", "3"]
    assert [start.event_id for start in found.lost] == ["6", "7"]
    assert (found.tried.count, found.current and found.current.count) == (4, 4)
    with pytest.raises(InputError, match="future"):
        await engine.triggers.backtest(engine.workflow_manager.plan("event"), None, engine.clock.now() + 1)
