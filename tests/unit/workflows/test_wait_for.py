"""`wait_for`: actions that wait for an event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    Event,
    ExecutionContext,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import DefinitionError, StoreUnavailable
from automation.model.event import EventReceipt
from automation.model.execution import ActionRun
from automation.store import waits
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store
from automation.workflows.compiler import compile_workflow
from tests.support import handlers
from tests.support.virtual import ended, until


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.gates.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


def wait(name: str = "paid", event: str = "order_paid", **further: Any) -> ActionDefinition:
    rest = {key: further.pop(key) for key in list(further) if key in ActionDefinition.model_fields}
    return ActionDefinition.model_validate({"name": name, "wait_for": {"event": event, **further}, **rest})


async def start(engine: AutomationEngine, *actions: ActionDefinition, name: str = "w", **variables: Any) -> str:
    await engine.register_workflow(WorkflowDefinition(name=name, actions=actions))
    return await engine.start_workflow(name, ExecutionContext(variables=variables))


async def action(engine: AutomationEngine, execution_id: str, name: str) -> ActionRun:
    detail = await engine.queries.execution_detail(execution_id)
    return next(run for run in detail.actions if run.name == name)


async def waiting(engine: AutomationEngine, *execution_ids: str) -> None:
    async def all_wait() -> bool:
        return all([await engine.get_workflow_status(each) is WorkflowStatus.WAITING for each in execution_ids])

    await until(all_wait)


async def publish(engine: AutomationEngine, type: str = "order_paid", **data: Any) -> EventReceipt:
    return await engine.publish(Event(type=type, source="shop", data=data))


async def test_an_event_ends_the_wait_and_its_data_are_the_outputs(engine: AutomationEngine) -> None:
    execution_id = await start(engine, wait(), act("next", parameters={"value": "${amount}"}))
    await waiting(engine, execution_id)
    held = await action(engine, execution_id, "paid")
    assert (held.waits_for, held.wake_at, held.reason) == ("event", None, "waits for an event order_paid")

    receipt = await publish(engine, amount=12)
    result = await engine.wait_for(execution_id)

    assert receipt.woken == (execution_id,)
    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["paid"] == {"amount": 12}
    assert handlers.calls == [("next", 12)]
    assert await waits.for_events(engine.store) == []
    assert (await publish(engine, amount=13)).woken == ()


async def test_a_condition_says_which_event_it_is(engine: AutomationEngine) -> None:
    condition = "event.data.order == order AND amount >= 10"
    first = await start(engine, wait(condition=condition), order="a-1")
    second = await start(engine, wait(condition=condition), order="a-2")
    await waiting(engine, first, second)

    assert (await publish(engine, order="a-1", amount=9)).woken == ()
    assert (await publish(engine, order="a-3", amount=10)).woken == ()
    assert (await publish(engine, order="a-2", amount=10)).woken == (second,)

    assert (await engine.wait_for(second)).status is WorkflowStatus.SUCCEEDED
    assert await engine.get_workflow_status(first) is WorkflowStatus.WAITING


@pytest.mark.parametrize(
    "condition",
    [
        "event.data.order == order",
        "event.data.order == context.order",
        "event.data.order == ${order}",
        "event.data.order == actions.make.number",
        "event.data.order == ${actions.make.number} AND event.subject == ''",
        "event.data.order IN [order, 'x'] AND order_paid",
    ],
)
async def test_values_of_the_execution_can_be_named(engine: AutomationEngine, condition: str) -> None:
    make = act("make", parameters={"values": {"number": "a-1"}})
    execution_id = await start(engine, make, wait(condition=condition), order="a-1")
    await waiting(engine, execution_id)

    assert (await publish(engine, order="a-2")).woken == ()
    assert (await publish(engine, order="a-1")).woken == (execution_id,)


async def test_what_a_value_says_never_becomes_a_part_of_the_condition(engine: AutomationEngine) -> None:
    execution_id = await start(engine, wait(condition="event.data.order == ${order}"), order="x' OR 'a' == 'a")
    await waiting(engine, execution_id)

    assert (await publish(engine, order="y")).woken == ()
    assert (await publish(engine, order="x' OR 'a' == 'a")).woken == (execution_id,)


async def test_a_bare_name_is_never_of_the_event_that_started_the_execution(engine: AutomationEngine) -> None:
    await engine.register_workflow(
        WorkflowDefinition.model_validate(
            {
                "name": "w",
                "triggers": [{"type": "event", "event": "ordered"}],
                "actions": [
                    {
                        "name": "paid",
                        "wait_for": {
                            "event": "order_paid",
                            "condition": "state == 'done' AND order == ${event.data.order}",
                        },
                    }
                ],
            }
        )
    )
    receipt = await engine.publish(Event(type="ordered", source="shop", data={"order": 7, "state": "new"}))
    await waiting(engine, *receipt.executions)

    assert (await publish(engine, order=8, state="done")).woken == ()
    assert (await publish(engine, order=7, state="done")).woken == receipt.executions


async def test_one_event_wakes_all_who_wait_for_it_and_only_once(engine: AutomationEngine) -> None:
    found = [await start(engine, wait()) for _ in range(3)]
    await waiting(engine, *found)

    receipts = await asyncio.gather(*(publish(engine, n=n) for n in range(3)))
    results = [await engine.wait_for(each) for each in found]

    assert {result.status for result in results} == {WorkflowStatus.SUCCEEDED}
    assert len({result.outputs["paid"]["n"] for result in results}) == 1
    assert {each for receipt in receipts for each in receipt.woken} == set(found)


async def test_an_event_of_before_does_not_count(engine: AutomationEngine) -> None:
    await publish(engine)
    execution_id = await start(engine, wait())
    await waiting(engine, execution_id)
    await asyncio.sleep(1.2)

    assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING


async def test_a_duplicate_event_wakes_nobody(engine: AutomationEngine) -> None:
    event = Event(type="order_paid", source="shop", id="e-1")
    await engine.publish(event)
    execution_id = await start(engine, wait())
    await waiting(engine, execution_id)

    receipt = await engine.publish(event)

    assert receipt.duplicate
    assert receipt.woken == ()
    assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING


async def test_an_event_during_other_work_is_not_overlooked(engine: AutomationEngine) -> None:
    execution_id = await start(engine, wait(depends_on=[]), act("busy", "test.gate", depends_on=[]))
    while not await waits.for_events(engine.store):
        await asyncio.sleep(0.005)

    assert (await publish(engine)).woken == (execution_id,)

    async def come() -> bool:
        return (await action(engine, execution_id, "paid")).status.finished

    await until(come)
    assert await engine.get_workflow_status(execution_id) is WorkflowStatus.RUNNING
    handlers.open_gate(None)
    result = await engine.wait_for(execution_id)

    ends = {run.name: run.finished_at or 0.0 for run in result.actions}
    assert ends["paid"] < ends["busy"]


async def test_no_moment_is_too_early(engine: AutomationEngine) -> None:
    """An event that is published any time after the start wakes the execution, or came before it began to wait."""
    for steps in range(30):
        execution_id = await start(engine, wait(), steps=steps)
        for _ in range(steps):
            await asyncio.sleep(0.0002)
        await publish(engine, steps=steps)

        async def waits_or_has_ended(execution_id: str = execution_id) -> bool:
            status = await engine.get_workflow_status(execution_id)
            return status is WorkflowStatus.WAITING or status.finished

        await until(waits_or_has_ended)
        # The first may have come before the wait began.
        await publish(engine)
        async with asyncio.timeout(30):
            assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_wait_that_comes_to_the_disk_during_a_look_is_not_forgotten(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looked, go_on = waits.for_events, asyncio.Event(), asyncio.Event()

    async def slow_look(store: Store) -> list[waits.Wait]:
        found = await look(store)
        looked.set()
        await go_on.wait()
        return found

    begun, commit = asyncio.Event(), engine.store.post

    def late_commit(ops: Sequence[Op], facts: Sequence[Fact] = ()) -> asyncio.Future[None]:
        async def write() -> None:
            begun.set()
            await looked.wait()
            await commit(ops, facts)

        return asyncio.ensure_future(write())

    monkeypatch.setattr(waits, "for_events", slow_look)
    monkeypatch.setattr(engine.store, "post", late_commit)
    execution_id = await start(engine, wait())
    await begun.wait()
    look_of_recovery = asyncio.create_task(engine._awaited.load())
    await waiting(engine, execution_id)
    go_on.set()
    await look_of_recovery
    await publish(engine)

    async with asyncio.timeout(10):
        assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_wait_survives_a_restart(config: AutomationConfig) -> None:
    async with AutomationEngine(config) as first:
        execution_id = await start(first, wait(condition="event.data.order == order"), order=1)
        await waiting(first, execution_id)
    async with AutomationEngine(config) as second:
        assert (await publish(second, order=2)).woken == ()
        assert (await publish(second, order=1)).woken == (execution_id,)
        assert (await second.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_another_engine_takes_the_event_in(config: AutomationConfig) -> None:
    async with AutomationEngine(config) as waits_here, AutomationEngine(config) as publishes_here:
        parked = await start(waits_here, wait())
        busy = await start(
            waits_here,
            wait(depends_on=[]),
            act("b", "test.gate", depends_on=[]),
            name="busy",
        )
        await waiting(waits_here, parked)

        async def busy_waits_too() -> bool:
            return (await action(waits_here, busy, "paid")).waits_for == "event"

        await until(busy_waits_too)
        # At once: the other engine may not know of the waits yet.
        await publish(publishes_here, n=1)
        async with asyncio.timeout(30):
            assert (await waits_here.wait_for(parked)).status is WorkflowStatus.SUCCEEDED

            async def come() -> bool:
                return (await action(waits_here, busy, "paid")).status.finished

            await until(come)
            assert await waits_here.get_workflow_status(busy) is WorkflowStatus.RUNNING
            handlers.open_gate(None)
            assert (await waits_here.wait_for(busy)).outputs["paid"] == {"n": 1}


@pytest.mark.parametrize("timeout", [90, "1m30s", "${patience}"])
async def test_a_wait_in_vain_fails(config: AutomationConfig, timeout: Any) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        execution_id = await start(engine, wait(timeout=timeout), patience="90s")
        await waiting(engine, execution_id)
        await clock.advance(89)
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        result = await ended(engine, clock, execution_id)

        assert result.status is WorkflowStatus.FAILED
        assert "ActionTimeout: no event order_paid came within" in (result.error or "")
        assert result.actions[0].attempt == 1
        assert (await publish(engine)).woken == ()
        assert await waits.for_events(engine.store) == []


async def test_a_database_that_is_away_when_the_time_is_over_fails_nothing(
    config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, failures = waits.met_of, iter(range(2))

    async def unwell(store: Store, execution_id: str) -> list[waits.Met]:
        if next(failures, None) is not None:
            raise StoreUnavailable("the server has gone away")
        return await look(store, execution_id)

    monkeypatch.setattr(waits, "met_of", unwell)
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        execution_id = await start(engine, wait(timeout=90, on_timeout="continue"))
        await waiting(engine, execution_id)
        await clock.advance(91)
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["paid"] == {"timed_out": True}


async def test_a_wait_in_vain_can_be_no_failure(config: AutomationConfig) -> None:
    clock = VirtualClock()
    after = act("reminded", conditions=["actions.paid.timed_out"])
    async with AutomationEngine(config, clock=clock) as engine:
        execution_id = await start(engine, wait(timeout="1h", on_timeout="continue"), after)
        await waiting(engine, execution_id)
        await clock.advance(3600)
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["paid"] == {"timed_out": True}
    assert handlers.calls == [("reminded", None)]


async def test_a_cancelled_wait_leaves_nothing_behind(engine: AutomationEngine) -> None:
    execution_id = await start(engine, wait())
    await waiting(engine, execution_id)

    await engine.cancel(execution_id)
    assert (await engine.wait_for(execution_id)).status is WorkflowStatus.CANCELLED

    assert await waits.for_events(engine.store) == []
    assert (await publish(engine)).woken == ()


async def test_items_wait_each_for_its_own_and_leave_memory_together(engine: AutomationEngine) -> None:
    each = wait(for_each=["a", "b", "c"], condition="event.data.order == item")
    execution_id = await start(engine, each, act("end", parameters={"value": "${actions.paid.results}"}))
    await waiting(engine, execution_id)
    held = await action(engine, execution_id, "paid")
    assert (held.waits_for, held.reason) == ("items", "3 items wait")

    for order in ("b", "c", "a"):
        assert (await publish(engine, order=order)).woken == (execution_id,)
        await asyncio.sleep(0.02)
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("end", [{"order": "a"}, {"order": "b"}, {"order": "c"}])]


async def test_no_more_items_wait_than_may_run_at_the_same_time(engine: AutomationEngine) -> None:
    cap = {"items": ["a", "b", "c"], "concurrency": 2}
    execution_id = await start(engine, wait(for_each=cap, condition="event.data.order == item"))
    await waiting(engine, execution_id)

    assert (await publish(engine, order="c")).woken == ()
    await publish(engine, order="a")

    async def c_waits() -> bool:
        return {found.action for found in await waits.for_events(engine.store)} == {"paid[1]", "paid[2]"}

    await until(c_waits)
    await publish(engine, order="b")
    await publish(engine, order="c")
    assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_items_wait_for_times_beside_events_after_a_restart(config: AutomationConfig) -> None:
    clock = VirtualClock()
    each = act("pause", "flow.wait", parameters={"seconds": "${item}"}, for_each=[100, 7200, 3600])
    async with AutomationEngine(config, clock=clock) as first:
        execution_id = await start(first, each)
        await waiting(first, execution_id)
        await clock.advance(101)
    async with AutomationEngine(config, clock=clock) as second:
        await waiting(second, execution_id)
        await clock.advance(7200)
        result = await ended(second, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["pause"]["succeeded"] == 3


async def test_what_is_not_kept_of_other_events_is_kept_of_one_that_wakes(config: AutomationConfig) -> None:
    none = config.model_copy(update={"events": config.events.model_copy(update={"retain": "none"})})
    async with AutomationEngine(none) as engine:
        execution_id = await start(engine, wait())
        await waiting(engine, execution_id)
        await publish(engine, type="other")
        await publish(engine)
        assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED
        assert [stored.event.type for stored in (await engine.queries.events()).items] == ["order_paid"]


@pytest.mark.parametrize(
    ("action", "path", "message"),
    [
        ({"wait_for": {"event": "x", "condition": "a =="}}, "wait_for.condition", "column 5"),
        ({"wait_for": {"event": "x", "condition": "a == '${b}'"}}, "wait_for.condition", "without quotes"),
        ({"wait_for": {"event": "x", "timeout": "soon"}}, "wait_for.timeout", "neither seconds"),
        ({"wait_for": {"event": "x"}, "action_type": "test.record"}, "wait_for", "does nothing else"),
        ({"action_type": "flow.wait_for"}, "wait_for", "is required by flow.wait_for"),
        ({"wait_for": {"event": "x", "condition": "a == ${actions.nobody.x}"}}, "wait_for", "no action 'nobody'"),
        (
            {"wait_for": {"event": "x", "condition": "a == actions.nobody.x"}},
            "wait_for.condition",
            "no action 'nobody'",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(action: dict[str, Any], path: str, message: str) -> None:
    definition = WorkflowDefinition.model_validate({"name": "w", "actions": [{"name": "a", **action}]})
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(definition)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert message in found[f"actions[0].{path}"]


def test_with_declared_inputs_what_a_value_is_taken_from_is_checked() -> None:
    def compiled(condition: str) -> None:
        action = {"name": "a", "wait_for": {"event": "x", "condition": condition}}
        definition = {"name": "w", "actions": [action], "inputs": {"order": {"type": "string"}}}
        compile_workflow(WorkflowDefinition.model_validate(definition))

    compiled("number == ${order} AND order == 'x'")
    compiled("event.data.order == ${order} AND event.data.number == ${event.data.number}")
    for trap in ("order == ${order}", "event.subject == 'x' AND ${ order } == order", "order IN ${order}"):
        with pytest.raises(DefinitionError, match=r"wait_for\.condition: order is the .* write event\.data\.order for"):
            compiled(trap)
    with pytest.raises(DefinitionError, match=r"actions\[0\].wait_for: 'ordre' is neither a declared input"):
        compiled("number == ${ordre}")
