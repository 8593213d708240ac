"""Stand-ins: what comes of an operation in a test, and what is kept of its call."""

from __future__ import annotations

from typing import Any

import pytest

from automation import (
    ActionContext,
    AutomationConfig,
    AutomationEngine,
    ExecutionContext,
    Refused,
    TryLater,
    WorkflowDefinition,
)
from automation.errors import NotFaked
from automation.testing import REAL, After, Recorder, Rehearsal, engine, run_workflow
from tests.support import handlers

RESTART = {"name": "restart", "action_type": "infrastructure.restart_service", "parameters": {"service_name": "a"}}
QUICK = {"attempts": 3, "initial_seconds": 60, "factor": 1, "jitter": False}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def workflow(*actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": "w", "actions": list(actions), **further})


def record(name: str, value: Any = None, **further: Any) -> dict[str, Any]:
    return {"name": name, "action_type": "test.record", "parameters": {"value": value}, **further}


async def run(outcomes: dict[str, Any], *actions: dict[str, Any], **further: Any) -> Rehearsal:
    return await run_workflow(workflow(*actions, **further), outcomes=outcomes)


async def test_a_value_is_returned_and_the_call_is_kept() -> None:
    result = await run({"infrastructure.restart_service": {"restarted": ["a-1"]}}, RESTART)

    assert result.outputs == {"restart": {"restarted": ["a-1"]}}
    [call] = result.calls
    assert (call.operation, call.action, call.attempt) == ("infrastructure.restart_service", "restart", 1)
    assert call.parameters == {"service_name": "a"}
    assert (call.workflow, call.execution_id) == ("w", result.execution_id)
    assert call.idempotency_key == f"{result.execution_id}:restart"
    assert (call.result, call.error, call.real) == ({"restarted": ["a-1"]}, None, False)


@pytest.mark.parametrize("outcome", [Refused("it will not"), Refused, ValueError("broken")])
async def test_an_exception_is_raised(outcome: Any) -> None:
    result = await run({"restart": outcome}, {**RESTART, "retry_attempts": 1})

    assert result.status is not None
    assert result.status.value == "failed"
    assert isinstance(result.calls[0].error, Refused | ValueError)
    assert result.error is not None
    assert result.error["type"] in ("Refused", "ValueError")


async def test_a_list_has_an_outcome_for_each_call_and_the_last_for_all_further_ones() -> None:
    outcomes = {"test.record": [TryLater("not yet"), {"n": 2}, {"n": 3}]}

    result = await run(outcomes, record("a", retry=QUICK), record("b", retry=QUICK), record("c", retry=QUICK))

    assert result.outputs == {"a": {"n": 2}, "b": {"n": 2}, "c": {"n": 2}}
    assert [(call.action, call.attempt) for call in result.calls] == [(n, i) for n in "abc" for i in (1, 2)]


async def test_a_function_is_called_as_a_handler_is() -> None:
    async def stand_in(params: handlers.Value, context: ActionContext) -> dict[str, Any]:
        return {"doubled": params.value * 2, "attempt": context.attempt}

    result = await run(
        {"a": stand_in, "b": lambda params, context: {"plain": params.value}}, record("a", 4), record("b")
    )

    assert result.outputs == {"a": {"doubled": 8, "attempt": 1}, "b": {"plain": None}}


async def test_an_outcome_after_a_while_comes_then_and_not_after_the_time_limit() -> None:
    result = await run(
        {"a": After(200, {"late": True}), "b": After(400, {})},
        record("a"),
        record("b", timeout_seconds=300, retry_attempts=1),
    )

    assert result.outputs == {"a": {"late": True}}
    assert result.error is not None
    assert result.error["type"] == "ActionTimeout"
    assert (result.began_after("b"), result.seconds) == (200, 500)


async def test_what_runs_at_the_same_time_takes_the_time_of_the_longest() -> None:
    branches = [record(name, depends_on=[]) for name in ("a", "b")]

    result = await run(
        {"a": After(100, {}), "b": After(250, {}), "c": {}}, *branches, record("c", depends_on=["a", "b"])
    )

    assert result.began_after("c") == 250


async def test_the_most_precise_name_counts() -> None:
    outcomes = {
        "test.*": {"by": "pattern"},
        "test.record": {"by": "operation"},
        "b": {"by": "action"},
        "*": {"by": "*"},
    }
    read = {"name": "c", "action_type": "test.read"}

    result = await run(outcomes, record("a"), record("b"), read, RESTART)

    assert {name: value["by"] for name, value in result.outputs.items()} == {
        "a": "operation",
        "b": "action",
        "c": "pattern",
        "restart": "*",
    }


async def test_each_item_has_outcomes_of_its_own() -> None:
    each = record("a", "${item}", for_each=[1, 2], retry=QUICK)

    result = await run({"a": [TryLater("x"), {"ok": 1}], "a[1]": {"ok": 2}}, each)

    assert result.outputs["a"]["results"] == [{"ok": 1}, {"ok": 2}]
    assert sorted((call.action, call.parameters["value"]) for call in result.calls) == [
        ("a[0]", 1),
        ("a[0]", 1),
        ("a[1]", 2),
    ]


async def test_what_has_no_outcome_is_refused_and_the_test_fails() -> None:
    with pytest.raises(NotFaked, match=r"would run infrastructure\.restart_service for real: give it an outcome"):
        await run({}, {**RESTART, "on_failure": "continue"})


async def test_flow_operations_run_as_they_are() -> None:
    result = await run({}, {"name": "a", "action_type": "flow.set", "parameters": {"values": {"x": "${1 + 1}"}}})

    assert result.outputs == {"a": {"x": 2}}
    assert result.calls == ()


async def test_the_real_operation_runs_where_the_test_lets_it() -> None:
    result = await run({"test.*": REAL, "b": {"stand": "in"}}, record("a", 1), record("b", 2))

    assert handlers.calls == [("a", 1)]
    assert [(call.action, call.real) for call in result.calls] == [("a", True), ("b", False)]


async def test_parameters_are_read_as_those_of_the_real_operation() -> None:
    wrong = {**RESTART, "parameters": {"service_name": "api", "graceful": "${1 + 1}"}, "retry_attempts": 1}

    result = await run({"restart": {}}, wrong)

    assert result.calls == ()
    assert "the parameters do not fit infrastructure.restart_service" in (result.error or {})["message"]


FAIL = {"name": "stop", "action_type": "flow.fail", "parameters": {"message": "wrong"}}
ROLLBACK = {"rollback_strategy": {"triggers": ["action_failure"]}}


async def test_the_undo_of_what_has_a_stand_in_does_nothing() -> None:
    result = await run({"test.record": {"n": 1}}, record("a", 7), FAIL, **ROLLBACK)

    assert result.status is not None
    assert result.status.value == "rolled_back"
    assert handlers.calls == []
    assert [call.action for call in result.calls] == ["a", "a.undo"]


async def test_an_undo_has_an_outcome_of_its_own() -> None:
    undone: list[Any] = []

    def undo(params: handlers.Value, result: Any, context: ActionContext) -> None:
        undone.append((params.value, result))

    outcomes = {"test.*": {"n": 1}, "a.undo": undo, "test.record.undo": Refused("stuck")}

    result = await run(outcomes, record("a", 7), record("b", 8), FAIL, **ROLLBACK)

    assert undone == [(7, {"n": 1})]
    assert result.error is not None
    assert result.error["rollback"]["not_undone"] == {"b": "stuck"}


async def test_the_undo_of_what_ran_for_real_runs_for_real() -> None:
    await run({"test.record": REAL}, record("a", 7), FAIL, **ROLLBACK)

    assert handlers.calls == [("a", 7), ("a.undo", {})]


SLACK = {
    "name": "tell",
    "action_type": "notification.notify_slack",
    "parameters": {"channel": "#ops", "message": "hello ${who}", "severity": "high"},
}


async def test_messages_are_kept_and_nothing_leaves() -> None:
    result = await run_workflow(workflow(SLACK), variables={"who": "you"})

    [sent] = result.notifications
    assert (sent.channel, sent.message.to, sent.message.text) == ("slack", "#ops", "hello you")
    assert sent.message.severity == "high"
    assert result.outputs == {"tell": {"channel": "#ops"}}


async def test_a_channel_fails_as_the_test_wants() -> None:
    later = After(5, TryLater("busy"))

    result = await run_workflow(
        workflow({**SLACK, "retry": QUICK}), variables={"who": "you"}, outcomes={"channel:slack": [later, None]}
    )

    assert result.status is not None
    assert result.status.value == "succeeded"
    assert [sent.at - result.began_at for sent in result.notifications] == [65]


async def test_two_engines_of_one_process_have_stand_ins_of_their_own() -> None:
    async with (
        engine(outcomes={"test.record": {"who": "one"}}) as one,
        engine(outcomes={"test.record": {"who": "other"}}) as other,
    ):
        for each in (one, other):
            await each.register_workflow(workflow(record("a")))
        first, second = await one.execute_workflow("w"), await other.execute_workflow("w")

    assert (first.outputs["a"], second.outputs["a"]) == ({"who": "one"}, {"who": "other"})
    assert len(one.recorder.calls) == len(other.recorder.calls) == 1


async def test_it_stands_in_in_any_engine(config: AutomationConfig) -> None:
    recorder = Recorder({"test.record": {"n": 1}}, allow_real=["test.read"])
    async with AutomationEngine(config, middleware=[recorder]) as real_time:
        recorder.attach(real_time)
        await real_time.register_workflow(
            workflow(record("a"), {"name": "b", "action_type": "test.read", "parameters": {"value": 2}}, SLACK)
        )
        result = await real_time.execute_workflow("w", ExecutionContext(variables={"who": "you"}))

    assert result.outputs["a"] == {"n": 1}
    assert result.outputs["b"] == {"read": 2}
    assert [sent.message.text for sent in recorder.sent] == ["hello you"]
    assert [call.action for call in recorder.of("test.*")] == ["a", "b"]
    assert [call.action for call in recorder.of("tell")] == ["tell"]
    recorder.check()


def test_no_outcome_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="empty list"):
        Recorder({"a": []})
