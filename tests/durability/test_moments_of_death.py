"""Deaths at chosen moments: in the middle of an action, between commit and acknowledgement, with an alert pending."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from automation.model.execution import ActionStatus, WorkflowStatus
from tests.support import side_effects
from tests.support.databases import Copies
from tests.support.durability import Driver, Record, audited, check, check_audit, events, records

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]


def _dying(operation: str, **further: Any) -> dict[str, Any]:
    actions = [
        {"name": "before", "action_type": "side.once"},
        {"name": "dies", "action_type": operation, "parameters": {"die": True}, **further},
        {"name": "after", "action_type": "side.once"},
        {"name": "tidy", "action_type": "side.again", "always": True},
    ]
    return {"name": "dying", "actions": actions}


def _die_and_go_on(engines: Driver, folder: Path, workflow: dict[str, Any]) -> Record:
    engines.start("run_one", folder, workflow=workflow).until_killed()
    engines.do("run_one", folder, workflow=workflow)
    (record,) = records(folder).values()
    check(record)
    return record


def _begun(record: Record, action: str) -> list[tuple[int, str]]:
    return [(line["attempt"], line["key"]) for line in record.effects[action] if line["what"] == "begin"]


def test_an_interrupted_action_that_must_not_be_repeated_fails_and_says_why(engines: Driver, folder: Path) -> None:
    record = _die_and_go_on(engines, folder, _dying("side.once"))

    state = record.state
    assert state.status.value == "failed"
    assert state.actions["dies"].error == {
        "type": "Interrupted",
        "message": "the engine died while it ran; it may have done a part of its work",
    }
    assert len(_begun(record, "dies")) == 1
    assert len(_begun(record, "before")) == 1
    assert state.actions["after"].status is ActionStatus.SKIPPED
    assert state.actions["tidy"].status is ActionStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("operation", "further"),
    [("side.again", {}), ("side.once", {"on_interrupt": "retry"})],
    ids=["idempotent", "wants it"],
)
def test_an_interrupted_action_that_may_be_repeated_is_with_the_same_key(
    engines: Driver, folder: Path, operation: str, further: dict[str, Any]
) -> None:
    record = _die_and_go_on(engines, folder, _dying(operation, **further))

    assert record.state.status.value == "succeeded"
    first, second = _begun(record, "dies")
    assert first == second
    assert [len(_begun(record, name)) for name in ("before", "after", "tidy")] == [1, 1, 1]


def test_an_interrupted_reading_is_read_again(engines: Driver, folder: Path) -> None:
    """On its own: a reading does not wait for what came before it to be on disk."""
    workflow = _dying("side.look")
    del workflow["actions"][0]

    record = _die_and_go_on(engines, folder, workflow)

    assert record.state.status.value == "succeeded"
    assert [len(_begun(record, name)) for name in ("dies", "after", "tidy")] == [2, 1, 1]


def test_an_idempotent_action_is_not_repeated_where_its_definition_says_so(engines: Driver, folder: Path) -> None:
    record = _die_and_go_on(engines, folder, _dying("side.again", on_interrupt="fail"))

    assert (record.state.actions["dies"].error or {})["type"] == "Interrupted"
    assert len(_begun(record, "dies")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_start_that_was_never_acknowledged_happens_once(engines: Driver, folder: Path, when: str) -> None:
    """Killed around the commit of a start: whoever asks again with the key gets one execution in either case."""
    died = engines.start("keyed", folder, key="deploy-42", die=(1, when))
    died.until_killed()
    assert died.all("accepted") == []
    assert len(records(folder)) == (1 if when == "after" else 0)

    (execution_id,) = engines.do("keyed", folder, key="deploy-42").all("accepted")
    engines.do("finish", folder)

    found = records(folder)
    assert set(found) == {execution_id}
    check(found[execution_id])
    assert {line["action"] for line in side_effects.read(folder / "effects")} == {"a", "b", "c", "d"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_event_that_was_never_acknowledged_takes_effect_once(engines: Driver, folder: Path, when: str) -> None:
    died = engines.start("publish", folder, first=1, count=1, die=(1, when))
    died.until_killed()
    assert died.all("event") == []

    again = engines.do("publish", folder, first=1, count=1)
    engines.do("finish", folder)

    assert again.all("duplicate") == [when == "after"]
    (record,) = records(folder).values()
    check(record)
    assert record.row["event_id"] == "e-1"
    assert record.state.actions["b"].outputs == {"number": 1}


def test_a_pending_alert_keeps_the_time_it_has_held(engines: Driver, folder: Path) -> None:
    begin = 1_800_000_000.0
    # Given a condition that must hold for five minutes, and has for two when the engine is killed.
    first = engines.start("alert", folder, now=begin, values=[90, 95, 91], step=60)
    first.hear("observed")
    assert first.all("state") == ["pending"] * 3
    first.kill()

    # When another engine observes it again a minute and a half later
    second = engines.start("alert", folder, now=begin + 210, values=[92, 93, 94], step=60)
    second.hear("observed")
    second.kill()

    # Then the time goes on from where it was: it fires after five minutes in all, and not after five more.
    assert second.all("state") == ["pending", "pending", "firing"]
    assert second.all("since")[:2] == [[begin], [begin]]
    assert second.all("starts_at") == [begin] * 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_alert_fires_once_if_the_engine_dies_as_it_does(engines: Driver, folder: Path, when: str) -> None:
    begin = 1_800_000_000.0
    first = engines.start("alert", folder, now=begin, values=[90, 91], step=60)
    first.hear("observed")
    first.kill()

    # The transaction that makes it fire is the first one of this engine, after the registration of its rule.
    second = engines.start("alert", folder, now=begin + 400, values=[92], step=1, die=(1, when))
    second.until_killed()
    third = engines.start("alert", folder, now=begin + 401, values=[93, 94], step=1)
    third.hear("observed")
    third.kill()

    assert third.all("state") == ["firing", "firing"]
    fired = [event for event in events(folder) if event["type"] == "alert.firing"]
    assert len(fired) == 1
    engines.do("finish", folder)
    (record,) = records(folder).values()
    check(record)
    assert record.row["event_id"] == fired[0]["id"]


def _rolling_back(limit: float = 600, **further: Any) -> dict[str, Any]:
    actions = [
        {"name": "a", "action_type": "side.undoable"},
        {"name": "b", "action_type": "side.undoable", "parameters": further},
        {"name": "c", "action_type": "side.undoable"},
        {"name": "broken", "action_type": "flow.fail", "parameters": {"message": "on purpose"}},
    ]
    strategy = {"triggers": ["action_failure"], "max_rollback_time": limit}
    return {"name": "rolling", "actions": actions, "rollback_strategy": strategy}


def test_a_rollback_that_was_interrupted_in_an_undo_is_finished(engines: Driver, folder: Path) -> None:
    record = _die_and_go_on(engines, folder, _rolling_back(die_undone=True))

    assert record.state.status is WorkflowStatus.ROLLED_BACK
    assert [len(_begun(record, f"{name}.undo")) for name in "cba"] == [1, 2, 1]
    assert [len(_begun(record, name)) for name in "abc"] == [1, 1, 1]
    keys = {key for _, key in _begun(record, "b.undo")}
    assert len(keys) == 1, "the other side cannot know the repetition"


def test_a_rollback_whose_time_ran_out_while_nobody_was_there_says_what_is_left(engines: Driver, folder: Path) -> None:
    workflow = _rolling_back(4.0, die_undone=True)
    engines.start("run_one", folder, workflow=workflow).until_killed()
    time.sleep(4.2)

    (_, status) = engines.do("run_one", folder, workflow=workflow).said[-3:-1]

    assert status["status"] == "failed"
    assert status["error"].endswith("on purpose; not undone after action_failure: b, a")
    (record,) = records(folder).values()
    check(record)
    assert record.state.rollback is not None
    assert record.state.rollback.undone == ["c"]
    assert record.state.rollback.failed["a"] == "max_rollback_time was over before its turn came"


def test_killed_at_any_write_a_rollback_is_finished(engines: Driver, copies: Copies) -> None:
    workflow = _rolling_back()
    writes = 0
    for when in ("before", "after"):
        for number in itertools.count(1, copies.step):
            place = copies.make(f"{when}-{number}")
            child = engines.start("run_one", place, workflow=workflow, die=(number, when))
            child.hear("ended")
            if child.ended == 0:
                break
            writes += 1
            engines.do("run_one", place, workflow=workflow)
            (record,) = records(place).values()
            check(record)
            check_audit(record, audited(place)[record.row["id"]])
            assert record.state.status is WorkflowStatus.ROLLED_BACK
    assert writes * copies.step >= 16, "it was not killed within the rollback"


def test_what_waits_for_a_person_still_does_after_a_death(engines: Driver, folder: Path) -> None:
    waiting = engines.start("ask", folder, agree=False)
    waiting.hear("status")
    waiting.kill()

    again = engines.do("ask", folder)

    assert waiting.all("status") == again.all("status") == ["waiting"]
    (record,) = records(folder).values()
    check(record)
    assert record.state.status is WorkflowStatus.SUCCEEDED
    assert [len(_begun(record, name)) for name in "abc"] == [1, 1, 1]


def test_killed_between_an_answer_and_its_effect_the_answer_counts(engines: Driver, copies: Copies) -> None:
    """At each write from the answer on: acknowledged or not, it is in the journal once, and has its effect once."""
    agreed: list[int] = []
    for when in ("before", "after"):
        for number in itertools.count(1, copies.step):
            place = copies.make(f"{when}-{number}")
            child = engines.start("ask", place, die=(number, when))
            child.hear("ended")
            if child.ended == 0:
                break
            agreed.append(len(child.all("agreed")))
            engines.do("finish", place)
            (record,) = records(place).values()
            check(record)
            check_audit(record, audited(place)[record.row["id"]])
            # Killed in the middle of the action, a person is asked anew what becomes of it.
            of_b = [entry for entry in record.entries if entry.action == "b"]
            asked = [entry.body["approval"] for entry in of_b if "approval" in entry.body and entry.kind != "approved"]
            answers = [entry.body for entry in of_b if entry.kind == "approved"]
            assert answers == [{"actor": "ann", "reason": "why not", "approval": each} for each in asked]
            assert len(_begun(record, "b")) <= len(answers) <= 2
    assert {0, 1} == set(agreed), "it was killed before the answer was taken, or after, but not both"
