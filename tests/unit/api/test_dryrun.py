"""What a start would do."""

from __future__ import annotations

from typing import Any

import pytest

from automation import AutomationLevel, InputError, WorkflowDefinition
from automation.model.approval import Approvals
from automation.model.workflow import RetryBudget
from automation.workflows.compiler import compile_workflow
from automation.workflows.dryrun import Foreseen, ForeseenConcurrency, Outlook, foresee
from tests.support import handlers  # noqa: F401 - registers the operations


def plan_of(*actions: dict[str, Any], **more: Any) -> Any:
    steps = [{"action_type": "test.record", **action} for action in actions]
    return compile_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": steps, **more}))


def test_heartbeats_and_retry_budgets_are_told() -> None:
    budget = {"share": 0.5, "least_per_second": 0}
    found = foresee(plan_of({"name": "a", "heartbeat_timeout_seconds": 30}, retry_budget=budget), {})
    assert found.steps[0].shape == ("a heartbeat at least every 30 s",)
    own = "this workflow: 50% of the first attempts and 0 a second beside, within 10 s"
    assert found.retry_budgets == (own,)
    found = foresee(plan_of({"name": "a"}, retry_budget=budget), {}, outlook=Outlook(retry_budget=RetryBudget()))
    assert found.retry_budgets == ("all workflows: 20% of the first attempts and 1 a second beside, within 10 s", own)
    assert foresee(plan_of({"name": "a"}), {}).retry_budgets == ()


def test_when_it_is_rolled_back_and_what_nothing_undoes_is_told() -> None:
    undo = {"action_type": "test.read", "parameters": {}}
    actions = (
        {"name": "a"},
        {"name": "b", "action_type": "test.plain"},
        {"name": "c", "action_type": "test.read"},
        {"name": "d", "action_type": "test.plain", "rollback": undo},
    )
    strategy = {"triggers": ["test_failure", "performance_degradation"], "max_rollback_time": 60}

    found = foresee(plan_of(*actions, rollback_strategy=strategy), {})

    assert found.rollback == "on test_failure or performance_degradation, within 60 s; nothing undoes b"
    assert [step.shape for step in found.steps] == [("undone by its operation",), (), (), ("undone by test.read",)]
    for never in (None, {**strategy, "enabled": False}, {"triggers": []}):
        found = foresee(plan_of(*actions, rollback_strategy=never), {})
        assert (found.rollback, found.steps[0].shape) == ("", ())


def test_how_an_action_is_retried_is_told() -> None:
    retry = {"attempts": 5, "initial_seconds": 1, "factor": 3, "max_seconds": 20, "on": ["TryLater", "OSError"]}
    found = foresee(plan_of({"name": "a", "retry": retry}, {"name": "b", "retry": {"jitter": False}}), {})

    assert found.steps[0].shape == (
        "tried at most 5 times",
        "pauses of 1 s x 3 each time, 20 s at most, with jitter",
        "tried again after TryLater, OSError",
    )
    assert found.steps[1].shape == ("pauses of 0.5 s x 2 each time, 60 s at most",)


def test_the_limits_of_a_workflow_are_told() -> None:
    guardrails = {
        "cooldown_seconds": 300,
        "target_rate": {"limit": 2, "window_seconds": 60},
        "workflow_rate": {"limit": 5},
        "blast_radius": {"share": 0.5, "services": 3},
        "freezes": [
            {"name": "nights", "cron": "0 22 * * *", "timezone": "Europe/Berlin", "duration_seconds": 28800},
            {"name": "new_year", "starts_at": "2026-12-31T12:00:00Z", "ends_at": "2027-01-02T00:00:00Z"},
        ],
    }
    found = foresee(plan_of({"name": "a", "on_guardrail": "wait"}, timeout_seconds=60, guardrails=guardrails), {})

    assert found.limits == (
        "at most 60 s",
        "300 s between two acts of one operation on one target",
        "at most 2 acts on one target within 60 s",
        "at most 5 acts of this workflow within 3600 s",
        "at most 50% of a service's replicas at once",
        "at most 3 services at once",
        "frozen by nights: 28800 s from each 0 22 * * * (Europe/Berlin)",
        "frozen by new_year: 2026-12-31 12:00 to 2027-01-02 00:00 UTC",
    )
    assert found.steps[0].shape == ("if a guardrail holds it back: wait",)
    assert foresee(plan_of({"name": "a"}), {}).limits == ()


def test_it_is_told_that_what_a_trigger_starts_is_only_proposed() -> None:
    plan = plan_of({"name": "a"}, level="manual", approval={"quorum": 2, "expires": "1h"})

    assert foresee(plan, {}).proposed == (
        "by what a trigger starts, at level manual: 2 have to approve; after 3600 s: deny"
    )
    assert foresee(plan_of({"name": "a"}), {}).proposed == ""
    assert foresee(plan_of({"name": "a"}), {}, outlook=Outlook(AutomationLevel.MANUAL)).proposed.endswith(
        "1 has to approve"
    )


def conditions(found: Foreseen, step: int = -1) -> list[str]:
    return [condition.value for condition in found.steps[step].conditions]


def test_steps_come_in_layers_with_rendered_parameters() -> None:
    plan = plan_of(
        {"name": "a", "depends_on": [], "parameters": {"value": "${replicas * 2}"}},
        {"name": "b", "depends_on": [], "parameters": {"value": "to ${who}: ${secret:PASSWORD}"}},
        {"name": "c", "depends_on": ["a", "b"], "parameters": {"value": {"x": "${answer} of ${who}"}}},
    )
    found = foresee(plan, {"replicas": 3, "who": "you"})
    assert [(step.name, step.layer, step.depends_on) for step in found.steps] == [
        ("a", 0, ()),
        ("b", 0, ()),
        ("c", 1, ("a", "b")),
    ]
    assert found.steps[0].parameters == {"value": 6}
    assert found.steps[1].parameters == {"value": "to you: ${secret:PASSWORD}"}
    assert found.steps[2].parameters == {"value": {"x": "${answer} of ${who}"}}
    assert found.steps[2].unknown == ("answer",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("who == 'you'", "true"),
        ("who == 'me'", "false"),
        ("later == 5", "unknown"),
        ("later", "unknown"),
        ("later IS NULL", "unknown"),
        ("later IS NOT NULL", "unknown"),
        ("later.deep IS NULL", "unknown"),
        ("actions.a.key IS NULL", "unknown"),
        ("actions.a.key > 5", "unknown"),
        ("event.data.x IS NULL", "true"),
        ("later > 5 AND who == 'me'", "false"),
        ("later > 5 OR who == 'you'", "true"),
        ("NOT later > 5", "unknown"),
        ("later == other", "unknown"),
        ("attempt == 1", "true"),
    ],
)
def test_conditions_are_as_known_as_they_can_be(text: str, value: str) -> None:
    """Given a condition after another action, then only what that action cannot change is said to be known."""
    plan = plan_of({"name": "a"}, {"name": "b", "conditions": [text]})
    found = foresee(plan, {"who": "you"})
    assert conditions(found) == [value]
    assert found.steps[1].runs == value


def test_nothing_comes_before_the_first_action() -> None:
    found = foresee(plan_of({"name": "a", "conditions": ["later IS NULL", "later > 5"]}), {})
    assert conditions(found) == ["true", "unknown"]
    assert found.steps[0].runs == "unknown"


@pytest.mark.parametrize(("variables", "starts"), [({"level": 9}, "true"), ({"level": 1}, "false"), ({}, "unknown")])
def test_the_workflows_own_conditions(variables: dict[str, Any], starts: str) -> None:
    found = foresee(plan_of({"name": "a"}, conditions=["level > 5"]), variables)
    assert found.starts == starts
    assert found.conditions[0].text == "level > 5"


def test_an_event_and_defaults_count() -> None:
    plan = plan_of(
        {"name": "a", "parameters": {"value": "${host} ${times} ${event.type}"}},
        inputs={"times": {"type": "integer", "default": 2}, "host": {}},
    )
    event = {"type": "down", "data": {"host": "a1"}, "source": "x", "id": "1"}
    plain = plan_of({"name": "a", "parameters": {"value": "${host} ${event.type}"}})
    assert foresee(plain, {}, event).steps[0].parameters == {"value": "a1 down"}
    assert foresee(plan, {"host": "b"}, event).variables == {"times": 2, "host": "b"}


def test_inputs_that_a_start_would_refuse_are_refused() -> None:
    with pytest.raises(InputError, match="who: is missing"):
        foresee(plan_of({"name": "a", "parameters": {"value": "${who}"}}), {})


def test_what_waits_for_approval() -> None:
    plan = plan_of(
        {"name": "a"}, {"name": "b", "action_type": "test.critical"}, {"name": "c", "action_type": "test.read"}
    )
    asked = {
        level: [step.needs_approval for step in foresee(plan, {}, outlook=Outlook(level=level)).steps]
        for level in (AutomationLevel.ASSISTED, AutomationLevel.INTELLIGENT, AutomationLevel.AUTONOMOUS)
    }
    assert list(asked.values()) == [[True, True, False], [False, True, False], [False] * 3]


def test_how_it_is_asked_and_of_which_key_it_needs_a_seat_is_foreseen() -> None:
    plan = compile_workflow(
        WorkflowDefinition.model_validate(
            {
                "name": "w",
                "level": "assisted",
                "approval": {"quorum": 2, "roles": ["sre"]},
                "concurrency": {"key": "${host}", "limit": 3, "on_conflict": "skip"},
                "actions": [
                    {"name": "a", "action_type": "test.record", "approval": {"expires": "1h", "on_expiry": "fail"}},
                    {"name": "b", "action_type": "test.read"},
                ],
            }
        )
    )

    found = foresee(plan, {"host": "a1"}, outlook=Outlook(approvals=Approvals(escalate_seconds=60)))

    assert [step.approval for step in found.steps] == [
        "2 have to approve of sre; escalates after 60 s; after 3600 s: fail",
        "",
    ]
    assert [step.needs_approval for step in found.steps] == [True, False]
    assert found.concurrency == ForeseenConcurrency("a1", 3, "skip")


def test_it_is_said_when_and_how_often_an_action_runs_and_what_its_failure_means() -> None:
    undo = {"action_type": "test.record", "parameters": {}}
    plan = plan_of(
        {"name": "a", "for_each": {"items": "${hosts}", "concurrency": 2}, "retry_attempts": 3, "timeout_seconds": 90},
        {"name": "b", "for_each": [1, 2], "on_failure": "continue", "retry": {"attempts": 1}, "on_interrupt": "ask"},
        {"name": "c", "always": True, "rollback": undo, "delay": "5m"},
    )

    a, b, c = foresee(plan, {"hosts": []}).steps

    assert a.shape == ("for each of ${hosts}, 2 at a time", "tried at most 3 times", "at most 90 s an attempt")
    assert b.shape == ("for each of 2 items, 10 at a time", "tried once", "may fail", "if the engine dies in it: ask")
    assert c.shape == ("after a delay of 5m", "always runs", "undone by test.record")
