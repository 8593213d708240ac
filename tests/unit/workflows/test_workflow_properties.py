"""What holds for every workflow: made up at random, run in virtual time, by engines that may die at any transaction."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from automation import DefinitionError, WorkflowDefinition, WorkflowStatus
from automation.model.execution import ActionStatus, JournalEntry
from automation.testing import After, crash_and_recover, engine, run_workflow
from automation.workflows.compiler import compile_workflow
from automation.workflows.state import State, fold
from tests.support.crashes import Death, live

LIVES = int(os.environ.get("DURABILITY_LIVES", "12"))
"""Examples. Each is a whole life on a database of its own, so a few must do; `make soak` sets more."""

LIFE = settings(max_examples=LIVES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pytestmark = pytest.mark.timeout(600 + 10 * LIVES)

OPERATIONS = ("side.once", "side.again", "side.look", "side.undoable", "side.critical", "flow.wait", "flow.fail")


@st.composite
def workflows(draw: st.DrawFn) -> WorkflowDefinition:
    """Any graph of up to six actions of all kinds."""
    names = "abcdef"[: draw(st.integers(1, 6))]
    actions = [_action(draw, name, names[:index]) for index, name in enumerate(names)]
    further: dict[str, Any] = {}
    if draw(st.booleans()):
        further["rollback_strategy"] = {"triggers": ["action_failure", "timeout"], "max_rollback_time": 600}
    if draw(st.integers(0, 4)) == 0:
        further["timeout_seconds"] = draw(st.sampled_from([5.0, 50.0]))
    workflow = WorkflowDefinition.model_validate({"name": "w", "actions": actions, **further})
    try:
        compile_workflow(workflow)
    except DefinitionError:
        # A join that can never be met is refused.
        reject()
    return workflow


def _action(draw: st.DrawFn, name: str, before: str) -> dict[str, Any]:
    operation = draw(st.sampled_from(OPERATIONS))
    action: dict[str, Any] = {"name": name, "action_type": operation}
    if operation == "flow.wait":
        action["parameters"] = {"seconds": draw(st.sampled_from([0, 0.5, 7, 4000]))}
    elif operation == "flow.fail":
        action["parameters"] = {"message": "on purpose"}
    else:
        action["parameters"] = {"seconds": draw(st.sampled_from([0, 0, 3])), "fail_times": draw(st.integers(0, 2))}
        action["retry"] = {"attempts": draw(st.integers(1, 3)), "initial_seconds": 2}
        if operation != "side.critical" and draw(st.integers(0, 3)) == 0:
            action["for_each"] = {"items": [1, 2, 3], "concurrency": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        action["depends_on"] = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        if len(action["depends_on"]) > 1 and draw(st.booleans()):
            action["join"] = draw(st.sampled_from(["any", len(action["depends_on"]) - 1]))
    if draw(st.integers(0, 3)) == 0:
        action["on_failure"] = "continue"
    if draw(st.integers(0, 3)) == 0:
        action["always"] = True
    if draw(st.integers(0, 4)) == 0:
        action["conditions"] = [draw(st.sampled_from(["1 > 2", "2 > 1"]))]
    if operation in ("side.once", "side.again") and draw(st.integers(0, 3)) == 0:
        action["on_interrupt"] = draw(st.sampled_from(["retry", "fail"]))
    return action


deaths = st.lists(st.tuples(st.integers(1, 14), st.sampled_from(["before", "after"])), max_size=3)


@LIFE
@given(workflows(), deaths)
async def test_it_ends_and_keeps_every_promise_wherever_engines_die(
    workflow: WorkflowDefinition, deaths: list[Death]
) -> None:
    lived = await live(workflow, deaths)

    entries, names = lived.record.entries, [action.name for action in workflow.actions]
    last = lived.runs[-1].state
    assert told(last) == told(fold(names, entries)), "what is stored is not what the engine had in memory"
    check_prefixes(names, entries)


def told(state: State) -> dict[str, Any]:
    """All that a state says."""
    slots = {name: getattr(state, name) for name in State.__slots__ if name not in ("actions", "rollback")}
    actions = {
        key: {name: getattr(action, name) for name in type(action).__slots__}
        for key, action in state.actions.items()
        if action.attempt or action.status is not ActionStatus.PENDING
    }
    undone = state.rollback and {name: getattr(state.rollback, name) for name in type(state.rollback).__slots__}
    return {**slots, "actions": actions, "rollback": undone}


def check_prefixes(names: Iterable[str], entries: list[JournalEntry]) -> None:
    """Whatever was the last to get to disk, it makes sense, and nothing that was said before it is unsaid."""
    names = list(names)
    step_by_step = State(names)
    over: dict[str, ActionStatus] = {}
    completed: list[str] = []
    for number, entry in enumerate(entries, 1):
        step_by_step.apply(entry.kind, entry.action, entry.at, entry.body)
        state = fold(names, entries[:number])
        assert told(state) == told(step_by_step)
        assert state.seq == entry.seq == number
        assert state.status.finished is (number == len(entries))
        assert state.completed[: len(completed)] == completed
        completed = list(state.completed)
        for key, status in over.items():
            assert state.actions[key].status is status, f"{key} was over"
        over = {key: action.status for key, action in state.actions.items() if action.status.finished}
        for action in state.actions.values():
            assert (action.finished_at is not None) is action.status.finished
        assert state.status in {1: {WorkflowStatus.RUNNING}}.get(number, set(WorkflowStatus))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[WorkflowDefinition, dict[str, float]]:
    """A graph whose actions all succeed, and how long each takes."""
    names = "abcdefgh"[: draw(st.integers(1, 8))]
    actions = []
    for index, name in enumerate(names):
        action: dict[str, Any] = {"name": name, "action_type": "side.once"}
        if index and draw(st.integers(0, 3)):
            action["depends_on"] = draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=3))
        actions.append(action)
    # What is listed first need not come first.
    order = draw(st.permutations(actions)) if all("depends_on" in action for action in actions[1:]) else actions
    for action in order:
        action.setdefault("depends_on", [])
    seconds = {name: float(draw(st.integers(0, 1000))) for name in names}
    return WorkflowDefinition.model_validate({"name": "w", "actions": list(order)}), seconds


@LIFE
@given(graphs())
async def test_an_action_begins_as_soon_as_all_before_it_have_ended(
    graph: tuple[WorkflowDefinition, dict[str, float]],
) -> None:
    workflow, seconds = graph
    outcomes = {name: After(time, {}) for name, time in seconds.items()}
    limits = [action.model_copy(update={"timeout_seconds": 2000}) for action in workflow.actions]

    result = await run_workflow(workflow.model_copy(update={"actions": tuple(limits)}), outcomes=outcomes)

    assert result.status is WorkflowStatus.SUCCEEDED
    ends = {name: result.began_after(name) + seconds[name] for name in seconds}
    for action in workflow.actions:
        expected = max((ends[name] for name in action.depends_on or ()), default=0.0)
        assert result.began_after(action.name) == pytest.approx(expected)
    assert result.seconds == pytest.approx(max(ends.values()))


@LIFE
@given(
    st.lists(st.sampled_from([0.0, 0.25, 1.0, 1.5, 59.0, 3600.0, 250_000.0]), min_size=1, max_size=4),
    st.lists(st.floats(0.01, 300_000), max_size=3),
)
async def test_every_wait_is_over_when_it_is_due_whoever_waits(waits: list[float], lives: list[float]) -> None:
    """Engines that die after some seconds, and one that lives on: no wait is shortened, prolonged or repeated."""
    actions: list[dict[str, Any]] = []
    for number, wait in enumerate(waits):
        actions.append({"name": f"wait{number}", "action_type": "flow.wait", "parameters": {"seconds": wait}})
        actions.append({"name": f"act{number}", "action_type": "side.once"})
    workflow = WorkflowDefinition.model_validate({"name": "w", "actions": actions})
    async with engine(outcomes={"side.once": {}}) as running:
        await running.register_workflow(workflow)
        began = running.clock.now()
        execution_id = await running.start_workflow("w")
        for life in sorted(lives):
            await running.clock.advance(max(0.0, began + life - running.clock.now()))
            running = await crash_and_recover(running)
        await running.wait_for(execution_id)
        times = [call.at - began for call in running.recorder.calls]

    due, expected = 0.0, []
    for wait in waits:
        due += wait
        expected.append(due)
    assert times == pytest.approx(expected, abs=0.05)


def test_the_checks_are_able_to_fail() -> None:
    """A journal in which an action that was over runs again is found."""
    kinds = [
        ("started", None, {}),
        ("action_started", "a", {"attempt": 1, "operation": "x"}),
        ("action_completed", "a", {"outputs": {}}),
        ("action_started", "a", {"attempt": 2, "operation": "x"}),
    ]
    entries = [
        JournalEntry(execution_id="e", seq=number, at=0.0, kind=kind, action=action, body=body)
        for number, (kind, action, body) in enumerate(kinds, 1)
    ]

    with pytest.raises(AssertionError):
        check_prefixes(["a"], entries)
