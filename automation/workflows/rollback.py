"""Undoing: what an execution has done is taken back, the last first, within a time limit.

Begun, it is finished: also after a crash, when an undo that was under way is run again. What could not be undone is
stored with its reason, counted, and published as the event `rollback_incomplete`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from heapq import merge
from itertools import accumulate
from operator import itemgetter
from typing import Any

from automation.actions.call import Call
from automation.actions.context import ActionContext, Await, Suspend
from automation.clock import until
from automation.conditions import Measure, compile_measured
from automation.errors import ActionTimeout, AutomationError, ChildFailed, ConditionError, Refused
from automation.model.event import Event
from automation.model.execution import ActionStatus, WorkflowStatus
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.store import statements
from automation.store.events import Decision
from automation.workflows.measuring import MeasuredNames, subject_of
from automation.workflows.plan import FAILURES, FAMILY_FAILURE, Step
from automation.workflows.progress import Rollback
from automation.workflows.run import Run
from automation.workflows.state import Scope
from automation.workflows.surroundings import Surroundings

log = logging.getLogger("automation.workflows")

SOURCE = "rollback"
"""The source of the events that tell of what could not be undone."""

LOOK_SECONDS = 1.0
"""How often it is looked whether what an undo waits for has come."""

PATIENCE_SECONDS = 6.0
"""How much longer than its time an undo is waited for: one that has begun is ended by its own limit before that."""

Ending = tuple[WorkflowStatus, dict[str, Any] | None]


def trigger_of(run: Run, status: WorkflowStatus, measure: Measure) -> str | None:
    """Which trigger of the workflow's strategy fits the way it ends, or None; `measure` tells what windows show now."""
    strategy = run.plan.definition.rollback_strategy
    if strategy is None or not strategy.enabled:
        return None
    facts: set[str] = set()
    if status is WorkflowStatus.TIMED_OUT:
        facts.add("timeout")
    elif status is WorkflowStatus.CANCELLED:
        facts.add("cancelled")
    if run.failed is not None:
        # All that have failed, not the first alone; and also where time was over, or it was cancelled, after that.
        facts |= {"action_failure", *(f"{family}_failure" for step in _failed(run) for family in step.families)}
    names = MeasuredNames(Scope(run.state), measure, subject_of({}, run.state.event))
    for trigger in strategy.triggers:
        if trigger in facts:
            return trigger
        if trigger not in FAILURES and _holds(trigger, names):
            return trigger
    return None


def _failed(run: Run) -> list[Step]:
    steps = (step for step in run.plan.steps if step.definition.on_failure != "continue")
    return [step for step in steps if run.state.actions[step.name].status is ActionStatus.FAILED]


def _holds(trigger: str, names: MeasuredNames) -> bool:
    try:
        return compile_measured(trigger, units=UNITS, kept=KEPT_SECONDS)(names)
    except ConditionError as error:
        # A family with a name that is no name of a condition; or one that an earlier version has let through.
        if not FAMILY_FAILURE.fullmatch(trigger):
            log.error("the trigger of a rollback cannot be read and is left out: %s", error.message)
        return False


def rollback_of(
    run: Run, reason: str, status: WorkflowStatus, error: dict[str, Any] | None, until: float
) -> dict[str, Any]:
    """What the journal says of a rollback that begins: what is undone, the last first, and what cannot be."""
    done = [(key, run.step_of(key)) for key in reversed(_done(run))]
    return {
        "reason": reason,
        "order": [key for key, step in done if step.undo is not None],
        "without_undo": [key for key, step in done if step.undo is None and step.effect != "read"],
        "until": until,
        "status": status.value,
        "error": error,
    }


def _done(run: Run) -> list[str]:
    """What has done something, in the order in which it ended: what is completed, and also each workflow that was
    started and has not succeeded, for what its actions had done until then may be there still."""
    completed, actions = run.state.completed, run.state.actions
    if not run.plan.starts_workflows:
        return completed

    def ended(key: str) -> float:
        return actions[key].finished_at or 0.0

    known = frozenset(completed)
    broken = [(ended(key), key) for key in actions if key not in known and _broke_off(run, key)]
    broken.sort(key=itemgetter(0))
    # In the order of the journal, also where a clock was put back between two of them.
    placed = zip(accumulate(map(ended, completed), max), completed, strict=True)
    return [key for _, key in merge(placed, broken, key=itemgetter(0))]


def _broke_off(run: Run, key: str) -> bool:
    """Whether an action, or an item of one, has started a workflow that it answers for and that did not succeed."""
    step, state = run.step_of(key), run.state.actions[key]
    undone = step.starts_workflows and step.undo is not None and step.undo.plugin.kind == "undo"
    if not undone or state.started_at is None or state.items is not None or state.taken_over:
        return False
    if state.status is ActionStatus.FAILED:
        # Else it was not even started: no such workflow, or inputs that do not fit.
        return state.attempt > 1 or (state.error or {}).get("type") in _ENDS_OF_CHILDREN
    return state.status is ActionStatus.CANCELLED


_ENDS_OF_CHILDREN = (ChildFailed.__name__, ActionTimeout.__name__)


class Undoing:
    """Undoes what executions have done."""

    def __init__(self, surroundings: Surroundings, flush: Callable[[Run], Awaitable[None]], limit: float) -> None:
        self._executor = surroundings.executor
        self._clock = surroundings.clock
        self._metrics = surroundings.metrics
        self._changes = surroundings.changes
        self._resources = surroundings.resources
        self._secrets = surroundings.secrets
        self._flush = flush
        self._guards = surroundings.guards
        self._measure = surroundings.samples.measure
        self._limit = limit

    async def finish(self, run: Run, status: WorkflowStatus, error: dict[str, Any] | None) -> Ending:
        """How the execution ends, after undoing what must be undone."""
        rollback = run.state.rollback
        if rollback is None:
            reason = trigger_of(run, status, self._measure)
            if reason is None:
                return status, error
            rollback = self._begin(run, reason, status, error)
        for key in [key for key in rollback.order if key not in rollback.undone and key not in rollback.failed]:
            await self._undo(run, rollback, key)
        return self._ending(run, rollback)

    def _begin(self, run: Run, reason: str, status: WorkflowStatus, error: dict[str, Any] | None) -> Rollback:
        strategy = run.plan.definition.rollback_strategy
        assert strategy is not None
        now = self._clock.now()
        body = rollback_of(run, reason, status, error, now + strategy.max_rollback_time)
        run.note(now, "rollback_started", None, body)
        run.write(
            statements.EXECUTION_STATUS(
                status=WorkflowStatus.ROLLING_BACK.value, wake_at=None, node=run.node, where_id=run.id
            )
        )
        run.fact(now, "workflow_execution", "rollback", reason, {"workflow": run.plan.name, "order": body["order"]})
        self._changes.tell("execution", run.id, WorkflowStatus.ROLLING_BACK.value)
        assert run.state.rollback is not None
        return run.state.rollback

    async def _undo(self, run: Run, rollback: Rollback, key: str) -> None:
        step = run.step_of(key)
        await self._let_through(run, rollback)
        now = self._clock.now()
        run.note(now, "undo_started", key, {})
        await self._flush(run)
        outcome = "succeeded"
        try:
            if rollback.until <= now:
                raise ActionTimeout("max_rollback_time was over before its turn came")
            await self._to_its_end(run, step, key, rollback)
            run.note(self._clock.now(), "undo_completed", key, {})
        except AutomationError as error:
            outcome = "failed"
            told = {"type": type(error).__name__, "message": self._secrets.redactor.redact(error.message)}
            run.note(self._clock.now(), "undo_failed", key, {"error": told})
            log.error("execution %s: %s could not be undone: %s", run.id, key, told["message"])
        except asyncio.CancelledError:
            # The engine stops: the next one runs this undo again.
            raise
        run.fact(self._clock.now(), "action_execution", f"undo {step.plugin.name}", outcome, {"action": key})

    async def _to_its_end(self, run: Run, step: Step, key: str, rollback: Rollback) -> None:
        """Have an undo run, again and again where it waits for something: here, since its time is bounded."""
        while True:
            call = self._call(run, step, key, rollback)
            try:
                return await self._in_time(call, rollback.until - self._clock.now())
            except Suspend as wait:
                # For what is no time, such as the end of a workflow, it is looked each second.
                due = self._clock.now() + LOOK_SECONDS if isinstance(wait, Await) else wait.until
                if due > rollback.until:
                    raise ActionTimeout(f"{wait.reason or 'it waits'}, and max_rollback_time is over before") from None
                await until(self._clock, due)

    async def _in_time(self, call: Call, left: float) -> None:
        """Have an undo run; raises ActionTimeout if the time is over before there is a place for it."""
        try:
            async with asyncio.timeout(left + PATIENCE_SECONDS):
                await self._executor.execute(call)
        except TimeoutError:
            raise ActionTimeout("max_rollback_time was over while it waited for its place") from None

    async def _let_through(self, run: Run, rollback: Rollback) -> None:
        """Return when no stop of all changes is in force; what that takes is not counted in the time of the rollback.

        Waited for here and not parked: it is in the journal that it is held, and whoever takes it up waits on.
        """
        while (stop := self._guards.stopped) is not None:
            if rollback.held_at is None:
                run.note(self._clock.now(), "rollback_held", None, {"reason": f"guardrail stop: {stop.reason}"})
                await self._flush(run)
            await self._guards.released()
        if rollback.held_at is not None:
            run.note(self._clock.now(), "rollback_released", None, {})

    def _call(self, run: Run, step: Step, key: str, rollback: Rollback) -> Call:
        undo = step.undo
        assert undo is not None
        began, left = rollback.began[key], rollback.until - self._clock.now()
        state = run.state.actions[key]
        if undo.parameters is not None:
            # What it has returned itself goes before what others have: else the undo would take back theirs.
            returned = state.outputs if isinstance(state.outputs, Mapping) else {}
            scope = Scope(run.state, {**returned, **_own(run, step, key)})
            parameters = undo.parameters.render(scope, self._secrets.get)
        elif step.parameters.secrets:
            parameters = self._with_secrets(run, step, key)
        else:
            parameters = state.parameters
        context = ActionContext(
            execution_id=run.id,
            workflow=run.plan.name,
            action=f"{key}.undo",
            operation=undo.plugin.name,
            started_at=began,
            timeout_seconds=min(undo.timeout_seconds or step.definition.timeout_seconds or self._limit, left),
            event=run.state.event or {},
            clock=self._clock,
            resources=self._resources,
            secret=self._secrets.get,
        )
        return Call(undo.plugin, parameters, context, run.priority, result=state.outputs, takes_back=True)

    def _with_secrets(self, run: Run, step: Step, key: str) -> Any:
        """The parameters that the action was given, secrets included.

        The journal has them without. They are never compiled again: event data in them may look like an expression.
        """
        scope = Scope(run.state, _own(run, step, key))
        if step.parameters.render(scope) != run.state.actions[key].parameters:
            raise Refused("its parameters cannot be had again: what they were made from has changed since it ran")
        return step.parameters.render(scope, self._secrets.get)

    def _ending(self, run: Run, rollback: Rollback) -> Ending:
        told = {
            "reason": rollback.reason,
            "undone": rollback.undone,
            "not_undone": rollback.failed,
            "without_undo": rollback.without_undo,
        }
        error = {**(rollback.error or {"type": "RolledBack", "message": rollback.reason}), "rollback": told}
        if not rollback.failed:
            return WorkflowStatus.ROLLED_BACK, error
        names = ", ".join(rollback.failed)
        reason = f"not undone after {rollback.reason}: {names}"
        run.write(Decision(self._clock.now(), "rollback", run.plan.name, "incomplete", f"{run.id}: {reason}").op())
        self._metrics.rollbacks_incomplete.labels(run.plan.name).inc()
        if (run.state.event or {}).get("source") != SOURCE:
            # Not of what such an event has itself started, which would not end.
            run.events = [*(run.events or ()), self._event(run, told)]
        error["message"] = f"{error['message']}; {reason}"
        status = rollback.status if rollback.status is not WorkflowStatus.SUCCEEDED else WorkflowStatus.FAILED
        return status, error

    def _event(self, run: Run, told: dict[str, Any]) -> Event:
        data = {"execution": run.id, "workflow": run.plan.name, **told}
        now = self._clock.now()
        return Event(
            type="rollback_incomplete",
            source=SOURCE,
            subject=run.plan.name,
            data=data,
            id=f"{run.id}:rollback",
            time=now,
        )


def _own(run: Run, step: Step, key: str) -> dict[str, Any]:
    """The names of the own scope of an action, or of an item of one, as it ran last."""
    state, items = run.state.actions[key], run.state.actions[step.name].items
    own: dict[str, Any] = {"attempt": state.attempt}
    if step.repeat is not None:
        own["iteration"] = state.iteration
    if items is not None and key != step.name:
        index = int(key[len(step.name) + 1 : -1])
        own |= {"item": items[index], "index": index}
    return own
