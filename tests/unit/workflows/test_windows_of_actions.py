"""Windows over metrics in what actions are asked: conditions, `wait_for`, `repeat`, and the triggers of a rollback."""

from __future__ import annotations

from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationEngine,
    Event,
    ExecutionContext,
    ExecutionResult,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.conditions import Gap, Window
from automation.errors import DefinitionError
from automation.testing import engine
from automation.workflows.compiler import compile_workflow
from automation.workflows.dryrun import Outlook, foresee
from automation.workflows.plan import Plan
from tests.support.virtual import until

HIGH = "avg(latency, 10m) > 250ms"


def act(name: str, **further: Any) -> ActionDefinition:
    return ActionDefinition.model_validate(
        {"name": name, "action_type": "flow.set", "parameters": {"values": {}}, **further}
    )


async def run(running: AutomationEngine, *actions: ActionDefinition, subject: str = "api") -> ExecutionResult:
    await running.register_workflow(WorkflowDefinition(name="w", actions=actions))
    event = {"type": "x", "subject": subject, "source": "test", "data": {"service": "web"}}
    return await running.execute_workflow("w", ExecutionContext(event=event))


async def measured(running: AutomationEngine, **latencies: float) -> None:
    """An engine that has run for an hour, and has seen these latencies of these subjects."""
    await running.clock.advance(3600)
    for subject, latency in latencies.items():
        await running.observe("latency", latency, subject=subject)


async def skipped(running: AutomationEngine, result: ExecutionResult) -> dict[str, str | None]:
    found = await running.queries.execution_detail(result.execution_id)
    return {each.name: each.reason for each in found.actions if each.status.value == "skipped"}


async def test_the_condition_of_an_action_sees_the_subject_that_it_is_about() -> None:
    async with engine() as running:
        await measured(running, api=0.5, web=0.1)
        result = await run(
            running,
            act("of_the_event", conditions=[HIGH]),
            act("other", conditions=["max(latency, 10m) > 250ms"], depends_on=[]),
            subject="web",
        )
        assert await skipped(running, result) == {
            "of_the_event": f"condition '{HIGH}' is false",
            "other": "condition 'max(latency, 10m) > 250ms' is false",
        }
        assert await skipped(running, await run(running, act("a", conditions=[HIGH]))) == {}


async def test_a_service_that_an_action_names_is_its_subject() -> None:
    def probe(name: str, service: str) -> ActionDefinition:
        return ActionDefinition.model_validate(
            {
                "name": name,
                "action_type": "infrastructure.restart_service",
                "parameters": {"service_name": service},
                "conditions": [HIGH],
            }
        )

    async with engine(outcomes={"infrastructure.restart_service": {}}) as running:
        await measured(running, api=0.5, web=0.1)
        result = await run(running, probe("written", "api"), probe("given", "${service}"), probe("later", "${gone}"))
        assert await skipped(running, result) == {
            "given": f"condition '{HIGH}' is false",
            "later": f"condition '{HIGH}' is unknown (avg(latency, 10m): which subject the action is about is not "
            "known yet: no value for gone)",
        }


async def test_what_is_not_known_of_a_window_skips_and_says_why() -> None:
    async with engine() as running:
        result = await run(running, act("a", conditions=[HIGH]))
        assert await skipped(running, result) == {
            "a": f"condition '{HIGH}' is unknown (avg(latency, 10m): only the last 0 of 600 seconds are known)"
        }


async def test_a_wait_ends_with_an_event_whose_subject_has_what_the_window_asks_for() -> None:
    wait = {"event": "checked", "condition": "event.data.number == ${number} AND max(latency, 5m) < 100ms"}
    async with engine() as running:
        await measured(running, api=0.5, web=0.05)
        action = ActionDefinition.model_validate({"name": "calm", "wait_for": wait})
        await running.register_workflow(WorkflowDefinition(name="w", actions=(action,)))
        execution_id = await running.start_workflow("w", ExecutionContext(variables={"number": 7}))

        async def waits() -> bool:
            return await running.get_workflow_status(execution_id) is WorkflowStatus.WAITING

        await until(waits)
        for subject, number in (("api", 7), ("web", 8), ("none", 7)):
            data = {"number": number, "max(latency, 5m)": 0.01}
            receipt = await running.publish(Event(type="checked", subject=subject, data=data))
            assert receipt.woken == ()
        receipt = await running.publish(Event(type="checked", subject="web", data={"number": 7}))
        assert receipt.woken == (execution_id,)
        assert (await running.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_an_action_is_repeated_until_a_window_shows_it() -> None:
    repeat = {"until": "max(latency, 1m) < 100ms", "max": 10, "delay": "30s"}
    async with engine() as running:
        await measured(running, api=0.5)
        await running.register_workflow(WorkflowDefinition(name="w", actions=(act("a", repeat=repeat),)))
        event = {"type": "x", "subject": "api", "source": "test", "data": {}}
        execution_id = await running.start_workflow("w", ExecutionContext(event=event))

        await running.clock.advance(45)
        await running.observe("latency", 0.05, subject="api")
        assert (await running.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED
        [done] = (await running.queries.execution_detail(execution_id)).actions
        # At 0, 30 and 60 s the high sample is in the window of a minute.
        assert (done.iteration, round(done.finished_at - done.started_at)) == (4, 90)


@pytest.mark.parametrize(("latency", "status"), [(0.5, "rolled_back"), (0.1, "failed")])
async def test_a_window_decides_about_a_rollback(latency: float, status: str) -> None:
    strategy = {"enabled": True, "triggers": [HIGH]}
    async with engine() as running:
        await measured(running, api=latency)
        failing = ActionDefinition(name="b", action_type="flow.fail", parameters={"message": "no"})
        definition = {"name": "w", "actions": (act("a"), failing), "rollback_strategy": strategy}
        await running.register_workflow(WorkflowDefinition.model_validate(definition))
        event = {"type": "x", "subject": "api", "source": "test", "data": {}}
        result = await running.execute_workflow("w", ExecutionContext(event=event))
        assert result.status.value == status


def test_a_dry_run_shows_what_is_measured_now_and_nothing_of_later() -> None:
    asked: list[tuple[str, str]] = []

    def measure(window: Window, subject: str) -> float | bool | Gap:
        asked.append((window.metric, subject))
        return 0.5

    plan = compile_workflow(
        WorkflowDefinition(
            name="w",
            conditions=(f"event.type == 'x' AND {HIGH}",),
            actions=tuple(act(n, conditions=[HIGH]) for n in "ab"),
        )
    )
    event = {"type": "x", "subject": "api", "data": {}}
    found = foresee(plan, {}, event, Outlook(measure=measure))
    assert (found.starts, [step.runs for step in found.steps]) == ("true", ["true", "unknown"])
    assert set(asked) == {("latency", "api")}
    assert foresee(plan, {}, event).starts == "unknown"


def test_a_metric_of_a_window_is_no_input_and_no_constant() -> None:
    def plan(condition: str) -> Plan:
        actions = [act("a", conditions=[condition]), act("b", depends_on=["a"], join="any")]
        return compile_workflow(
            WorkflowDefinition.model_validate(
                {"name": "w", "inputs": {"limit": {"type": "number"}}, "actions": actions}
            )
        )

    [condition] = plan(f"{HIGH} AND limit > 5").steps[0].conditions
    assert condition.names == {"limit"}
    assert plan(HIGH).steps[0].conditions[0].names == set()
    with pytest.raises(DefinitionError, match="'latency' is neither a declared input nor an output"):
        plan(f"{HIGH} AND latency > 5")
    with pytest.raises(DefinitionError, match="can never be met: a can never succeed"):
        plan("1 > 2")
