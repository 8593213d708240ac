"""What people may ask of executions: pause, resume, retry, rerun, fork."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    Event,
    ExecutionContext,
    InputError,
    NotFound,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import Conflict, DuplicateKey
from automation.store import executions
from automation.store.executions import Orphan
from automation.workflows.control import Again, unheeded
from tests.support import handlers
from tests.support.virtual import ended


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.broken.clear()
    handlers.gates.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


def workflow(*actions: ActionDefinition, name: str = "w", **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition(name=name, actions=actions, **further)


async def until(engine: AutomationEngine, execution_id: str, status: WorkflowStatus) -> None:
    async with asyncio.timeout(30):
        while await engine.get_workflow_status(execution_id) is not status:
            await asyncio.sleep(0.01)


async def called(*names: str) -> None:
    async with asyncio.timeout(30):
        while not {name for name, _ in handlers.calls} >= set(names):
            await asyncio.sleep(0.01)


async def statuses(engine: AutomationEngine, execution_id: str) -> dict[str, str]:
    return {run.name: run.status.value for run in (await engine.executions.show(execution_id)).actions}


async def kinds(engine: AutomationEngine, execution_id: str) -> list[str]:
    return [entry.kind for entry in (await engine.executions.show(execution_id)).journal if entry.action is None]


async def audited(engine: AutomationEngine, act: str) -> list[tuple[str, str, Any]]:
    rows = (await engine.queries.audit(kind="workflow_execution")).items
    return [(row.subject, row.actor, row.detail.get("reason")) for row in rows if row.act == act]


class TestPause:
    async def test_what_runs_may_end_and_nothing_further_begins(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a", "test.gate", parameters={"value": 1}), act("b")))
        execution = await engine.start_workflow("w")
        await called("a")

        await engine.executions.pause(execution, "wait for the other team", actor="ann")
        wish = (await engine.queries.execution(execution)).wish
        handlers.open_gate(1)
        await until(engine, execution, WorkflowStatus.PAUSED)

        assert wish is not None
        assert (wish.act, wish.actor, wish.reason) == ("pause", "ann", "wait for the other team")
        assert await statuses(engine, execution) == {"a": "succeeded", "b": "pending"}
        assert (await engine.queries.execution(execution)).wish is None
        assert await audited(engine, "pause") == [(execution, "ann", "wait for the other team")]
        await engine.drain(1)

        await engine.executions.resume(execution, "go", actor="bob")
        result = await engine.wait_for(execution)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert [name for name, _ in handlers.calls] == ["a", "b"]
        assert await kinds(engine, execution) == ["started", "paused", "resumed", "finished"]
        journal = (await engine.executions.show(execution)).journal
        told = {entry.kind: entry.body for entry in journal}
        assert told["paused"] == {"actor": "ann", "reason": "wait for the other team"}
        assert told["resumed"] == {"actor": "bob", "reason": "go"}
        assert await audited(engine, "resume") == [(execution, "bob", "go")]

    async def test_parallel_actions_all_end_first(self, engine: AutomationEngine) -> None:
        slow = [act(name, "test.gate", parameters={"value": 1}, depends_on=[]) for name in ("a", "b")]
        later = act("later", "test.wait", parameters={"seconds": 0.05}, depends_on=[])
        await engine.register_workflow(workflow(*slow, later, act("end", depends_on=["a", "b", "later"])))
        execution = await engine.start_workflow("w")
        await called("a", "b")

        await engine.executions.pause(execution)
        handlers.open_gate(1)
        await until(engine, execution, WorkflowStatus.PAUSED)

        found = await statuses(engine, execution)
        assert (found["a"], found["b"], found["end"]) == ("succeeded", "succeeded", "pending")
        await engine.executions.resume(execution)
        assert (await engine.wait_for(execution)).status is WorkflowStatus.SUCCEEDED

    async def test_a_timer_that_came_due_meanwhile_goes_on_at_once(self, config: AutomationConfig) -> None:
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as engine:
            await engine.register_workflow(workflow(act("a", "test.wait", parameters={"seconds": 60}), act("b")))
            execution = await engine.start_workflow("w")
            await _until_virtually(engine, clock, execution, WorkflowStatus.WAITING)

            await engine.executions.pause(execution)
            await _until_virtually(engine, clock, execution, WorkflowStatus.PAUSED)
            await _advance(clock, 3600)
            assert await engine.get_workflow_status(execution) is WorkflowStatus.PAUSED
            assert handlers.calls == []

            await engine.executions.resume(execution)
            # Without that any time passes.
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert handlers.calls == [("a", "waited"), ("b", None)]

    async def test_the_time_limit_does_not_count_the_pause(self, config: AutomationConfig) -> None:
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as engine:
            waits = act("a", "test.wait", parameters={"seconds": 60})
            await engine.register_workflow(workflow(waits, act("b"), timeout_seconds=100))
            execution = await engine.start_workflow("w")
            await _until_virtually(engine, clock, execution, WorkflowStatus.WAITING)
            await engine.executions.pause(execution)
            await _until_virtually(engine, clock, execution, WorkflowStatus.PAUSED)
            await _advance(clock, 500)

            await engine.executions.resume(execution)
            await _until_virtually(engine, clock, execution, WorkflowStatus.SUCCEEDED)

            slow = await engine.start_workflow("w")
            await _until_virtually(engine, clock, slow, WorkflowStatus.WAITING)
            await engine.executions.pause(slow)
            await _until_virtually(engine, clock, slow, WorkflowStatus.PAUSED)
            await engine.executions.resume(slow)
            await _advance(clock, 200)
            # Its wait and its limit were both over at that time: what was due ran first.
            assert (await engine.get_workflow_status(slow)).finished

    async def test_the_time_of_a_pause_does_not_count_where_people_were_asked_before(
        self, config: AutomationConfig
    ) -> None:
        clock = VirtualClock()
        long = act("long", "test.wait", parameters={"seconds": 30})
        async with AutomationEngine(config, clock=clock) as engine:
            await engine.register_workflow(workflow(act("ask", "test.critical"), long, act("b"), timeout_seconds=60))
            execution = await engine.start_workflow("w")
            await _until_virtually(engine, clock, execution, WorkflowStatus.WAITING)
            await engine.decide(execution, "ask", True)
            await called("ask")
            await engine.executions.pause(execution)
            await _until_virtually(engine, clock, execution, WorkflowStatus.PAUSED)
            await clock.advance(3600)

            await engine.executions.resume(execution)

            assert (await ended(engine, clock, execution)).status is WorkflowStatus.SUCCEEDED

    async def test_items_that_have_not_begun_wait_and_go_on(self, engine: AutomationEngine) -> None:
        each = act(
            "each",
            "test.gate",
            parameters={"value": "${item}"},
            for_each={"items": [1, 2, 3, 4], "concurrency": 1},
        )
        await engine.register_workflow(workflow(each, act("b")))
        execution = await engine.start_workflow("w")
        await called("each[0]")

        await engine.executions.pause(execution)
        handlers.open_gate(1)
        await until(engine, execution, WorkflowStatus.PAUSED)
        assert [name for name, _ in handlers.calls] == ["each[0]"]
        assert (await statuses(engine, execution))["each"] == "waiting"

        await engine.executions.resume(execution)
        for item in (2, 3, 4):
            handlers.open_gate(item)
        result = await engine.wait_for(execution)
        assert result.status is WorkflowStatus.SUCCEEDED
        assert result.outputs["each"]["succeeded"] == 4
        assert [name for name, _ in handlers.calls] == [*(f"each[{n}]" for n in range(4)), "b"]

    async def test_an_item_that_waits_for_its_next_attempt_does_not_hold_the_pause_up(
        self, config: AutomationConfig
    ) -> None:
        retry = {"attempts": 2, "initial_seconds": 600, "max_seconds": 600, "jitter": False}
        failing = {"times": 1, "how": "later"}
        each = act("each", "test.fail", parameters=failing, retry=retry, for_each={"items": [1, 2]})
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as engine:
            await engine.register_workflow(workflow(each))
            execution = await engine.start_workflow("w")
            await called("each[0]", "each[1]")
            begun = clock.now()

            await engine.executions.pause(execution)
            await _until_virtually(engine, clock, execution, WorkflowStatus.PAUSED)
            assert clock.now() - begun < 300

            await engine.executions.resume(execution)
            await _until_virtually(engine, clock, execution, WorkflowStatus.SUCCEEDED)
            assert clock.now() - begun >= 600
        assert sorted(attempt for _, attempt in handlers.calls) == [1, 1, 2, 2]

    async def test_a_pause_that_is_taken_back_before_it_comes_changes_nothing(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a", "test.gate", parameters={"value": 1}), act("b")))
        execution = await engine.start_workflow("w")
        await called("a")

        await engine.executions.pause(execution)
        await engine.executions.resume(execution)
        handlers.open_gate(1)

        assert (await engine.wait_for(execution)).status is WorkflowStatus.SUCCEEDED
        assert await kinds(engine, execution) == ["started", "finished"]

    async def test_what_was_heeded_by_somebody_quicker_is_not_taken_up_once_more(
        self, engine: AutomationEngine
    ) -> None:
        await engine.register_workflow(workflow(act("a", "test.wait")))
        execution = await engine.start_workflow("w")
        await until(engine, execution, WorkflowStatus.WAITING)
        await engine.executions.pause(execution)
        await until(engine, execution, WorkflowStatus.PAUSED)

        # As by a second caller whose wish was heeded before it came to that.
        assert await engine._recovery.take(execution, only=unheeded) is None
        assert await engine.get_workflow_status(execution) is WorkflowStatus.PAUSED

    async def test_a_paused_execution_stays_paused_over_a_restart(self, config: AutomationConfig) -> None:
        definition = workflow(act("a", "test.wait", parameters={"seconds": 3600}), act("b"))
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as first:
            await first.register_workflow(definition)
            execution = await first.start_workflow("w")
            await until(first, execution, WorkflowStatus.WAITING)
            await first.executions.pause(execution)
            await until(first, execution, WorkflowStatus.PAUSED)
        async with AutomationEngine(config, clock=clock) as second:
            await clock.advance(7200)
            assert await second.get_workflow_status(execution) is WorkflowStatus.PAUSED
            await second.executions.resume(execution)
            await until(second, execution, WorkflowStatus.SUCCEEDED)

    async def test_what_somebody_else_has_paused_meanwhile_is_not_taken_up(
        self, engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await engine.register_workflow(workflow(act("a", "flow.wait", parameters={"seconds": 600})))
        execution = await engine.start_workflow("w")
        await until(engine, execution, WorkflowStatus.WAITING)
        await engine.executions.pause(execution)
        await until(engine, execution, WorkflowStatus.PAUSED)
        await engine.drain()
        seen = Orphan(execution, None, "w", "", 0, WorkflowStatus.WAITING)
        taken_up: list[str] = []

        async def orphans(*_: Any) -> tuple[Orphan, ...]:
            return (seen,)

        monkeypatch.setattr(executions, "orphans", orphans)
        monkeypatch.setattr(engine._recovery, "_launch", lambda run: taken_up.append(run.id))
        assert not await engine._recovery._take_some()
        assert await engine.get_workflow_status(execution) is WorkflowStatus.PAUSED
        with pytest.raises(Conflict, match="paused already"):
            await engine.executions.pause(execution)
        assert taken_up == []

    async def test_a_paused_execution_can_be_cancelled_and_cleans_up(self, engine: AutomationEngine) -> None:
        actions = (act("a", "test.gate", parameters={"value": 1}), act("b"), act("tidy", always=True))
        await engine.register_workflow(workflow(*actions))
        execution = await engine.start_workflow("w")
        await called("a")
        await engine.executions.pause(execution)
        handlers.open_gate(1)
        await until(engine, execution, WorkflowStatus.PAUSED)

        await engine.cancel(execution, "not any more")

        assert (await engine.wait_for(execution)).status is WorkflowStatus.CANCELLED
        assert await statuses(engine, execution) == {"a": "succeeded", "b": "skipped", "tidy": "succeeded"}

    async def test_what_cannot_be_paused_or_resumed_is_refused(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a", "test.wait")))
        execution = await engine.start_workflow("w")
        await until(engine, execution, WorkflowStatus.WAITING)

        with pytest.raises(Conflict, match="is waiting, not paused"):
            await engine.executions.resume(execution)
        await engine.executions.pause(execution)
        await until(engine, execution, WorkflowStatus.PAUSED)
        with pytest.raises(Conflict, match="paused already"):
            await engine.executions.pause(execution)
        await engine.cancel(execution)
        await until(engine, execution, WorkflowStatus.CANCELLED)
        for ask in (engine.executions.pause, engine.executions.resume):
            with pytest.raises(Conflict, match="already ended"):
                await ask(execution)
            with pytest.raises(NotFound):
                await ask("nothing")


async def test_an_execution_is_paused_and_resumed_by_way_of_another_node(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as one, AutomationEngine(config, clock=clock) as other:
        for each in (one, other):
            slow = act("a", "test.pause", parameters={"seconds": 60})
            await each.register_workflow(workflow(slow, act("b"), act("c", "test.wait", parameters={"seconds": 3600})))
        execution = await one.start_workflow("w")
        await called("a")

        await other.executions.pause(execution, actor="ann")
        await _until_virtually(one, clock, execution, WorkflowStatus.PAUSED)
        assert [name for name, _ in handlers.calls] == ["a"]

        await other.executions.resume(execution, actor="ann")
        await _until_virtually(one, clock, execution, WorkflowStatus.WAITING)
        assert [name for name, _ in handlers.calls] == ["a", "b"]


class TestRetry:
    async def test_it_goes_on_in_the_same_execution_from_what_failed(self, engine: AutomationEngine) -> None:
        handlers.broken.add("b")
        actions = (act("a", parameters={"values": {"n": 7}}), act("b", "test.mend"), act("c"), act("tidy", always=True))
        await engine.register_workflow(workflow(*actions))
        failed = await engine.execute_workflow("w")
        assert failed.status is WorkflowStatus.FAILED
        handlers.broken.clear()

        await engine.executions.retry(failed.execution_id, "the disk has room again", actor="ann")
        result = await engine.wait_for(failed.execution_id)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert result.error is None
        assert [name for name, _ in handlers.calls] == ["a", "b", "tidy", "b", "c", "tidy"]
        assert await kinds(engine, failed.execution_id) == ["started", "finished", "retried", "finished"]
        (entry,) = [e for e in (await engine.executions.show(failed.execution_id)).journal if e.kind == "retried"]
        assert entry.body == {
            "actor": "ann",
            "reason": "the disk has room again",
            "actions": ["b", "c", "tidy"],
        }
        assert await audited(engine, "retry") == [(failed.execution_id, "ann", "the disk has room again")]
        row = await engine.queries.execution(failed.execution_id)
        assert (row.status, row.error) == (WorkflowStatus.SUCCEEDED, None)

    async def test_only_what_failed_or_was_kept_from_running_runs_again(self, engine: AutomationEngine) -> None:
        handlers.broken.add("left")
        definition = workflow(
            act("left", "test.mend", depends_on=[]),
            act("right", "test.gate", depends_on=[]),
            act("after_right", depends_on=["right"]),
            act("soft", "test.fail", depends_on=[], on_failure="continue"),
            act("unwanted", depends_on=["soft"], conditions=["1 > 2"]),
        )
        await engine.register_workflow(definition)
        execution = await engine.start_workflow("w")
        async with asyncio.timeout(30):
            while (await statuses(engine, execution))["left"] != "failed":
                await asyncio.sleep(0.01)
        handlers.open_gate(None)
        failed = await engine.wait_for(execution)
        assert (await statuses(engine, failed.execution_id))["after_right"] == "skipped"
        handlers.broken.clear()
        handlers.calls.clear()

        await engine.executions.retry(failed.execution_id)
        result = await engine.wait_for(failed.execution_id)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert sorted(name for name, _ in handlers.calls) == ["after_right", "left"]
        assert await statuses(engine, failed.execution_id) == {
            "left": "succeeded",
            "right": "succeeded",
            "after_right": "succeeded",
            "soft": "failed",
            "unwanted": "skipped",
        }

    async def test_items_that_succeeded_are_not_repeated(self, engine: AutomationEngine) -> None:
        handlers.broken.add("each[1]")
        each = act("each", "test.mend", for_each={"items": ["x", "y", "z"], "concurrency": 1})
        await engine.register_workflow(workflow(each))
        failed = await engine.execute_workflow("w")
        assert failed.status is WorkflowStatus.FAILED
        handlers.broken.clear()

        await engine.executions.retry(failed.execution_id)
        result = await engine.wait_for(failed.execution_id)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert [name for name, _ in handlers.calls] == ["each[0]", "each[1]", "each[1]", "each[2]"]
        assert result.outputs["each"]["succeeded"] == 3

    async def test_a_cancelled_one_and_one_that_timed_out_go_on(self, config: AutomationConfig) -> None:
        wait = act("wait", "test.wait", parameters={"seconds": 3600})
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as engine:
            await engine.register_workflow(workflow(act("a"), wait, timeout_seconds=600))
            await engine.register_workflow(workflow(act("b"), wait, name="long"))
            late, cancelled = await engine.start_workflow("w"), await engine.start_workflow("long")
            for execution in (late, cancelled):
                await until(engine, execution, WorkflowStatus.WAITING)
            await engine.cancel(cancelled)
            await until(engine, cancelled, WorkflowStatus.CANCELLED)
            await clock.advance(600)
            await until(engine, late, WorkflowStatus.TIMED_OUT)

            for execution in (late, cancelled):
                await engine.executions.retry(execution)
                await until(engine, execution, WorkflowStatus.WAITING)
            # Its limit counts anew, and is as short as before.
            await clock.advance(599)
            assert await engine.get_workflow_status(late) is WorkflowStatus.WAITING
            await clock.advance(1)
            await until(engine, late, WorkflowStatus.TIMED_OUT)
            await clock.advance(3600)
            await until(engine, cancelled, WorkflowStatus.SUCCEEDED)
        assert handlers.calls == [("a", None), ("b", None), ("wait", "waited")]

    async def test_a_retry_survives_a_restart(self, config: AutomationConfig) -> None:
        handlers.broken.add("a")
        slow = act("slow", "test.wait", parameters={"seconds": 3600})
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as first:
            await first.register_workflow(workflow(act("a", "test.mend"), slow))
            failed = await first.execute_workflow("w")
            handlers.broken.clear()
            await first.executions.retry(failed.execution_id)
            await until(first, failed.execution_id, WorkflowStatus.WAITING)
        async with AutomationEngine(config, clock=clock) as second:
            await clock.advance(3600)
            await until(second, failed.execution_id, WorkflowStatus.SUCCEEDED)
            assert await kinds(second, failed.execution_id) == ["started", "finished", "retried", "finished"]
            assert [name for name, _ in handlers.calls] == ["a", "a", "slow"], "what was mended is not run again"

    async def test_what_cannot_be_retried_is_refused(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a")))
        await engine.register_workflow(workflow(act("a", "test.wait"), name="long"))
        undone = workflow(act("a"), act("b", "test.fail"), name="undone", rollback_strategy={})
        await engine.register_workflow(undone)
        done = await engine.execute_workflow("w")
        execution = await engine.start_workflow("long")
        rolled_back = await engine.execute_workflow("undone")
        assert rolled_back.status is WorkflowStatus.ROLLED_BACK

        with pytest.raises(Conflict, match="has succeeded; to do it all again, rerun it"):
            await engine.executions.retry(done.execution_id)
        with pytest.raises(Conflict, match="only one that has ended can be retried"):
            await engine.executions.retry(execution)
        with pytest.raises(Conflict, match=r"it was rolled back \(undone: a\); rerun it instead"):
            await engine.executions.retry(rolled_back.execution_id)
        with pytest.raises(Conflict, match=r"cannot be forked: it was rolled back"):
            await engine.executions.fork(rolled_back.execution_id, "b")
        with pytest.raises(NotFound):
            await engine.executions.retry("nothing")

    async def test_two_at_once_retry_it_once(self, engine: AutomationEngine) -> None:
        handlers.broken.add("a")
        await engine.register_workflow(workflow(act("a", "test.mend")))
        failed = await engine.execute_workflow("w")
        handlers.broken.clear()

        answers = await asyncio.gather(
            *(engine.executions.retry(failed.execution_id) for _ in range(2)), return_exceptions=True
        )
        await engine.drain()

        assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "NoneType"]
        assert len(handlers.calls) == 2


class TestRerun:
    async def test_it_is_done_again_with_the_same_inputs_or_others(self, engine: AutomationEngine) -> None:
        definition = workflow(act("a", parameters={"value": "${who} ${n}"}))
        await engine.register_workflow(definition)
        first = await engine.execute_workflow("w", ExecutionContext(variables={"who": "ann", "n": 1}))

        same = await engine.executions.rerun(first.execution_id)
        other = await engine.executions.rerun(
            first.execution_id, Again(variables={"n": 2}, reason="with two", actor="bob")
        )
        for execution in (same, other):
            assert (await engine.wait_for(execution)).status is WorkflowStatus.SUCCEEDED

        assert handlers.calls == [("a", "ann 1"), ("a", "ann 1"), ("a", "ann 2")]
        row = await engine.queries.execution(other)
        assert (row.rerun_of, row.actor) == (first.execution_id, "bob")
        assert row.reason == f"rerun of {first.execution_id}: with two"
        assert (await engine.executions.show(other)).journal[0].body["rerun_of"] == first.execution_id

    async def test_by_the_version_it_had_or_the_newest(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a", parameters={"value": "old"})))
        first = await engine.execute_workflow("w")
        await engine.register_workflow(workflow(act("a", parameters={"value": "new"})))

        await engine.wait_for(await engine.executions.rerun(first.execution_id))
        await engine.wait_for(await engine.executions.rerun(first.execution_id, Again(newest=True)))

        assert [value for _, value in handlers.calls] == ["old", "old", "new"]

    async def test_the_event_that_started_it_is_seen_again(self, engine: AutomationEngine) -> None:
        definition = workflow(
            act("a", parameters={"value": "${event.data.host}"}), triggers=[{"type": "event", "event": "down"}]
        )
        await engine.register_workflow(definition)
        receipt = await engine.publish(Event(type="down", data={"host": "a1"}))
        await engine.drain()

        again = await engine.executions.rerun(receipt.executions[0])
        await engine.wait_for(again)

        assert handlers.calls == [("a", "a1"), ("a", "a1")]

    async def test_inputs_and_conditions_are_checked_as_for_any_start(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(
            workflow(act("a"), inputs={"env": {"type": "string"}}, conditions=["env != 'prod'"])
        )
        first = await engine.execute_workflow("w", ExecutionContext(variables={"env": "test"}))

        with pytest.raises(InputError, match="other: is not an input"):
            await engine.executions.rerun(first.execution_id, Again(variables={"other": 1}))
        with pytest.raises(Conflict, match="its condition \"env != 'prod'\" is false"):
            await engine.executions.rerun(first.execution_id, Again(variables={"env": "prod"}))
        with pytest.raises(NotFound):
            await engine.executions.rerun("nothing")


class TestKeys:
    """The same key again gives the same execution, and only for the same that is asked."""

    async def test_a_key_is_of_one_rerun_or_fork(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a"), act("b")))
        first, second = [(await engine.execute_workflow("w")).execution_id for _ in range(2)]
        again = Again(idempotency_key="k", reason="told once")

        fork = await engine.executions.repeat(first, "b", again)
        same = await engine.executions.repeat(first, "b", Again(idempotency_key="k", reason="told otherwise"))

        assert (same.execution_id, fork.repeated, same.repeated) == (fork.execution_id, False, True)
        of = rf"was used before for a fork of {first}, by execution {fork.execution_id}"
        with pytest.raises(DuplicateKey, match=f"with other inputs, another action or version, .* {fork.execution_id}"):
            await engine.executions.fork(first, "a", again)
        with pytest.raises(DuplicateKey, match="another action or version"):
            await engine.executions.fork(first, "b", Again(idempotency_key="k", newest=True))
        with pytest.raises(DuplicateKey, match=of):
            await engine.executions.fork(second, "b", again)
        with pytest.raises(DuplicateKey, match=of):
            await engine.executions.rerun(first, again)
        with pytest.raises(DuplicateKey, match=of):
            await engine.start_workflow("w", idempotency_key="k")
        rerun = await engine.executions.rerun(first, Again(idempotency_key="r"))
        with pytest.raises(DuplicateKey, match=f"for a rerun of {first}, by execution {rerun}"):
            await engine.executions.rerun(second, Again(idempotency_key="r"))
        start = await engine.start_workflow("w", idempotency_key="s")
        with pytest.raises(DuplicateKey, match=f"for a start, by execution {start}"):
            await engine.executions.rerun(first, Again(idempotency_key="s"))
        assert len((await engine.queries.executions()).items) == 5

    async def test_it_is_told_also_where_the_same_could_not_be_done_now(self, engine: AutomationEngine) -> None:
        handlers.broken.add("b")
        gate = act("gate", "test.gate", parameters={"value": "go"})
        await engine.register_workflow(workflow(act("a"), act("b", "test.mend"), gate))
        first = (await engine.execute_workflow("w")).execution_id
        again = Again(idempotency_key="k")
        fork = await engine.executions.fork(first, "b", again)

        handlers.broken.clear()
        await engine.executions.retry(first)

        with pytest.raises(Conflict, match="fork it when it has ended"):
            await engine.executions.fork(first, "b")
        assert await engine.executions.fork(first, "b", again) == fork
        handlers.open_gate("go")
        async with asyncio.timeout(20):
            await engine.wait_for(first)


class TestFork:
    async def test_completed_actions_are_taken_over_with_their_outputs(self, engine: AutomationEngine) -> None:
        handlers.broken.add("b")
        definition = workflow(
            act("a", parameters={"values": {"n": 7}}),
            act("b", "test.mend"),
            act("c", parameters={"value": "${n} ${actions.a.n} ${who}"}),
        )
        await engine.register_workflow(definition)
        failed = await engine.execute_workflow("w", ExecutionContext(variables={"who": "ann"}))
        handlers.broken.clear()
        handlers.calls.clear()

        fork = await engine.executions.fork(failed.execution_id, "b", Again(variables={"who": "bob"}, actor="cy"))
        result = await engine.wait_for(fork)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert handlers.calls == [("b", 1), ("c", "7 7 bob")]
        assert result.outputs["a"] == {"n": 7}
        row = await engine.queries.execution(fork)
        assert (row.forked_from, row.actor) == (failed.execution_id, "cy")
        journal = (await engine.executions.show(fork)).journal
        assert [entry.action for entry in journal if entry.kind == "action_taken_over"] == ["a"]
        assert (await engine.queries.execution(failed.execution_id)).status is WorkflowStatus.FAILED

    async def test_one_that_succeeded_can_be_done_again_from_its_middle(self, engine: AutomationEngine) -> None:
        definition = workflow(act("a"), act("b"), act("side", depends_on=["a"]), act("c", depends_on=["b"]))
        await engine.register_workflow(definition)
        first = await engine.execute_workflow("w")
        handlers.calls.clear()

        await engine.wait_for(await engine.executions.fork(first.execution_id, "b"))

        assert [name for name, _ in handlers.calls] == ["b", "c"]

    async def test_its_rollback_undoes_what_it_did_itself(self, engine: AutomationEngine) -> None:
        handlers.broken |= {"c"}
        strategy = {"triggers": ["never == 1"]}
        actions = (act("a"), act("b"), act("c", "test.mend"))
        await engine.register_workflow(workflow(*actions, rollback_strategy=strategy))
        first = await engine.execute_workflow("w")
        assert first.status is WorkflowStatus.FAILED
        await engine.register_workflow(workflow(*actions, rollback_strategy={}))
        handlers.calls.clear()

        fork = await engine.executions.fork(first.execution_id, "b", Again(newest=True))
        result = await engine.wait_for(fork)

        assert result.status is WorkflowStatus.ROLLED_BACK
        assert [name for name, _ in handlers.calls] == ["b", "c", "b.undo"]

    async def test_a_fork_survives_a_restart(self, config: AutomationConfig) -> None:
        actions = (act("a"), act("b"), act("slow", "test.wait", parameters={"seconds": 3600}))
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as one:
            await one.register_workflow(workflow(*actions))
            first = await one.start_workflow("w")
            await until(one, first, WorkflowStatus.WAITING)
            await clock.advance(3600)
            await until(one, first, WorkflowStatus.SUCCEEDED)
            handlers.calls.clear()
            fork = await one.executions.fork(first, "b")
            await until(one, fork, WorkflowStatus.WAITING)
        async with AutomationEngine(config, clock=clock) as other:
            await clock.advance(3600)
            await until(other, fork, WorkflowStatus.SUCCEEDED)
        assert [name for name, _ in handlers.calls] == ["b", "slow"]

    async def test_what_cannot_be_forked_is_refused(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(act("a", "test.wait")))
        execution = await engine.start_workflow("w")

        with pytest.raises(Conflict, match="fork it when it has ended"):
            await engine.executions.fork(execution, "a")
        await engine.cancel(execution)
        await engine.wait_for(execution)
        with pytest.raises(NotFound, match="there is no action 'b'; there are: a"):
            await engine.executions.fork(execution, "b")


async def _advance(clock: VirtualClock, seconds: float) -> None:
    """Let virtual time pass, and the threads of the database keep up with it."""
    for _ in range(10):
        await clock.advance(seconds / 10)
        await asyncio.sleep(0.01)


async def _until_virtually(
    engine: AutomationEngine, clock: VirtualClock, execution_id: str, status: WorkflowStatus
) -> None:
    async with asyncio.timeout(30):
        while await engine.get_workflow_status(execution_id) is not status:
            await clock.advance(5)
