"""Workflows that actions start: `flow.workflow`.

A child is an execution like any other, with the name of its parent and of the action that has started it. That the
action waits for it is a row, written with the child's start, so that its end finds it however early it comes.
"""

from __future__ import annotations

from typing import Any

from automation.actions.builtin.workflow import Child
from automation.actions.context import ActionContext
from automation.clock import Clock
from automation.errors import Refused
from automation.model.execution import Execution, WorkflowStatus
from automation.store import children, executions, statements
from automation.store.statement import Unexpected
from automation.store.store import Store
from automation.store.waits import Wait
from automation.workflows.recovery import Recovery
from automation.workflows.result import result_of
from automation.workflows.rollback import rollback_of
from automation.workflows.run import Run
from automation.workflows.runner import Runner
from automation.workflows.settled import patiently, settled
from automation.workflows.starts import Cause, Starter, check_start, fold_stored

DEEPEST = 10
"""How many workflows may start one another."""


class Family:
    """Starts workflows for actions, and undoes what they have done."""

    def __init__(self, store: Store, clock: Clock, runner: Runner, recovery: Recovery, starter: Starter) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._recovery = recovery
        self._starter = starter

    async def child(self, context: ActionContext, workflow: str, variables: dict[str, Any], wait: bool) -> Child:
        """The execution that the action has started, or now starts; raises NotFound, InputError, Conflict, Refused."""
        # Not to be broken off: whoever cancels the action must find the child, or none. Nor to be failed for a database
        # that cannot be used now: a further attempt would start a further child.
        return await settled(patiently(lambda: self._child(context, workflow, variables, wait)))

    async def _child(self, context: ActionContext, workflow: str, variables: dict[str, Any], wait: bool) -> Child:
        before = await children.of(self._store, context.execution_id, context.action)
        if before and _of_attempt(before[-1], context):
            return await self._known(context, before[-1], wait)
        if before and not before[-1].status.finished:
            # An earlier attempt has started it, and it goes on: from now on it is that of this one.
            key = f"{_attempt(context)}:{len(before)}"
            await self._store.commit([statements.EXECUTION_ADOPT(idempotency_key=key, where_id=before[-1].id)])
            return await self._known(context, before[-1], wait)
        parents = await children.ancestors(self._store, context.execution_id, DEEPEST + 1)
        if len(parents) >= DEEPEST:
            names = " > ".join([*(parent.workflow for parent in reversed(parents)), workflow])
            raise Refused(f"workflows may start one another {DEEPEST} deep at most: {names}")
        plan = self._starter.plan(workflow)
        check_start(plan, variables, None)
        key = f"{_attempt(context)}:{len(before) + 1}"
        cause = Cause(
            actor=parents[0].actor if parents else "local",
            reason=f"action {context.action} of {context.workflow}",
            idempotency_key=key,
            proposed=self._starter.proposes(plan, parents),
            parent=context.execution_id,
            parent_action=context.action,
            priority=parents[0].priority if wait and parents else 0,
        )
        run = self._starter.new_run(plan, variables, cause)
        if wait:
            run.write(self._wait(context, run.id).op())
        started = await self._starter.begin(run, cause, variables)
        return Child(started.execution_id, workflow, WorkflowStatus.RUNNING, {})

    async def _known(self, context: ActionContext, execution: Execution, wait: bool) -> Child:
        """The child as it is now; should it not have ended, its end will be told."""
        if wait and not execution.status.finished:
            await self._store.commit([self._wait(context, execution.id).op()])
        stored = await executions.load(self._store, execution.id)
        assert stored is not None
        state = fold_stored(stored)
        result = result_of(execution.id, execution.workflow, state)
        status = stored.execution.status
        return Child(execution.id, execution.workflow, status, dict(state.outputs), result.error)

    def _wait(self, context: ActionContext, child: str) -> Wait:
        return Wait(
            id=child,
            execution_id=context.execution_id,
            action=context.action,
            created_at=self._clock.now(),
            child_id=child,
        )

    async def roll_back(self, context: ActionContext) -> None:
        """Undo what the executions that the action has started have done; raises Refused for what cannot be undone."""
        await patiently(lambda: self._roll_back(context))

    async def _roll_back(self, context: ActionContext) -> None:
        action = context.action.removesuffix(".undo")
        for child in reversed(await children.of(self._store, context.execution_id, action)):
            if not child.status.finished and child.status is not WorkflowStatus.ROLLING_BACK:
                raise Refused(f"{child.id} of {child.workflow} has not ended")
            if child.status.finished and not _was_rolled_back(child):
                await self._undo(child, context)
            await self._starter.result(child.id)
            after = await executions.get(self._store, child.id)
            assert after is not None
            if _was_rolled_back(after) and after.status is not WorkflowStatus.ROLLED_BACK:
                raise Refused(f"{child.id} of {child.workflow}: {(after.error or {}).get('message')}")

    async def _undo(self, child: Execution, context: ActionContext) -> None:
        """Open an execution that has ended once more, to roll it back; not one that has done nothing and says so."""
        stored = await executions.load(self._store, child.id)
        assert stored is not None
        plan = self._recovery.plan(child.definition_id, stored.definition)
        now = self._clock.now()
        state, limits = fold_stored(stored), self._store.limits
        run = Run.of(child, plan, state, stored.large, node=self._recovery.node, limits=limits)
        reason = f"{context.action} of {context.execution_id}"
        body = rollback_of(run, reason, child.status, child.error, now + context.timeout_seconds)
        if child.status is not WorkflowStatus.SUCCEEDED and not body["order"] and not body["without_undo"]:
            return
        claim = statements.EXECUTION_RETRY(
            status=WorkflowStatus.ROLLING_BACK.value,
            node=run.node,
            where_id=child.id,
            where_finished_at=child.finished_at,
        )
        run.note(now, "rollback_started", None, body)
        run.fact(now, "workflow_execution", "rollback", reason, {"workflow": plan.name, "order": body["order"]})
        ops, facts = run.taken()
        try:
            await self._store.commit([claim, *ops], facts)
        except Unexpected:
            # It was opened by the same undo, before a crash.
            return
        run.stored = run.noted
        self._runner.launch(run)


def _was_rolled_back(child: Execution) -> bool:
    """Whether a rollback of it was begun and is over, however that went."""
    return child.status is WorkflowStatus.ROLLED_BACK or bool((child.error or {}).get("rollback"))


def _of_attempt(child: Execution, context: ActionContext) -> bool:
    """Whether this attempt has started it, perhaps before a crash: not an earlier one, nor one before a retry."""
    return (child.idempotency_key or "").rpartition(":")[0] == _attempt(context)


def _attempt(context: ActionContext) -> str:
    # A retry of the execution counts attempts anew: when the first began tells them apart, however clocks are set.
    return f"{context.idempotency_key}:{context.attempt}:{context.started_at}"
