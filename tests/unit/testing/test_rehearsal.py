"""A workflow from its start to its end in virtual time, by a script."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from automation import AutomationLevel, Event, Refused, TryLater, WorkflowDefinition, WorkflowStatus
from automation.errors import DefinitionError, InputError
from automation.testing import CRASH, After, Answer, run_workflow

DAY = 86_400.0


def workflow(*actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": "w", "actions": list(actions), **further})


def record(name: str, **further: Any) -> dict[str, Any]:
    return {"name": name, "action_type": "test.record", **further}


def wait(name: str, seconds: str) -> dict[str, Any]:
    return {"name": name, "action_type": "flow.wait", "parameters": {"seconds": seconds}}


FAKED = {"test.*": {}}


async def test_a_wait_of_three_days_is_over_at_once() -> None:
    result = await run_workflow(workflow(record("a"), wait("pause", "3d"), record("b")), outcomes=FAKED)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.began_after("b") == 3 * DAY
    assert result.seconds == 3 * DAY
    assert [action.name for action in result.actions] == ["a", "pause", "b"]
    assert result.journal[0].kind == "started"
    assert result.journal[-1].at == result.ended_at == result.began_at + 3 * DAY


def test_it_runs_in_a_plain_function_too() -> None:
    result = asyncio.run(run_workflow(workflow(wait("pause", "1h")), outcomes=FAKED))

    assert result.seconds == 3600


async def test_hours_of_back_off_are_waited_for() -> None:
    retry = {"attempts": 4, "initial_seconds": 3600, "factor": 2, "max_seconds": 86_400, "jitter": False}
    outcomes = {"a": [TryLater("busy"), TryLater("busy", after=9000), TryLater("busy"), {"done": True}]}

    result = await run_workflow(workflow(record("a", retry=retry)), outcomes=outcomes)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [call.at - result.began_at for call in result.calls] == [0, 3600, 12_600, 27_000]


async def test_the_time_limit_of_a_workflow_is_virtual() -> None:
    result = await run_workflow(
        workflow(record("a"), record("b"), timeout_seconds=100), outcomes={"a": After(99, {}), "b": After(2, {})}
    )

    assert result.status is WorkflowStatus.TIMED_OUT
    assert result.seconds == 100


async def test_it_is_started_by_hand_with_variables() -> None:
    act = record("a", parameters={"value": "${who}"})

    result = await run_workflow(workflow(act, inputs={"who": {"required": True}}), variables={"who": 5}, outcomes=FAKED)

    assert result.calls[0].parameters == {"value": 5}
    with pytest.raises(InputError, match="who: is required"):
        await run_workflow(workflow(act, inputs={"who": {"required": True}}), outcomes=FAKED)


ON_EVENT = {"triggers": [{"type": "event", "event": "deployed", "condition": "event.data.stage == 'prod'"}]}


async def test_events_start_it_at_their_times() -> None:
    def deployed(stage: str) -> Event:
        return Event(type="deployed", data={"stage": stage})

    result = await run_workflow(
        workflow(record("a", parameters={"value": "${event.time}"}), **ON_EVENT),
        events={60: deployed("prod"), 10: deployed("test"), 90.5: deployed("prod")},
        outcomes=FAKED,
    )

    assert len(result.executions) == 2
    assert [call.at - result.began_at for call in result.calls] == [60, 90.5]
    assert result.calls[0].parameters == {"value": result.began_at + 60}
    assert result.execution_id == result.executions[0].id


async def test_what_did_not_start_has_a_reason() -> None:
    result = await run_workflow(
        workflow(record("a"), enabled=False, **ON_EVENT),
        events=Event(type="deployed", data={"stage": "prod"}),
        outcomes=FAKED,
    )

    assert (result.status, result.execution_id, result.executions, result.actions) == (None, None, (), ())
    assert [(decision.outcome, decision.reason) for decision in result.decisions] == [
        ("disabled", "the workflow is disabled")
    ]


async def test_variables_are_not_for_what_events_start() -> None:
    with pytest.raises(ValueError, match="variables are for a start by hand"):
        await run_workflow(workflow(record("a"), **ON_EVENT), events=[Event(type="deployed")], variables={"a": 1})


async def test_a_person_agrees_after_an_hour() -> None:
    result = await run_workflow(
        workflow(record("a"), record("b")),
        level=AutomationLevel.ASSISTED,
        approvals={"a": Answer(after=3600, actor="ann", reason="looks good"), "*": True},
        outcomes=FAKED,
    )

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.began_after("a") == 3600
    [approved, _] = [entry for entry in result.journal if entry.kind == "approved"]
    assert (approved.body["actor"], approved.body["reason"]) == ("ann", "looks good")


async def test_a_person_denies() -> None:
    result = await run_workflow(
        workflow(record("a")),
        level=AutomationLevel.ASSISTED,
        approvals={"a": Answer(False, reason="no")},
        outcomes=FAKED,
    )

    assert result.status is WorkflowStatus.FAILED
    assert result.calls == ()
    assert (result.error or {})["message"] == "denied: no"


async def test_without_an_answer_it_waits_and_the_test_ends() -> None:
    result = await run_workflow(workflow(record("a")), level=AutomationLevel.ASSISTED, outcomes=FAKED)

    assert result.status is WorkflowStatus.WAITING
    assert result.action("a").reason == "test.record needs approval at level assisted"
    with pytest.raises(ValueError, match="action 'a' did not begin: it was waiting"):
        result.began_after("a")


@pytest.mark.parametrize(("agreed", "status"), [(True, WorkflowStatus.SUCCEEDED), (False, WorkflowStatus.CANCELLED)])
async def test_a_proposal_is_answered(agreed: bool, status: WorkflowStatus) -> None:
    result = await run_workflow(
        workflow(record("a"), **ON_EVENT),
        level=AutomationLevel.MANUAL,
        events=Event(type="deployed", data={"stage": "prod"}),
        approvals={None: Answer(agreed, after=60)},
        outcomes=FAKED,
    )

    assert result.status is status
    assert result.seconds == 60


async def test_it_ends_after_the_given_time() -> None:
    result = await run_workflow(workflow(wait("pause", "3d")), until=DAY)

    assert result.status is WorkflowStatus.WAITING
    assert result.seconds == DAY


async def test_others_are_there_to_be_started() -> None:
    other = WorkflowDefinition.model_validate(
        {"name": "other", "actions": [record("b")], "triggers": [{"type": "event", "event": "noticed"}]}
    )

    result = await run_workflow(
        [workflow(wait("pause", "1h")), other], events={1800: Event(type="noticed")}, outcomes=FAKED
    )

    assert [(execution.workflow, execution.status.value) for execution in result.executions] == [
        ("w", "succeeded"),
        ("other", "succeeded"),
    ]
    assert result.calls[0].at - result.began_at == 1800


async def test_an_engine_that_dies_in_the_middle_of_an_action_is_followed_by_another() -> None:
    outcomes = {"once": [CRASH, {}], "again": [After(60, CRASH), {}]}
    definition = workflow(record("again", on_interrupt="retry"), record("once"), record("tidy", always=True))

    result = await run_workflow(definition, outcomes={**outcomes, "tidy": {}})

    assert result.status is WorkflowStatus.FAILED
    assert (result.error or {})["type"] == "Interrupted"
    assert [call.action for call in result.calls] == ["again", "again", "once", "tidy"]
    assert result.calls[0].idempotency_key == result.calls[1].idempotency_key
    assert result.seconds == 60


async def test_a_rollback_is_played_to_its_end() -> None:
    definition = workflow(
        record("a"), record("b"), rollback_strategy={"triggers": ["action_failure"], "max_rollback_time": 600}
    )

    result = await run_workflow(definition, outcomes={"a": {}, "b": Refused("broken"), "a.undo": After(100, None)})

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert result.seconds == 100


async def test_a_wrong_definition_is_refused_as_ever() -> None:
    with pytest.raises(DefinitionError, match=r"there is no action 'test\.recrod'"):
        await run_workflow(workflow({"name": "a", "action_type": "test.recrod"}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"definition": {"name": "w", "actions": []}}, "definition: .* is no WorkflowDefinition: give .*read_or_raise"),
        ({"definition": "w"}, "definition: 'w' is no WorkflowDefinition"),
        ({"definition": [workflow(record("a")), "w"]}, "definition: 'w' is no WorkflowDefinition"),
        ({"definition": []}, "definition: the list is empty"),
        ({"events": "stuck"}, "events: 'stuck' is no Event: give Event"),
        ({"events": [{"type": "stuck"}]}, "events: .* is no Event"),
        ({"events": {60: "stuck"}}, "events: 'stuck' is no Event"),
        ({"level": "maunal"}, "'maunal' is not a valid AutomationLevel"),
    ],
)
async def test_what_is_no_script_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        await run_workflow(**{"definition": workflow(record("a")), "outcomes": FAKED, **given})


async def test_a_level_may_be_given_as_text() -> None:
    """It was taken for none of the levels, and nobody was asked."""
    definition = workflow(record("a"), triggers=[{"type": "event", "event": "stuck"}])

    result = await run_workflow(definition, events=Event(type="stuck"), outcomes=FAKED, level="manual")  # type: ignore[arg-type]

    assert result.status is WorkflowStatus.PROPOSED


async def test_an_engine_that_dies_says_nothing_of_what_it_cannot_write(caplog: pytest.LogCaptureFixture) -> None:
    await run_workflow(workflow(record("a", on_interrupt="retry")), outcomes={"a": [CRASH, {}]})

    assert [entry.message for entry in caplog.records if entry.levelname == "ERROR"] == []
