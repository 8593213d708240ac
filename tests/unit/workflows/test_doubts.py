"""What is doubtful in a definition is a warning that reaches people; what cannot be stored or finish is refused."""

from __future__ import annotations

import logging
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel

from automation import (
    ActionContext,
    AutomationEngine,
    DefinitionError,
    ExecutionContext,
    InputError,
    WorkflowDefinition,
    action,
)
from automation.errors import Problem
from automation.store.values import unstorable
from automation.workflows.compiler import compile_workflow
from automation.workflows.doubts import haste, retried
from tests.support import handlers  # noqa: F401 - registers the operations


class NoParameters(BaseModel):
    """None."""


class Node(BaseModel):
    """What is returned."""

    host: str
    port: int


class Told(TypedDict):
    """The same, as a plain mapping."""

    host: str


@action("doubt.node", effect="read")
async def node(params: NoParameters, context: ActionContext) -> Node:
    return Node(host="a", port=1)


@action("doubt.told", effect="read")
async def told(params: NoParameters, context: ActionContext) -> Told:
    return {"host": "b"}


def definition(*actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    full = [{"name": f"a{index}", "action_type": "test.record", **each} for index, each in enumerate(actions)]
    return WorkflowDefinition.model_validate({"name": "w", "actions": full, **further})


def setting(**values: Any) -> dict[str, Any]:
    return {"action_type": "flow.set", "parameters": {"values": values}}


class TestHaste:
    def found(self, *actions: dict[str, Any], **further: Any) -> list[tuple[str, str]]:
        return list(haste(compile_workflow(definition(*actions, **further)), attempts=3, timeout=300.0, verify=0.0))

    def test_the_numbers_are_said(self) -> None:
        slow = {"timeout_seconds": 600, "retry": {"attempts": 3, "initial_seconds": 1, "factor": 2}, "delay": "5s"}
        quick = {"timeout_seconds": 10, "retry_attempts": 1}

        [(path, message)] = self.found(slow, quick, timeout_seconds=900)

        assert path == "timeout_seconds"
        assert message == (
            "900 s is less than its actions may take: up to 1818 s "
            "(a0: 5 s of delay + 3 x 600 s + 3 s between them; a1: 1 x 10 s)"
        )

    def test_just_enough_is_enough(self) -> None:
        one = {"timeout_seconds": 10, "retry": {"attempts": 2, "initial_seconds": 5}}

        assert self.found(one, timeout_seconds=25) == []
        assert len(self.found(one, timeout_seconds=24.9)) == 1

    def test_what_runs_beside_one_another_does_not_add_up(self) -> None:
        each = {"timeout_seconds": 10, "retry_attempts": 1}

        assert self.found({**each, "depends_on": []}, {**each, "depends_on": []}, timeout_seconds=15) == []
        assert len(self.found(each, each, timeout_seconds=15)) == 1

    def test_the_configuration_says_what_an_action_leaves_out(self) -> None:
        [(_, message)] = self.found({"timeout_seconds": 10}, timeout_seconds=20)
        assert "3 x 10 s" in message
        [(_, message)] = self.found({"retry_attempts": 2}, timeout_seconds=20)
        assert "2 x 300 s" in message

    def test_who_says_nothing_is_not_warned(self) -> None:
        assert self.found({}, {}, {"delay": 1}, timeout_seconds=2) == []
        assert self.found({"timeout_seconds": 100}) == []

    def test_the_time_of_verify_counts_for_each_attempt(self) -> None:
        checked = {"timeout_seconds": 10, "retry_attempts": 2, "retry": {"initial_seconds": 1}}
        [(_, message)] = self.found({**checked, "verify": "x < 1 within 60s"}, timeout_seconds=100)
        assert "up to 141 s" in message

    def test_the_time_of_waiting_counts(self) -> None:
        [(_, message)] = self.found({"action_type": "flow.wait", "parameters": {"seconds": "2h"}}, timeout_seconds=3600)
        assert message.endswith("up to 7200 s (a0: 7200 s of waiting)")
        waits = {"wait_for": {"event": "paid", "timeout": "1d"}, "action_type": "flow.wait_for", "delay": 60}
        [(_, message)] = self.found(waits, timeout_seconds=3600)
        assert message.endswith("up to 86460 s (a0: 60 s of delay + 86400 s of waiting)")
        unknown = {"action_type": "flow.wait", "parameters": {"seconds": "${seconds}"}}
        assert self.found(unknown, timeout_seconds=1) == []


class TestContradictions:
    @pytest.mark.parametrize(
        ("action", "path", "message"),
        [
            (
                {"retry_attempts": 2, "retry": {"attempts": 5}},
                "retry_attempts",
                "is 2, and retry.attempts is 5, which counts",
            ),
            (
                {"retry": {"initial_seconds": 90}},
                "retry.initial_seconds",
                "is 90, and no pause is longer than max_seconds, 60",
            ),
            (
                {"heartbeat_timeout_seconds": 30, "timeout_seconds": 30},
                "heartbeat_timeout_seconds",
                "is 30: its timeout_seconds, 30, is over before it could be found silent",
            ),
        ],
    )
    def test_what_makes_another_key_idle(self, action: dict[str, Any], path: str, message: str) -> None:
        [problem] = compile_workflow(definition(action)).warnings

        assert (problem.path, problem.message, problem.severity) == (f"actions[0].{path}", message, "warning")

    @pytest.mark.parametrize(
        "action",
        [
            {"retry_attempts": 5, "retry": {"attempts": 5}},
            {"retry": {"initial_seconds": 60}},
            {"heartbeat_timeout_seconds": 29, "timeout_seconds": 30},
        ],
    )
    def test_what_goes_together_is_no_contradiction(self, action: dict[str, Any]) -> None:
        assert compile_workflow(definition(action)).warnings == ()


class TestFixed:
    @pytest.mark.parametrize(
        ("action", "place", "told"),
        [
            ({"conditions": ["1 > 2"]}, "conditions[0]", "never true: the action is never run"),
            ({"conditions": ["n > 1", "true"]}, "conditions[1]", "always true: the action is always run"),
            ({"verify": "false within 5m"}, "verify", "never true: it always fails"),
            ({"verify": "1 < 2"}, "verify", "always true: nothing is verified"),
            ({"repeat": {"until": "false", "max": 3}}, "repeat.until", "never true: it runs 3 times"),
            ({"repeat": {"until": "not false", "max": 3}}, "repeat.until", "always true: it runs once"),
        ],
    )
    def test_what_depends_on_nothing_is_told(self, action: dict[str, Any], place: str, told: str) -> None:
        [warning] = compile_workflow(definition({"action_type": "test.record", **action})).warnings
        assert (warning.path, warning.message) == (f"actions[0].{place}", f"depends on nothing, and is {told}")

    def test_an_iteration_that_never_comes_is_told(self) -> None:
        action = {"action_type": "test.record", "repeat": {"until": "iteration >= 10", "max": 5}}
        [warning] = compile_workflow(definition(action)).warnings
        assert (warning.path, warning.message) == (
            "actions[0].repeat.until",
            "is true in none of its 5 iterations: only repeat.max ends it",
        )

    @pytest.mark.parametrize(
        "until",
        ["iteration >= 5", "iteration == 1", "iteration > 9 or ok", "iteration * n > 9", "avg(iteration, 5m) > 9"],
    )
    def test_one_that_comes_or_may_come_is_not(self, until: str) -> None:
        action = {"action_type": "test.record", "repeat": {"until": until, "max": 5}}
        assert compile_workflow(definition(action)).warnings == ()

    def test_of_a_workflow_too(self) -> None:
        plan = compile_workflow(definition({"action_type": "test.record"}, conditions=["false"]))
        assert [warning.message for warning in plan.warnings] == [
            "depends on nothing, and is never true: nothing starts it"
        ]

    @pytest.mark.parametrize("text", ["ok", "iteration >= 2", "avg(cpu, 5m) > 80", "event.data.x == 1"])
    def test_what_depends_on_something_is_not(self, text: str) -> None:
        action = {"action_type": "test.record", "conditions": [text], "verify": text}
        assert compile_workflow(definition(action)).warnings == ()


class Ours(Exception):
    """An error of an operation that is no part of this program."""


class TestRetried:
    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (["TryLater", "ActionTimeout", "ConnectionError", "Ours"], []),
            (["TryLatter"], ["no error is named 'TryLatter', as far as is known here; did you mean 'TryLater'?"]),
            (
                ["TimeOutError"],
                ["no error is named 'TimeOutError', as far as is known here; did you mean 'TimeoutError'?"],
            ),
            (["Zzz"], ["no error is named 'Zzz', as far as is known here"]),
        ],
    )
    def test_names_that_no_error_has(self, names: list[str], told: list[str]) -> None:
        action = {"action_type": "test.record", "retry": {"on": names}}
        found = list(retried(compile_workflow(definition(action))))
        assert [message for _, message in found] == told
        assert {path for path, _ in found} <= {"actions[0].retry.on[0]"}


class TestCollisions:
    def found(self, *actions: dict[str, Any]) -> list[Problem]:
        return list(compile_workflow(definition(*actions)).warnings)

    def test_two_that_set_the_same_name(self) -> None:
        [problem] = self.found(setting(target="a", only=1), {}, setting(target="b"))

        assert (problem.path, problem.severity) == ("actions[2]", "warning")
        assert "'target'" in problem.message
        assert "'a0'" in problem.message
        assert "${actions.a0.target}" in problem.message

    def test_what_an_operation_declares_counts(self) -> None:
        [problem] = self.found({"action_type": "doubt.node"}, setting(port=2))
        assert "'port'" in problem.message

    def test_an_operation_used_twice_only_where_somebody_reads_the_bare_name(self) -> None:
        twice = ({"action_type": "doubt.node"}, {"action_type": "doubt.told"})

        assert self.found(*twice, {"parameters": {"value": "${actions.a0.host}"}}) == []
        undo = {"action_type": "test.record", "parameters": {"value": "${host}"}}
        assert self.found(*twice, {"rollback": undo}) == [], "there it is what its own action has returned"
        [problem] = self.found(*twice, {"parameters": {"value": "${host}"}})
        assert "'host'" in problem.message

    def test_what_is_not_declared_is_not_guessed(self) -> None:
        assert self.found({}, {}, {"parameters": {"value": "${x}"}}) == []


async def test_warnings_reach_who_registers_in_python(
    engine: AutomationEngine, caplog: pytest.LogCaptureFixture
) -> None:
    doubtful = definition(setting(x=1), setting(x=2), {"timeout_seconds": 60}, timeout_seconds=30)

    with caplog.at_level(logging.WARNING):
        assert await engine.register_workflow(doubtful)

    assert [problem.path for problem in engine.catalogue.warnings(doubtful)] == ["actions[1]", "timeout_seconds"]
    logged = [record.getMessage() for record in caplog.records]
    assert any("workflow w: timeout_seconds: 30 s is less" in line and "3 x 60 s" in line for line in logged)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BAD = [
    (float("nan"), "not a finite number"),
    (float("-inf"), "not a finite number"),
    (b"raw", "bytes"),
    (2**63, "too large a number"),
    ("\ud83d", "surrogate"),
    (deep(101), "nested too deeply"),
    (deep(5000), "nested too deeply"),
    ({1: 2}, "keys are texts"),
    ({1, 2}, "set"),
    (object(), "object"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_a_definition_with_what_json_cannot_hold_is_refused_with_its_place(value: Any, message: str) -> None:
    places = {
        "actions[1].parameters.value.deep[1].er": {"parameters": {"value": {"deep": [0, {"er": value}]}}},
        "actions[1].rollback.parameters.value": {
            "rollback": {"action_type": "test.record", "parameters": {"value": value}}
        },
        "actions[1].for_each.items[0]": {"for_each": [value]},
    }
    for path, further in places.items():
        with pytest.raises(DefinitionError) as caught:
            compile_workflow(definition({"action_type": "test.nothing"}, further))
        found = {problem.path: problem.message for problem in caught.value.problems}
        assert any(place.startswith(path) and message in text for place, text in found.items()), found
        if message != "nested too deeply":
            assert "test.nothing" in found["actions[0].action_type"]


def test_a_default_and_a_limit_must_be_storable_too() -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(definition({"timeout_seconds": float("inf")}, inputs={"x": {"default": float("nan")}}))
    assert {problem.path for problem in caught.value.problems} == {"actions[0].timeout_seconds", "inputs.x.default"}


@pytest.mark.parametrize(("value", "message"), BAD)
async def test_a_start_with_what_json_cannot_hold_is_refused_and_nothing_is_stored(
    engine: AutomationEngine, value: Any, message: str
) -> None:
    await engine.register_workflow(definition({}))

    for context in (
        ExecutionContext(variables={"hosts": [{"weight": value}]}),
        ExecutionContext(event={"type": "x", "hosts": [{"weight": value}]}),
    ):
        with pytest.raises(InputError, match=message) as caught:
            await engine.start_workflow("w", context)
        assert "hosts[0].weight" in caught.value.message
    assert (await engine.queries.executions()).items == ()


def test_what_json_holds_is_let_through() -> None:
    assert list(unstorable({"a": [1, 2.5, None, True, "\N{PILE OF POO}", (1,)], "b": -(2**63), "c": deep(90)})) == []


def test_the_rollback_may_name_no_action_or_operation_that_there_is_not() -> None:
    undo = {"action_type": "test.recrod", "parameters": {}}
    other = {"action_type": "test.record", "parameters": {"value": "${actions.nobody.x}"}}
    with pytest.raises(DefinitionError, match=r"rollback\.action_type: there is no action 'test\.recrod'"):
        compile_workflow(definition({"rollback": undo}))
    with pytest.raises(DefinitionError, match=r"rollback\.parameters: actions\.nobody\.x: there is no action"):
        compile_workflow(definition({"rollback": other}))
    own = {"action_type": "test.record", "parameters": {"value": "${actions.a0.x}"}}
    assert compile_workflow(definition({"rollback": own}, inputs={}))


def test_a_workflow_that_only_starts_itself_is_refused() -> None:
    again = {"action_type": "flow.workflow", "parameters": {"workflow": "w"}}

    with pytest.raises(DefinitionError, match="cannot finish"):
        compile_workflow(definition(again))
    assert compile_workflow(definition({**again, "conditions": ["left > 0"]}))
