"""Guardrails in a running engine: what is refused, waits, is stored, and is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    Event,
    ServiceDefinition,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import Conflict, NotFound
from automation.model.execution import ActionStatus, ExecutionResult
from automation.model.guardrail import FreezeWindow
from automation.store.tables import acts
from tests.support import guarded
from tests.support.guarded import Replicas


@pytest.fixture(autouse=True)
def _fresh() -> None:
    guarded.done.clear()


class Stage:
    """An engine in virtual time."""

    def __init__(self, config: AutomationConfig, clock: VirtualClock, guardrails: dict[str, Any]) -> None:
        self.config = AutomationConfig(**{**config.model_dump(), "level": "autonomous", "guardrails": guardrails})
        self.clock = clock
        self.engine = AutomationEngine(self.config, clock=clock)
        self.replicas = Replicas()
        self.engine.services.platform = lambda service: self.replicas  # type: ignore[method-assign,assignment,return-value]
        self.engine.services.define(_service("api", labels={"tier": "1"}))
        self.engine.services.define(_service("web"))

    async def define(self, name: str = "w", *actions: dict[str, Any], **more: Any) -> None:
        steps = actions or ({},)
        definition = {
            "name": name,
            "actions": [{"name": f"a{n}", **_restart(), **step} for n, step in enumerate(steps)],
            **more,
        }
        await self.engine.register_workflow(WorkflowDefinition.model_validate(definition))

    async def run(self, name: str = "w") -> ExecutionResult:
        return await self.engine.execute_workflow(name)

    async def start(self, name: str = "w") -> str:
        """Start, and wait until it waits."""
        execution_id = await self.engine.start_workflow(name)
        await self.until(execution_id, WorkflowStatus.WAITING)
        return execution_id

    async def until(self, execution_id: str, status: WorkflowStatus) -> None:
        async with asyncio.timeout(30):
            while await self.engine.get_workflow_status(execution_id) is not status:
                await self.clock.advance(0.01)
                await asyncio.sleep(0.002)

    async def end(self, execution_id: str, seconds: float = 0.0) -> ExecutionResult:
        await self.clock.advance(seconds)
        async with asyncio.timeout(30):
            while not (await self.engine.get_workflow_status(execution_id)).finished:
                await self.clock.advance(0.01)
                await asyncio.sleep(0.002)
        return await self.engine.wait_for(execution_id)

    async def held(self, number: int) -> None:
        """Wait until so many actions are held."""
        async with asyncio.timeout(30):
            while len((await self.engine.guardrails.status()).held) != number:
                await asyncio.sleep(0.01)

    def count(self, guardrail: str) -> float:
        labels = {"guardrail": guardrail}
        return self.engine.metrics.registry.get_sample_value("guardrail_refusals_total", labels) or 0.0


def _service(name: str, **more: Any) -> ServiceDefinition:
    return ServiceDefinition(name=name, settings={"command": ["true"]}, **more)


def _restart(service: str = "api", **more: Any) -> dict[str, Any]:
    return {"action_type": "guarded.restart", "parameters": {"service_name": service, **more}}


Make = Any


@pytest.fixture
async def stage(config: AutomationConfig) -> AsyncIterator[Make]:
    clock = VirtualClock()
    opened: list[AutomationEngine] = []

    async def make(**guardrails: Any) -> Stage:
        made = Stage(config, clock, guardrails)
        await made.engine.start(watch=False)
        opened.append(made.engine)
        return made

    yield make
    for engine in opened:
        await engine.stop()


def error_of(result: ExecutionResult) -> str:
    return (result.actions[0].error or {}).get("message", "")


# ------------------------------------------------------------------------------------------------ refused, and told


async def test_a_refusal_fails_the_action_and_is_stored_counted_and_audited(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    trigger = [{"type": "event", "event": "sick"}]
    await here.define(triggers=trigger)
    first = await here.run()
    await here.clock.advance(100)
    receipt = await here.engine.publish(Event(type="sick", id="e-1", source="test"))
    second = await here.engine.wait_for(receipt.executions[0])

    assert first.status is WorkflowStatus.SUCCEEDED
    assert second.status is WorkflowStatus.FAILED
    sentence = "guardrail cooldown: guarded.restart acted on api 100 s ago, and does so every 600 s at most"
    assert second.error == f"a0: GuardrailRefused: {sentence}"
    assert guarded.done == [("restart", "api")]
    assert here.count("cooldown") == 1
    [decision] = (await here.engine.queries.decisions(kind="guardrail")).items
    assert (decision.subject, decision.outcome, decision.event_id) == ("w", "fail", "e-1")
    assert decision.reason == f"{second.execution_id}: a0: {sentence}"
    [row] = [row for row in (await here.engine.queries.audit()).items if row.outcome == "refused"]
    assert (row.kind, row.act, row.subject) == ("action_execution", "guarded.restart", second.execution_id)
    assert row.detail["guardrail"] == "cooldown"
    detail = await here.engine.queries.execution_detail(second.execution_id)
    assert [entry.kind for entry in detail.journal] == ["started", "action_failed", "finished"]


async def test_after_the_cooldown_it_may_again(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    await here.define()
    await here.run()
    await here.clock.advance(600)

    assert (await here.run()).status is WorkflowStatus.SUCCEEDED


async def test_what_is_refused_may_be_skipped(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    await here.define("w", {"on_guardrail": "skip"}, _restart("web"))
    await here.run()

    await here.clock.advance(1)
    result = await here.run()

    assert [action.status.value for action in result.actions] == ["skipped", "failed"]
    assert (result.actions[0].reason or "").startswith("guardrail cooldown: ")


async def test_what_is_refused_may_wait_and_then_runs(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    await here.define("w", {"on_guardrail": "wait"})
    await here.run()
    await here.clock.advance(100)

    execution_id = await here.start()
    [held] = (await here.engine.guardrails.status()).held
    assert (held.execution_id, held.action, held.guardrail, held.target) == (execution_id, "a0", "cooldown", "api")
    assert held.until == pytest.approx(here.clock.now() + 500, abs=1)
    result = await here.end(execution_id, 501)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.actions[0].attempt == 1
    assert len(guarded.done) == 2
    assert (await here.engine.guardrails.status()).held == ()


async def test_of_those_that_wait_one_goes_at_a_time(stage: Make) -> None:
    here = await stage(cooldown_seconds=60)
    await here.define("w", {"on_guardrail": "wait"})
    ids = [await here.engine.start_workflow("w") for _ in range(3)]

    for execution_id in ids:
        await here.until(execution_id, WorkflowStatus.WAITING) if execution_id != ids[0] else None
    for _ in range(4):
        await here.clock.advance(61)
        await asyncio.sleep(0.1)
    results = [await here.end(execution_id) for execution_id in ids]

    begun = sorted(result.actions[0].started_at or 0.0 for result in results)
    assert {result.status for result in results} == {WorkflowStatus.SUCCEEDED}
    assert begun[1] - begun[0] >= 60
    assert begun[2] - begun[1] >= 60
    decisions = (await here.engine.queries.decisions(kind="guardrail")).items
    assert len(decisions) == 2, "that one waits is told once, however often it looks"


async def test_reading_is_never_refused_and_needs_no_row(stage: Make) -> None:
    here = await stage(cooldown_seconds=600, workflow_rate={"limit": 1})
    await here.define("w", {"action_type": "guarded.look"}, {"action_type": "guarded.look"})

    assert (await here.run()).status is WorkflowStatus.SUCCEEDED
    assert len(here.engine.guardrails.acts) == 0


async def test_people_are_told_also_while_all_is_stopped(stage: Make) -> None:
    here = await stage(workflow_rate={"limit": 1})
    await here.define("w", {"action_type": "guarded.tell"}, {"action_type": "guarded.tell"})
    await here.engine.guardrails.stop("")

    assert (await here.run()).status is WorkflowStatus.SUCCEEDED


async def test_limits_of_an_operation_that_is_not_there_are_told(stage: Make, caplog: pytest.LogCaptureFixture) -> None:
    await stage(operations={"guarded.restrat": {"cooldown_seconds": 5}})

    assert "guardrails.operations: there is no action 'guarded.restrat'; did you mean guarded.restart" in caplog.text


async def test_after_a_restart_what_is_under_way_still_counts(stage: Make) -> None:
    one = await stage(blast_radius={"services": 1})
    await one.define("slow", _restart(wait=3600))
    execution_id = await one.start("slow")
    await one.engine.stop()
    await one.clock.advance(1800)

    other = await stage(blast_radius={"services": 1})
    await other.define("other", _restart("web"))

    assert "api is acted on" in error_of(await other.run("other"))
    await other.end(execution_id, 1801)


async def test_without_guardrails_nothing_is_remembered(stage: Make) -> None:
    here = await stage()
    await here.define()

    await here.run()

    assert len(here.engine.guardrails.acts) == 0
    assert await acts_stored(here) == 0


# ------------------------------------------------------------------------------------------------------ whose limits


async def test_a_workflow_may_be_stricter_and_never_looser(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    await here.define("loose", guardrails={"cooldown_seconds": 0})
    await here.define("strict", guardrails={"workflow_rate": {"limit": 1, "window_seconds": 7200}})
    await here.run("loose")
    await here.clock.advance(1)

    assert "guardrail cooldown" in error_of(await here.run("loose"))
    await here.clock.advance(600)
    assert (await here.run("strict")).status is WorkflowStatus.SUCCEEDED
    await here.clock.advance(600)
    assert error_of(await here.run("strict")) == (
        "guardrail rate: 1 act of workflow strict within 7200 s, where 1 may be"
    )


async def test_an_operation_may_have_limits_of_its_own_and_a_workflow_be_exempt(stage: Make) -> None:
    here = await stage(
        cooldown_seconds=600, operations={"guarded.shrink": {"cooldown_seconds": 0}}, exempt_workflows=["deploy"]
    )
    await here.define("shrink", {"action_type": "guarded.shrink"})
    await here.define("deploy")

    for name in ("shrink", "shrink", "deploy", "deploy"):
        assert (await here.run(name)).status is WorkflowStatus.SUCCEEDED
        await here.clock.advance(1)


async def test_retries_and_waits_belong_to_the_act_that_has_begun(stage: Make) -> None:
    here = await stage(cooldown_seconds=600, target_rate={"limit": 1})
    retry = {"attempts": 3, "initial_seconds": 2, "jitter": False}
    await here.define("w", {**_restart(times=2, wait=30), "retry": retry})

    execution_id = await here.engine.start_workflow("w")
    result = await here.end(execution_id, 40)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.actions[0].attempt == 3


async def test_what_a_retry_by_hand_does_again_counts_from_then(stage: Make) -> None:
    made = await stage(cooldown_seconds=60)
    await made.define("broken", {**_restart(times=1), "retry_attempts": 1})
    await made.define("other")
    failed = await made.run("broken")
    await made.clock.advance(100)
    await made.engine.executions.retry(failed.execution_id)
    assert (await made.engine.wait_for(failed.execution_id)).status is WorkflowStatus.FAILED

    refused = await made.run("other")

    assert "guardrail cooldown: guarded.restart acted on api 0 s ago" in (refused.error or "")


async def test_each_item_of_a_for_each_is_an_act(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    item = {**_restart("${item}"), "for_each": ["api", "web", "api"], "on_failure": "continue"}
    await here.define("w", item)

    result = await here.run()

    assert result.outputs["a0"]["failed"] == 1
    assert sorted(guarded.done) == [("restart", "api"), ("restart", "web")]


async def test_an_item_that_waits_goes_on_in_its_place(stage: Make) -> None:
    here = await stage(cooldown_seconds=60)
    await here.define("w", {**_restart("${item}"), "for_each": ["api", "api"], "on_guardrail": "wait"})

    execution_id = await here.engine.start_workflow("w")
    await here.held(1)
    result = await here.end(execution_id, 61)

    assert result.outputs["a0"]["succeeded"] == 2


# ------------------------------------------------------------------------------------------------------ blast radius


async def test_a_restart_counts_living_replicas_and_a_scale_in_those_it_removes(stage: Make) -> None:
    here = await stage(blast_radius={"share": 0.5, "window_seconds": 600})
    await here.define("restart")
    await here.define("shrink", {"action_type": "guarded.shrink", "parameters": {"service_name": "api", "remove": 2}})

    assert error_of(await here.run("restart")) == (
        "guardrail blast_radius: guarded.restart acts on 4 of 4 replicas of api; 50% (2) may be at once"
    )
    assert (await here.run("shrink")).status is WorkflowStatus.SUCCEEDED
    here.replicas.living = 2
    assert "2 were just acted on" in error_of(await here.run("shrink"))
    await here.clock.advance(601)
    here.replicas.living, here.replicas.dead = 0, 4
    assert (await here.run("restart")).status is WorkflowStatus.SUCCEEDED, "what is dead may be repaired"


async def test_where_nobody_knows_the_replicas_all_are_counted(stage: Make) -> None:
    here = await stage(blast_radius={"share": 0.5})
    here.engine.services.define(_service("api", replicas=6))
    here.replicas.broken = True
    await here.define()

    assert "acts on 6 of 6 replicas" in error_of(await here.run())


async def test_an_act_counts_while_it_is_under_way_also_between_its_attempts(stage: Make) -> None:
    here = await stage(blast_radius={"services": 1})
    await here.define("slow", _restart(wait=3600))
    await here.define("other", _restart("web"))
    execution_id = await here.start("slow")

    await here.clock.advance(1800)
    assert "api is acted on, and 1 may be at a time" in error_of(await here.run("other"))
    await here.end(execution_id, 1801)

    assert (await here.run("other")).status is WorkflowStatus.SUCCEEDED


async def test_what_waits_for_another_service_looks_again(stage: Make) -> None:
    here = await stage(blast_radius={"services": 1})
    await here.define("slow", _restart(wait=25))
    await here.define("other", {**_restart("web"), "on_guardrail": "wait"})
    slow = await here.start("slow")
    other = await here.start("other")

    await here.end(slow, 26)
    result = await here.end(other, 11)

    assert result.status is WorkflowStatus.SUCCEEDED


# ------------------------------------------------------------------------------------------------------------ freezes


async def test_a_freeze_window_refuses_or_lets_wait_until_its_end(stage: Make) -> None:
    begin = VirtualClock().now() - 60
    times = {"starts_at": begin, "ends_at": begin + 3600}
    here = await stage(
        freezes=[
            {"name": "api", "services": ["api"], **times},
            {"name": "web", "services": ["web"], "on_freeze": "wait", **times},
        ]
    )
    await here.define("api")
    await here.define("web", _restart("web"))

    assert "guardrail freeze: api is in force until 2026-01-01T00:59:00.000Z" in error_of(await here.run("api"))
    execution_id = await here.start("web")
    result = await here.end(execution_id, 3600)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert here.count("freeze") == 2


async def test_a_workflow_may_freeze_itself(stage: Make) -> None:
    here = await stage()
    nightly = {"name": "night", "cron": "0 0 * * *", "duration_seconds": 3600}
    await here.define(guardrails={"freezes": [nightly]})

    assert "guardrail freeze: night" in error_of(await here.run())
    await here.clock.advance(3600)
    assert (await here.run()).status is WorkflowStatus.SUCCEEDED


async def test_a_freeze_by_hand_holds_until_it_is_taken_back(stage: Make) -> None:
    here = await stage()
    await here.define()
    now = here.clock.now()
    window = FreezeWindow.model_validate(
        {"name": "launch", "starts_at": now, "ends_at": now + 86_400, "labels": {"tier": "1"}, "reason": "a launch"}
    )

    await here.engine.guardrails.freeze(window, actor="ann")
    assert "launch is in force until" in error_of(await here.run())
    [view] = (await here.engine.guardrails.status()).freezes
    assert (view.window, view.origin, view.until) == (window, "ann", now + 86_400)
    with pytest.raises(Conflict, match="already a freeze window 'launch'"):
        await here.engine.guardrails.freeze(window)

    await here.engine.guardrails.thaw("launch", actor="bob")
    assert (await here.run()).status is WorkflowStatus.SUCCEEDED
    with pytest.raises(NotFound):
        await here.engine.guardrails.thaw("launch")
    rows = [(row.actor, row.act) for row in (await here.engine.queries.audit(kind="system_modification")).items]
    assert rows == [("bob", "thaw"), ("ann", "freeze")]


async def test_what_stands_in_the_configuration_is_not_taken_back_by_hand(stage: Make) -> None:
    here = await stage(freezes=[{"name": "year", "cron": "0 0 1 1 *", "duration_seconds": 60}])

    with pytest.raises(Conflict, match="stands in the configuration"):
        await here.engine.guardrails.thaw("year")


# ---------------------------------------------------------------------------------------------------- the global stop


async def test_a_stop_lets_nothing_begin_that_changes_anything(stage: Make) -> None:
    here = await stage()
    await here.define("w", {"action_type": "guarded.look"}, {})

    await here.engine.guardrails.stop("incident 7", actor="ann")
    await here.engine.guardrails.stop("again", actor="bob")
    result = await here.run()

    assert [action.status.value for action in result.actions] == ["succeeded", "failed"]
    assert "guardrail stop: all changes are stopped: incident 7 (by ann, since " in (result.error or "")
    stop = (await here.engine.guardrails.status()).stop
    assert stop is not None
    assert (stop.reason, stop.actor) == ("incident 7", "ann")
    await here.engine.guardrails.release(actor="bob", reason="over")
    assert (await here.run()).status is WorkflowStatus.SUCCEEDED
    with pytest.raises(Conflict, match="nothing is stopped"):
        await here.engine.guardrails.release()
    rows = [(row.actor, row.act) for row in (await here.engine.queries.audit(kind="system_modification")).items]
    assert rows == [("bob", "release"), ("ann", "stop")]


async def test_what_waits_for_the_release_goes_on_at_once(stage: Make) -> None:
    here = await stage()
    await here.define("w", {"on_guardrail": "wait"})
    await here.define("items", {**_restart("${item}"), "for_each": ["api", "web"], "on_guardrail": "wait"})
    await here.engine.guardrails.stop("look at it first")
    parked = await here.start("w")
    inside = await here.engine.start_workflow("items")
    await here.held(3)
    await here.clock.advance(60)
    assert guarded.done == []

    await here.engine.guardrails.release()
    results = [await here.end(parked), await here.end(inside)]

    assert {result.status for result in results} == {WorkflowStatus.SUCCEEDED}
    assert sorted(guarded.done) == [("restart", "api"), ("restart", "api"), ("restart", "web")]


async def test_what_has_begun_is_held_and_not_broken_off(stage: Make) -> None:
    here = await stage(cooldown_seconds=600)
    await here.define("w", _restart(wait=60))
    execution_id = await here.start("w")
    await here.engine.guardrails.stop("")
    await here.clock.advance(120)
    await asyncio.sleep(0.1)
    await here.until(execution_id, WorkflowStatus.WAITING)
    assert guarded.done == []

    await here.engine.guardrails.release()
    result = await here.end(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.actions[0].attempt == 1


async def test_a_rollback_is_held_up_by_a_stop_and_its_time_with_it(stage: Make) -> None:
    here = await stage()
    wait = {"action_type": "flow.wait", "parameters": {"seconds": 60}}
    fail = {"action_type": "flow.fail", "parameters": {"message": "no"}}
    await here.define("w", {}, wait, fail, rollback_strategy={"max_rollback_time": 60})
    execution_id = await here.start("w")
    await here.engine.guardrails.stop("look at it first")

    await here.clock.advance(61)
    await here.until(execution_id, WorkflowStatus.ROLLING_BACK)
    await here.clock.advance(120)
    await asyncio.sleep(0.1)
    assert guarded.done == [("restart", "api")]
    await here.engine.guardrails.release()
    result = await here.end(execution_id)

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert guarded.done[-1] == ("undo", "api")
    kinds = [entry.kind for entry in (await here.engine.queries.execution_detail(execution_id)).journal]
    assert kinds.count("rollback_held") == kinds.count("rollback_released") == 1


async def test_a_held_rollback_is_held_by_whoever_takes_it_up(stage: Make) -> None:
    one = await stage()
    wait = {"action_type": "flow.wait", "parameters": {"seconds": 60}}
    fail = {"action_type": "flow.fail", "parameters": {"message": "no"}}
    await one.define("w", {}, wait, fail, rollback_strategy={"max_rollback_time": 60})
    execution_id = await one.start("w")
    await one.engine.guardrails.stop("look at it first")
    await one.clock.advance(61)
    await one.until(execution_id, WorkflowStatus.ROLLING_BACK)
    stopping = asyncio.create_task(one.engine.stop())
    await stopping

    other = await stage()
    await other.clock.advance(120)
    await asyncio.sleep(0.1)
    assert guarded.done == [("restart", "api")]
    await other.engine.guardrails.release()

    assert (await other.end(execution_id)).status is WorkflowStatus.ROLLED_BACK


async def test_another_node_hears_of_a_stop_within_a_second(stage: Make) -> None:
    one, other = await stage(), await stage()
    await other.define("w", {"on_guardrail": "wait"})

    await one.engine.guardrails.stop("everywhere")
    await one.clock.advance(1.0)
    async with asyncio.timeout(30):
        while other.engine.guardrails.stopped is None:
            await asyncio.sleep(0.005)
    execution_id = await other.engine.start_workflow("w")
    await other.until(execution_id, WorkflowStatus.WAITING)
    await one.engine.guardrails.release()
    result = await other.end(execution_id, 1.1)

    assert result.status is WorkflowStatus.SUCCEEDED


async def test_nodes_count_one_anothers_acts_once(stage: Make) -> None:
    limits = {"target_rate": {"limit": 3}}
    one, other = await stage(**limits), await stage(**limits)
    for here in (one, other):
        await here.define("w")
        await here.run()
        await here.clock.advance(1.0)
        await asyncio.sleep(0.1)

    assert len(one.engine.guardrails.acts) == len(other.engine.guardrails.acts) == 2
    assert (await one.run()).status is WorkflowStatus.SUCCEEDED
    await one.clock.advance(1.0)
    await asyncio.sleep(0.1)
    assert "3 acts on api within 3600 s, where 3 may be" in error_of(await other.run())


async def test_a_restart_forgets_no_act(stage: Make) -> None:
    one = await stage(cooldown_seconds=600)
    await one.define()
    await one.run()
    await one.engine.stop()

    await one.clock.advance(60)
    other = await stage(cooldown_seconds=600)
    await other.define()

    assert "guardrail cooldown" in error_of(await other.run())


async def test_an_act_is_over_that_was_cancelled_before_it_began(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = await stage(blast_radius={"share": 1.0, "window_seconds": 600})
    await here.define()
    steps = here.engine._runner._steps
    flush = steps._flush

    async def cancelling(run: Any) -> None:
        await flush(run)
        run.interrupt(WorkflowStatus.CANCELLED, "enough")

    monkeypatch.setattr(steps, "_flush", cancelling)
    result = await here.run()

    assert (result.status, guarded.done) == (WorkflowStatus.CANCELLED, [])
    act = here.engine.guardrails.acts.get(result.execution_id, "a0")
    assert act is not None
    assert act.until <= here.clock.now()


async def test_acts_are_not_kept_for_ever(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automation.workflows.guards.KEPT_SECONDS", 100.0)
    monkeypatch.setattr("automation.workflows.guards.FORGET_SECONDS", 10.0)
    here = await stage(cooldown_seconds=50)
    await here.define()
    await here.run()
    assert (len(here.engine.guardrails.acts), await acts_stored(here)) == (1, 1)

    async with asyncio.timeout(30):
        while here.engine.guardrails.acts or await acts_stored(here):
            await here.clock.advance(5)
    assert here.clock.now() >= VirtualClock().now() + 100


async def acts_stored(here: Stage) -> int:
    return int((await here.engine.store.fetch(select(func.count()).select_from(acts)))[0][0])


def test_a_definition_says_what_becomes_of_a_refused_action() -> None:
    action = ActionDefinition.model_validate({"name": "a", **_restart(), "on_guardrail": "wait"})

    assert action.on_guardrail == "wait"
    assert ActionStatus.WAITING.value == "waiting"
