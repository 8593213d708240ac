"""Deaths while an execution is in one of the shapes that its graph can give it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.durability import Child, Driver, Record, check, records

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]


def act(name: str, operation: str = "side.once", **further: Any) -> dict[str, Any]:
    return {"name": name, "action_type": operation, **further}


def begun(record: Record, action: str) -> list[str]:
    """The idempotency keys with which an action really began."""
    return [line["key"] for line in record.effects[action] if line["what"] == "begin"]


def kinds(record: Record, action: str) -> list[str]:
    return [entry.kind for entry in record.entries if entry.action == action]


def the_one(folder: Path) -> Record:
    (record,) = records(folder).values()
    return record


def kill_when(child: Child, folder: Path, holds: Callable[[Record], bool]) -> None:
    """Kill the engine as soon as something is on disk."""
    child.hear("accepted")
    deadline = time.monotonic() + 20
    while not (found := records(folder)) or not holds(next(iter(found.values()))):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    child.kill()


def test_a_verification_goes_on_and_the_work_is_not_done_again(engines: Driver, folder: Path) -> None:
    workflow = {"name": "w", "actions": [act("a", verify="nothing > 1 within 2500ms", retry={"attempts": 1})]}
    child = engines.start("run_one", folder, workflow=workflow)
    kill_when(child, folder, lambda record: "action_verifying" in kinds(record, "a"))

    engines.do("run_one", folder, workflow=workflow)

    record = the_one(folder)
    check(record)
    assert len(begun(record, "a")) == 1
    assert (record.state.error or {})["type"] == "VerificationFailed"
    [verifying] = [entry for entry in record.entries if entry.kind == "action_verifying"]
    assert 2.4 < record.entries[-1].at - verifying.at < 6


def test_a_delay_is_not_begun_anew(engines: Driver, folder: Path) -> None:
    workflow = {"name": "w", "actions": [act("a", delay="2500ms")]}
    child = engines.start("run_one", folder, workflow=workflow)
    kill_when(child, folder, lambda record: "action_delayed" in kinds(record, "a"))

    engines.do("run_one", folder, workflow=workflow)

    record = the_one(folder)
    check(record)
    assert len(begun(record, "a")) == 1
    [delayed] = [entry for entry in record.entries if entry.kind == "action_delayed"]
    assert 2.4 < record.entries[-1].at - delayed.at < 6


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_event_wakes_the_execution_after_a_death_just_when_it_is_on_disk(
    engines: Driver, folder: Path, when: str
) -> None:
    """The engine that waits is killed, and so is the one that takes the event in, around its commit."""
    wait_for = {"event": "thing", "condition": "event.data.number == 1", "timeout": "4s", "on_timeout": "continue"}
    workflow = {"name": "w", "actions": [{"name": "wait", "wait_for": wait_for}, act("a")]}
    child = engines.start("run_one", folder, workflow=workflow)
    kill_when(child, folder, lambda record: "action_awaits" in kinds(record, "wait"))
    engines.start("publish", folder, first=1, count=1, die=(1, when)).until_killed()

    engines.do("run_one", folder, workflow=workflow)

    (record,) = [record for record in records(folder).values() if record.row["workflow"] == "w"]
    check(record)
    assert record.state.actions["wait"].outputs == ({"number": 1} if when == "after" else {"timed_out": True})
    assert len(begun(record, "a")) == 1


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_an_action_starts_one_workflow_however_often_its_engine_dies(
    engines: Driver, folder: Path, number: int
) -> None:
    """Killed right after each of the first transactions: whatever is on disk then, there is one child in the end."""
    child = {"name": "child", "actions": [act("a"), act("b")]}
    parent = {"name": "parent", "actions": [act("sub", "flow.workflow", parameters={"workflow": "child"}), act("c")]}
    engines.start("run_family", folder, workflows=[child, parent], die=(number, "after")).until_killed()

    engines.do("run_family", folder, workflows=[child, parent])

    found = {record.row["workflow"]: record for record in records(folder).values()}
    assert len(found) == len(records(folder)) == 2
    for record in found.values():
        check(record)
    assert found["parent"].state.status.value == "succeeded"
    assert found["child"].row["parent"] == found["parent"].row["id"]
    assert len(begun(found["child"], "a")) <= 2
    assert len(begun(found["parent"], "c")) == 1


def test_a_loop_goes_on_with_the_iteration_in_which_it_died(engines: Driver, folder: Path) -> None:
    loop = act("a", "side.again", parameters={"seconds": 0.3}, repeat={"until": "iteration == 3", "max": 5})
    workflow = {"name": "w", "actions": [loop, act("b")]}
    child = engines.start("run_one", folder, workflow=workflow)
    kill_when(child, folder, lambda record: "action_repeated" in kinds(record, "a"))

    engines.do("run_one", folder, workflow=workflow)

    record = the_one(folder)
    assert record.state.status.value == "succeeded"
    keys = [key.partition(":")[2] for key in begun(record, "a")]
    assert keys == sorted(keys), "an iteration began again after the next one"
    assert sorted(set(keys)) == ["a", "a#2", "a#3"]
    assert keys.count("a") == 1, "its end was on disk"
    assert len(keys) <= 4, "more was run again than the iteration in which it died"
    assert kinds(record, "a").count("action_repeated") == 2
    assert len(begun(record, "b")) == 1


def test_an_attempt_goes_on_from_the_last_heartbeat(engines: Driver, folder: Path) -> None:
    """Given a long action that counts with heartbeats, when its engine is killed, then the next one counts on."""
    counts = {"count_to": 40, "seconds": 0.05}
    workflow = {"name": "w", "actions": [act("a", "side.count", parameters=counts, heartbeat_timeout_seconds=2)]}
    child = engines.start("run_one", folder, workflow=workflow)
    kill_when(child, folder, lambda record: kinds(record, "a").count("action_heartbeat") >= 2)

    engines.do("run_one", folder, workflow=workflow)

    record = the_one(folder)
    check(record)
    assert record.state.status.value == "succeeded"
    assert 1 < record.state.actions["a"].outputs["begun"] < 40
    assert len(set(begun(record, "a"))) == 1


@pytest.mark.parametrize("agree", [True, False])
@pytest.mark.parametrize("further", [{}, {"for_each": [1]}], ids=["action", "item"])
def test_a_person_decides_what_becomes_of_an_interrupted_action(
    engines: Driver, folder: Path, further: dict[str, Any], agree: bool
) -> None:
    # Not a critical one: it would be asked about before it runs as well.
    dies = act("dies", on_interrupt="ask", parameters={"die": True}, **further)
    workflow = {"name": "w", "actions": [dies, act("after")]}
    key = "dies[0]" if further else "dies"
    # Asked before it runs, and again when it was interrupted.
    engines.start("decide_one", folder, workflow=workflow, action="dies", agree=True).until_killed()

    engines.do("decide_one", folder, workflow=workflow, action=key, agree=agree)

    record = the_one(folder)
    assert record.state.status.value == ("succeeded" if agree else "failed")
    assert len(begun(record, key)) == (2 if agree else 1)
    assert len(set(begun(record, key))) == 1
    assert len(begun(record, "after")) == (1 if agree else 0)
    if not agree:
        error = record.state.action(key).error or {}
        assert error["type"] == "Interrupted"
        assert "looked at it" in error["message"]
