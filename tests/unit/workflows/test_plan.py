"""What is refused when a workflow is registered: everything at once, each with its path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import AutomationConfig, AutomationEngine, DefinitionError, WorkflowDefinition
from automation.catalogue import read_alert
from automation.workflows.compiler import compile_workflow
from tests.support import handlers  # noqa: F401 - registers the operations


def definition(*actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    full = [{"name": f"a{index}", "action_type": "test.record", **action} for index, action in enumerate(actions)]
    return WorkflowDefinition.model_validate({"name": "w", "actions": full, **further})


def problems(*actions: dict[str, Any], **further: Any) -> dict[str, str]:
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(definition(*actions, **further))
    return {problem.path: problem.message for problem in caught.value.problems}


def test_all_problems_come_at_once_with_their_paths() -> None:
    found = problems(
        {"action_type": "test.recrod"},
        {"name": "a0", "parameters": {"valeu": 1}},
        {"depends_on": ["nobody"], "conditions": ["x >"]},
        {"parameters": {"values": {"text": "${1 +}"}}},
        conditions=["a ==="],
        triggers=[{"type": "event", "event": "x", "condition": "("}, {"type": "schedule", "cron": "61 * * * *"}],
    )

    assert "test.record" in found["actions[0].action_type"]
    assert "already" in found["actions[1].name"]
    assert found["actions[1].parameters.valeu"] == "unknown key; did you mean 'value'?"
    assert "nobody" in found["actions[2].depends_on[0]"]
    assert "column" in found["actions[2].conditions[0]"]
    assert "actions[3].parameters.values.text" in found
    assert "conditions[0]" in found
    assert "triggers[0].condition" in found
    assert "cron" in found["triggers[1].cron"]


def test_a_circle_is_named() -> None:
    found = problems({"depends_on": ["a2"]}, {"depends_on": ["a0"]}, {"depends_on": ["a1"]}, {"depends_on": []})

    assert "a0" in found["actions"]
    assert "->" in found["actions"]


def test_an_action_cannot_depend_on_itself() -> None:
    assert "itself" in problems({"depends_on": ["a0"]})["actions[0].depends_on[0]"]


def test_operations_are_found_by_family_and_name_or_by_full_name() -> None:
    plan = compile_workflow(definition({"name": "record", "action_type": "test"}, {"action_type": "test.record"}))

    assert [step.plugin.name for step in plan.steps] == ["test.record", "test.record"]


def test_a_parameter_with_an_expression_is_checked_when_it_runs() -> None:
    plan = compile_workflow(definition({"action_type": "test.pause", "parameters": {"seconds": "${long}"}}))

    assert plan.steps[0].validated is None
    assert "seconds" in str(problems({"action_type": "test.pause", "parameters": {"seconds": "long"}}))


def test_an_action_that_is_named_must_exist() -> None:
    assert "nobody" in problems({}, {"parameters": {"value": "${actions.nobody.x}"}})["actions[1].parameters"]


def test_with_declared_inputs_an_undeclared_name_is_refused() -> None:
    found = problems({"parameters": {"value": "${nmae}"}}, inputs={"name": {"type": "string"}})

    assert "did you mean 'name'" in found["actions[0].parameters"]


def test_nothing_is_half_registered(config: AutomationConfig) -> None:
    engine = AutomationEngine(config)

    with pytest.raises(DefinitionError):
        engine.workflow_manager.register_workflow(definition({"depends_on": ["a0"]}))
    assert engine.workflow_manager.list_workflows() == []


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"timeout": 5}, "timeout", "unknown key"),
        ({"actions": []}, "actions", "at least 1"),
        ({"priority": "urgent"}, "priority", "priority is one of"),
        ({"name": "no spaces"}, "name", "pattern"),
        (
            {"actions": [{"name": "a", "action_type": "b", "retry": {"attemps": 3}}]},
            "actions[0].retry.attemps",
            "unknown",
        ),
        ({"triggers": [{"type": "evnt"}]}, "triggers[0]", "event"),
    ],
)
def test_wrong_shapes_are_refused_with_their_path(change: dict[str, Any], path: str, message: str) -> None:
    from pydantic import ValidationError

    from automation.plugins import validation_problems

    with pytest.raises(ValidationError) as caught:
        WorkflowDefinition.model_validate({"name": "w", "actions": [{"name": "a", "action_type": "b"}], **change})
    found = {problem.path: problem.message for problem in validation_problems(caught.value)}
    assert message in found[path]


def test_an_alert_config_that_is_wrong_says_where() -> None:
    with pytest.raises(DefinitionError, match=r"condition: is required"):
        read_alert({"name": "x"})


graphs = st.integers(1, 8).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, size - 1).map(lambda n: f"a{n}"), max_size=3), min_size=size, max_size=size
    )
)


@given(graphs)
def test_a_graph_is_refused_just_when_it_has_a_circle(edges: list[list[str]]) -> None:
    import graphlib

    sorter = graphlib.TopologicalSorter({f"a{index}": set(needed) for index, needed in enumerate(edges)})
    try:
        sorter.prepare()
        acyclic = True
    except graphlib.CycleError:
        acyclic = False

    try:
        plan = compile_workflow(definition(*({"depends_on": needed} for needed in edges)))
    except DefinitionError:
        assert not acyclic
    else:
        assert acyclic
        depth = {step.name: level for level, layer in enumerate(plan.layers()) for step in layer}
        assert all(depth[name] < depth[step.name] for step in plan.steps for name in step.depends_on)
        assert len(depth) == len(edges)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, []),
        ({"rollback_strategy": {"triggers": ["action_failure", "test_failure", "canary_bad"]}}, []),
        (
            {"rollback_strategy": {"triggers": ["canceled"]}},
            [
                "rollback_strategy.triggers[0]: 'canceled' is a condition, true when a value of this name is; "
                "did you mean 'cancelled'?",
            ],
        ),
        (
            {"rollback_strategy": {"triggers": ["tset_failure", "deployment_failure"]}},
            [
                "rollback_strategy.triggers[0]: no action is of the family 'tset'; did you mean 'test_failure'?",
                "rollback_strategy.triggers[1]: no action is of the family 'deployment'; there are actions of test",
            ],
        ),
    ],
)
def test_what_is_hardly_meant_is_a_warning(more: dict[str, Any], told: list[str]) -> None:
    action = {"name": "a", "action_type": "test.record"}
    plan = compile_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [action], **more}))
    assert [str(problem) for problem in plan.warnings] == told
    assert {problem.severity for problem in plan.warnings} <= {"warning"}


def test_what_is_wrong_with_names_does_not_wait_until_the_rest_is_right() -> None:
    found = problems(
        {"parameters": {"value": "${actions.nobody.x}"}, "depends_on": ["a1"]},
        {"action_type": "flow.set", "parameters": {"values": {}}, "heartbeat_timeout_seconds": 5, "depends_on": ["a0"]},
        {"action_type": "test.recrod"},
        {"parameters": {"value": "${nowhere}"}, "depends_on": []},
        inputs={"known": {}},
    )

    assert set(found) == {
        "actions",
        "actions[0].parameters",
        "actions[1].heartbeat_timeout_seconds",
        "actions[2].action_type",
        "actions[3].parameters",
    }


@pytest.mark.parametrize("items", ["hosts", "${hosts} and more", ""])
def test_a_text_is_no_list(items: str) -> None:
    found = problems({"for_each": items})

    assert found["actions[0].for_each"].startswith("must be a list, or one expression")
    assert found["actions[0].for_each"].endswith(repr(items))


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ({"parameters": {"value": "${actions.early.x}"}}, []),
        ({"parameters": {"value": "${actions.a1.x}"}}, ["which is not known before it has run"]),
        ({"parameters": {"value": "${actions.later.x}"}}, ["which begins only when 'a1' has ended"]),
        ({"parameters": {"value": "${actions.beside.x}"}}, ["does not wait for it: add it to depends_on"]),
        ({"delay": "${actions.beside.x}"}, ["does not wait for it: add it to depends_on"]),
        ({"parameters": {"value": "${actions.a1.x}"}, "repeat": {"until": "x > 1", "max": 2}}, []),
        ({"verify": "actions.a1.x > 1"}, []),
        ({"rollback": {"action_type": "test.record", "parameters": {"value": "${actions.later.x}"}}}, []),
    ],
)
def test_an_output_that_nothing_waits_for_is_a_warning(action: dict[str, Any], told: list[str]) -> None:
    plan = compile_workflow(
        definition({"name": "early"}, action, {"name": "later"}, {"name": "beside", "depends_on": []})
    )

    found = [warning.message for warning in plan.warnings]
    assert len(found) == len(told)
    assert all(message.endswith(end) for message, end in zip(found, told, strict=True))
