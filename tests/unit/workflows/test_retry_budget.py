"""Retry budgets: most of what fails is tried again while most goes well, and little when nothing does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import ActionContext, AutomationConfig, DefinitionError, TryLater, WorkflowDefinition
from automation.model.execution import ExecutionResult, WorkflowStatus
from automation.model.workflow import RetryBudget
from automation.testing import EngineUnderTest, engine
from automation.workflows.budget import Budget, Budgets
from tests.support import side_effects  # noqa: F401 - registers the operations

MOMENTS = st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=200)


@given(
    MOMENTS,
    st.builds(
        RetryBudget,
        share=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
        least_per_second=st.sampled_from([0.0, 0.2, 3.0]),
        window_seconds=st.integers(1, 12),
    ),
)
def test_it_counts_what_is_in_the_window_and_nothing_else(
    moments: list[tuple[float, bool]], settings: RetryBudget
) -> None:
    """Against the plain sum over all that has happened."""
    budget, firsts, retries = Budget(settings), list[int](), list[int]()
    for now, is_first in sorted(moments):
        since = int(now) - settings.window_seconds
        if is_first:
            budget.first(now)
            firsts.append(int(now))
            continue
        within = sum(second > since for second in firsts)
        granted = sum(second > since for second in retries)
        most = settings.share * within + settings.least_per_second * settings.window_seconds
        assert (budget.refusal(now) is None) is (granted + 1 <= most)
        if granted + 1 <= most:
            budget.spend(now)
            retries.append(int(now))


def test_a_retry_has_to_fit_into_both_and_is_taken_from_both_or_none() -> None:
    own = WorkflowDefinition.model_validate(
        {**WORKFLOW, "retry_budget": {"share": 0, "least_per_second": 1, "window_seconds": 2}}
    )
    other = WorkflowDefinition.model_validate({**WORKFLOW, "name": "other"})
    budgets = Budgets(RetryBudget(share=0, least_per_second=3, window_seconds=1), lambda: 100.0)

    assert [budgets.refusal(own) is None for _ in range(3)] == [True, True, False]
    assert budgets.refusal(other) is None, "what the other budget has refused was not taken from this one"
    refused = budgets.refusal(other)
    assert refused is not None
    assert refused[0] == "performance.retry_budget"


WORKFLOW: dict[str, Any] = {
    "name": "w",
    "actions": [{"name": "a", "action_type": "side.again", "retry": {"attempts": 5, "initial_seconds": 1}}],
}


def without_breakers(**performance: Any) -> AutomationConfig:
    """Circuit breakers are there for the same; here they would hide what the budget does."""
    return AutomationConfig.model_validate({"performance": {"circuit_breaker": {"enabled": False}, **performance}})


async def storm(running: EngineUnderTest, definition: dict[str, Any], many: int) -> list[ExecutionResult]:
    """So many executions at once, on something that is broken."""
    await running.register_workflow(WorkflowDefinition.model_validate(definition))
    ids = [await running.start_workflow(definition["name"]) for _ in range(many)]
    return [await running.wait_for(execution_id) for execution_id in ids]


async def broken(params: Any, context: ActionContext) -> None:
    raise TryLater("the database is down")


@pytest.mark.parametrize("place", ["definition", "configuration"])
async def test_a_broken_dependency_gets_no_storm_of_retries(place: str) -> None:
    budget = {"share": 0.1, "least_per_second": 0.2, "window_seconds": 60}
    here = {"retry_budget": budget} if place == "definition" else {}
    config = without_breakers(**({} if here else {"retry_budget": budget}))
    async with engine(outcomes={"a": broken}, config=config) as running:
        results = await storm(running, {**WORKFLOW, **here}, 40)
        calls = len(running.recorder.calls)
        decisions = (await running.queries.decisions(kind="retry_budget", limit=100)).items
        text = running.metrics.render().decode()

    assert {result.status for result in results} == {WorkflowStatus.FAILED}
    assert calls == 40 + 16, "40 first attempts x 10 % and 0.2 a second for 60 s"
    refused = [
        result.actions[0].error or {} for result in results if "retry_refused" in (result.actions[0].error or {})
    ]
    assert len(refused) == len(decisions) >= 36
    assert all(error["type"] == "TryLater" for error in refused)
    assert "the database is down; it is not tried again: " in refused[0]["message"]
    assert "16 retries of 40 first attempts in 60 s; allowed are 10% and 0.2 a second beside" in refused[-1]["message"]
    assert f'automation_retries_refused_total{{workflow="w"}} {len(refused)}.0' in text


async def test_without_a_budget_every_attempt_is_made() -> None:
    async with engine(outcomes={"a": broken}, config=without_breakers()) as running:
        await storm(running, WORKFLOW, 20)
        assert len(running.recorder.calls) == 20 * 5


async def test_a_budget_fills_again_with_time() -> None:
    budget = {"share": 0, "least_per_second": 0.1, "window_seconds": 10}
    once = {**WORKFLOW, "retry_budget": budget}
    once["actions"] = [{**WORKFLOW["actions"][0], "retry": {"attempts": 2, "initial_seconds": 1}}]
    async with engine(outcomes={"a": broken}, config=without_breakers()) as running:
        await storm(running, once, 3)
        assert len(running.recorder.calls) == 3 + 1
        await running.clock.advance(11)
        await storm(running, once, 1)
        assert len(running.recorder.calls) == 3 + 1 + 2


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ({"share": -0.1}, {"window_seconds": 0}, {"least_per_second": -1}, {"percent": 20}):
        with pytest.raises((DefinitionError, ValueError)):
            WorkflowDefinition.model_validate({**WORKFLOW, "retry_budget": wrong})
