"""Which actions of an execution that has ended run again, and which are kept: decided purely, by plan and state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from automation.errors import Conflict, NotFound
from automation.model.execution import ActionStatus, Execution, WorkflowStatus
from automation.workflows.action_state import ActionState
from automation.workflows.plan import Plan
from automation.workflows.state import State

RETRYABLE = frozenset({WorkflowStatus.FAILED, WorkflowStatus.TIMED_OUT, WorkflowStatus.CANCELLED})
"""How an execution must have ended for `retry` to go on with it."""


def repeated_by_retry(plan: Plan, execution: Execution, state: State) -> tuple[str, ...]:
    """The actions that a retry runs again, in the order of the plan; raises Conflict where it cannot go on.

    These are the actions that failed the execution or were kept from running by its end, and all that comes after
    them: cleanup that has run comes after what is repeated, and is repeated too.
    """
    if not execution.status.finished:
        raise Conflict(f"execution {execution.id} is {execution.status.value}; only one that has ended can be retried")
    refuse_undone(execution, state, "retried")
    if execution.status not in RETRYABLE:
        raise Conflict(f"execution {execution.id} has {execution.status.value}; to do it all again, rerun it")
    roots = [step.name for step in plan.steps if _unsuccessful(plan, step.name, state.actions[step.name])]
    again = _with_dependents(plan, roots)
    if not again:
        raise Conflict(f"execution {execution.id} has no action that failed or was kept from running; rerun it")
    return tuple(step.name for step in plan.steps if step.name in again)


def kept_by_fork(plan: Plan, state: State, action: str) -> tuple[str, ...]:
    """The actions that a fork from `action` takes over: all that are done and do not come after it; raises NotFound."""
    if action not in plan.by_name:
        known = ", ".join(plan.by_name)
        raise NotFound(f"there is no action {action!r}; there are: {known}", kind="action", name=action)
    again = _with_dependents(plan, [action])
    kept = []
    for step in plan.steps:
        before = state.actions.get(step.name)
        if before is None or not before.status.finished or _unsuccessful(plan, step.name, before):
            again |= _with_dependents(plan, [step.name])
        elif step.name not in again:
            kept.append(step.name)
    return tuple(name for name in kept if name not in again)


def refuse_undone(execution: Execution, state: State, what: str) -> None:
    """Raise Conflict if a rollback has undone what the execution did: nothing can build on that any more."""
    if state.rollback is not None:
        undone = ", ".join(state.rollback.undone) or "nothing yet"
        raise Conflict(
            f"execution {execution.id} cannot be {what}: it was rolled back (undone: {undone}); rerun it instead"
        )


def taken_over(state: ActionState) -> dict[str, Any]:
    """The journal entry of an action that a fork takes over."""
    body = {
        "status": state.status.value,
        "operation": state.operation,
        "parameters": state.parameters,
        "attempt": state.attempt,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "outputs": state.outputs,
        "items": state.items,
        "error": state.error,
        "reason": state.reason,
    }
    return {key: value for key, value in body.items() if value is not None or key == "outputs"}


def _unsuccessful(plan: Plan, name: str, state: ActionState) -> bool:
    """Whether an action has failed its execution, or did not run because of how that ended."""
    if state.status is ActionStatus.FAILED:
        return plan.by_name[name].definition.on_failure == "fail"
    if state.status is ActionStatus.SKIPPED:
        return state.hindered
    return state.status is not ActionStatus.SUCCEEDED


def _with_dependents(plan: Plan, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [step.name for step in plan.dependents[name]]
    return found
