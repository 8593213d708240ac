"""Goes through the iterations of a `repeat`: each is in the journal, and has an idempotency key of its own."""

from __future__ import annotations

from typing import Any

from automation.conditions import Measure
from automation.errors import AutomationError, RepeatExhausted
from automation.workflows.durations import seconds_in
from automation.workflows.measuring import MeasuredNames, subject_of
from automation.workflows.repeat import Newest, after
from automation.workflows.run import Run, Turn
from automation.workflows.state import Scope


def repeats(run: Run, turn: Turn, outputs: Any, now: float, measure: Measure) -> bool:
    """Whether an action is run again after an iteration, or was run in vain: that is noted then.

    `measure` tells what windows of its condition show now.
    """
    loop, state, operation = turn.step.repeat, run.state.action(turn.key), turn.step.plugin.name
    assert loop is not None
    iteration = state.iteration
    own = {"attempt": state.attempt, "iteration": iteration}
    names = Newest(Scope(run.state, own), turn.key, own, outputs)
    follows = after(loop, iteration, MeasuredNames(names, measure, subject_of(state.parameters, run.state.event)))
    if follows == "done":
        return False
    try:
        if follows == "exhausted":
            raise RepeatExhausted(times=loop.most, until=loop.until.text)
        until = now if loop.delay is None else now + seconds_in(loop.delay, names, "repeat.delay")
    except AutomationError as error:
        told = {"type": type(error).__name__, "message": error.message, "attempt": state.attempt}
        run.note(now, "action_failed", turn.key, {"error": told})
        run.fact(now, "action_execution", operation, "failed", {"action": turn.key, **told})
        return True
    reason = f"iteration {iteration} of at most {loop.most}: {loop.until.text!r} is not true"
    body = {"outputs": outputs, "iteration": iteration, "until": until, "reason": reason}
    run.note(now, "action_repeated", turn.key, body)
    run.fact(now, "action_execution", operation, "succeeded", {"action": turn.key, "iteration": iteration})
    return True
