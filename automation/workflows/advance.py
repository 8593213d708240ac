"""What comes next in an execution: decided from its plan and its state, without running anything."""

from __future__ import annotations

from typing import Any

from automation.conditions import Measure
from automation.model.execution import ActionStatus, WorkflowStatus
from automation.workflows.action_state import ActionState
from automation.workflows.measuring import ahead
from automation.workflows.plan import Step
from automation.workflows.run import ITEMS, Run
from automation.workflows.state import Scope, State


def advance(run: Run, now: float, measure: Measure | None = None, *, stopped: bool = False) -> list[Step]:
    """Note which steps are skipped, and return those that can run now; `stopped` says that changes are.

    `measure` tells what windows of conditions show now.
    """
    ready: list[Step] = []
    actions = run.state.actions
    while run.free:
        steps, run.free = run.free, []
        for step in steps:
            hindered = hindrance(run) if not step.definition.always else None
            reason = hindered or (unreached(step, run.state) if not step.definition.always else None)
            reason = reason or unmet(step, run.state, measure)
            if reason is None:
                ready.append(step)
            else:
                body = {"reason": reason, "hindered": True} if hindered else {"reason": reason}
                run.note(now, "action_skipped", step.name, body)
    for name in list(run.waiting):
        step, state = run.plan.by_name[name], actions[name]
        if run.interruption and not step.definition.always:
            if state.awaits == ITEMS and step.starts_workflows:
                if name not in run.tasks:
                    run.waiting.discard(name)
                    ready.append(step)
            elif not run.clings(name):
                run.note(now, "action_cancelled", name, {"reason": run.interruption[1]})
        elif run.failed is not None and _not_begun(state) and not step.definition.always:
            # It is held back, or waits for people, and now never begins.
            run.note(now, "action_skipped", name, {"reason": hindrance(run), "hindered": True})
        elif name not in run.tasks and may_go_on(run, name, now, stopped=stopped):
            run.waiting.discard(name)
            ready.append(step)
    return ready + advance(run, now, measure, stopped=stopped) if run.free else ready


def may_go_on(run: Run, key: str, now: float, *, stopped: bool) -> bool:
    """Whether what an action or an item waits for has come: the time, the person's word, or what a wait stands for."""
    state = run.state.action(key)
    if (state.wake_at is not None and state.wake_at <= now) or (state.held_by == "stop" and not stopped):
        return True
    if state.awaits is None:
        return state.wake_at is None and state.approved is not None
    if state.awaits != ITEMS:
        return key in run.met and run.met[key][0] == state.wait
    items = (item for item in list(run.met) if item.startswith(f"{key}["))
    return any(
        run.state.action(item).status is ActionStatus.WAITING and may_go_on(run, item, now, stopped=stopped)
        for item in items
    )


def due(run: Run) -> float | None:
    """When time next matters: when the first waiting action, or the limit of the whole, is due."""
    actions, waiting = run.state.actions, run.waiting
    if run.interruption is not None:
        # Of the others, those are left that wait for a child to end, however long that takes.
        waiting = {name for name in waiting if run.plan.by_name[name].definition.always}
    times = [actions[name].wake_at for name in waiting]
    if run.interruption is None:
        times.append(run.deadline)
    return min((moment for moment in times if moment is not None), default=None)


def _not_begun(state: ActionState) -> bool:
    return state.attempt == 0 and state.iteration == 1 and (state.wake_at is not None or state.approval is not None)


def hindrance(run: Run) -> str | None:
    """Why nothing but cleanup may start any more."""
    if run.interruption is not None:
        return run.interruption[1]
    return None if run.failed is None else f"{run.failed} failed"


def unreached(step: Step, state: State) -> str | None:
    """Why a step's join of some can not be met any more, or None if it is, or joins all."""
    if step.needed is None:
        return None
    names = dict.fromkeys(step.depends_on)
    lost = [name for name in names if state.actions[name].status in _LOST]
    possible = len(names) - len(lost)
    if possible >= step.needed:
        return None
    return f"{step.needed} of {len(names)} had to succeed, and at most {possible} can: {', '.join(lost)} did not"


_LOST = frozenset({ActionStatus.FAILED, ActionStatus.SKIPPED, ActionStatus.CANCELLED})


def unmet(step: Step, state: State, measure: Measure | None = None) -> str | None:
    """Which of a step's conditions does not hold, as a sentence, or None if all do."""
    if not step.conditions:
        return None
    scope = Scope(state)
    for condition in step.conditions:
        refusal = condition.refusal(ahead(condition, step, scope, measure, state.event))
        if refusal is not None:
            return refusal
    return None


def outcome(run: Run) -> tuple[WorkflowStatus, dict[str, Any] | None]:
    """How the execution ends, once nothing of it is left to run."""
    if run.interruption is not None:
        status, reason = run.interruption
        return status, {"type": status.value, "message": reason}
    if run.failed is not None:
        return WorkflowStatus.FAILED, {**(run.state.actions[run.failed].error or {}), "action": run.failed}
    return WorkflowStatus.SUCCEEDED, None
