"""Engines killed while people steer: as they answer, while a question waits, in a pause, before a seat."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automation.model.execution import WorkflowStatus
from tests.support.databases import Copies
from tests.support.durability import Child, Driver, Record, audited, check, events, records, rows

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]

WHEN = pytest.mark.parametrize("when", ["before", "after"])


def asking(**policy: Any) -> dict[str, Any]:
    actions = [
        {"name": "a", "action_type": "side.again"},
        # Else people would be asked again what becomes of it where the engine dies while it runs.
        {"name": "b", "action_type": "side.critical", "approval": policy, "on_interrupt": "fail"},
        {"name": "c", "action_type": "side.again"},
    ]
    return {"name": "asking", "actions": actions}


def pausing() -> dict[str, Any]:
    first = {"name": "a", "action_type": "side.again", "parameters": {"seconds": 0.2}}
    return {"name": "pausing", "actions": [first, *({"name": n, "action_type": "side.again"} for n in "bc")]}


def queueing(limit: int = 1) -> dict[str, Any]:
    hold = {"name": "hold", "action_type": "side.again", "parameters": {"seconds": 0.03}}
    return {"name": "queueing", "actions": [hold], "concurrency": {"key": "k", "limit": limit}}


def deaths(
    engines: Driver, copies: Copies, when: str, task: str, step: int = 0, **arguments: Any
) -> Iterator[tuple[Path, Child]]:
    """The task in a folder of its own for each of its transactions, and killed there; until it lives to its end."""
    for number in itertools.count(1, step or copies.step):
        place = copies.make(f"{when}-{number}")
        child = engines.start(task, place, die=(number, when), **arguments)
        child.hear("ended")
        assert child.all("crashed") == []
        if child.ended == 0:
            assert number > 1, "it was never killed"
            return
        yield place, child


def the_one(folder: Path) -> Record:
    (record,) = records(folder).values()
    check(record)
    return record


def begun(record: Record, action: str) -> int:
    return sum(line["what"] == "begin" for line in record.effects[action])


def approval(folder: Path) -> dict[str, Any]:
    (row,) = rows(folder, "SELECT * FROM approvals")
    return {**row, "answers": json.loads(row["answers"])}


def told(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The data of the events of a kind."""
    return [json.loads(event["data"]) for event in events(folder) if event["type"] == kind]


@WHEN
def test_an_answer_is_taken_once_whenever_the_engine_dies_on_it(engines: Driver, copies: Copies, when: str) -> None:
    """Two have to approve. Whoever got no word answers again, and who has answered is not counted twice."""
    workflow = asking(quorum=2)
    words: set[int] = set()
    for place, died in deaths(engines, copies, when, "people", workflow=workflow, names=["ann", "bob"]):
        words.add(len(died.all("answered")))
        stored = [answer["actor"] for answer in approval(place)["answers"]]
        assert stored[: len(died.all("answered"))] == died.all("answered"), "an answer that was taken is lost"

        engines.do("people", place, workflow=workflow, names=["ann", "bob"])

        record = the_one(place)
        assert begun(record, "b") <= 1
        (entry,) = [entry for entry in record.entries if entry.kind == "approved"]
        assert [answer["actor"] for answer in entry.body["answers"]] == ["ann", "bob"]
        assert [each["actor"] for each in approval(place)["answers"]] == ["ann", "bob"]
        assert approval(place)["settled_at"] is not None
        assert [(data["answer"]["actor"], data["agreed"]) for data in told(place, "approval_answered")] == [
            ("ann", 1),
            ("bob", 2),
        ]
        assert len(told(place, "approval_requested")) == 1
        facts = audited(place)[record.row["id"]]
        assert [fact["actor"] for fact in facts if fact["act"] == "approve"] == ["ann", "bob"]
    assert words == {0, 1, 2}


def test_what_waits_for_people_is_asked_once_however_often_its_engine_dies(engines: Driver, folder: Path) -> None:
    workflow = asking(quorum=1, expires="1h")
    asked = []
    for _ in range(4):
        child = engines.start("nobody", folder, workflow=workflow, until="asked")
        child.hear("reached")
        asked.append(approval(folder))
        child.kill()

    engines.do("people", folder, workflow=workflow, names=["ann"])

    assert asked == [asked[0]] * 4, "the question, or the time it has, has changed"
    record = the_one(folder)
    assert [begun(record, name) for name in "abc"] == [1, 1, 1]
    assert len(told(folder, "approval_requested")) == 1


@WHEN
def test_it_escalates_once_whenever_the_engine_dies_on_it(engines: Driver, copies: Copies, when: str) -> None:
    workflow = asking(quorum=1, escalate_after=0.2)
    # How many transactions come before it depends on how many entries share one.
    for at in ("escalate", *range(1, 8)):
        place = copies.make(str(at))
        child = engines.start("nobody", place, workflow=workflow, until="escalated", die=(at, when))
        if survived(child):
            assert at != "escalate", "it was not killed on the escalation"
            break
        again = engines.start("nobody", place, workflow=workflow, until="escalated")
        again.hear("reached")
        again.kill()

        engines.do("people", place, workflow=workflow, names=["ann"])

        record = the_one(place)
        assert record.state.status is WorkflowStatus.SUCCEEDED
        assert len(told(place, "approval_escalated")) == 1
        facts = audited(place)[record.row["id"]]
        assert [fact["act"] for fact in facts].count("escalate") == 1
        assert approval(place)["escalated_at"] >= approval(place)["asked_at"] + 0.2


def survived(child: Child) -> bool:
    """Whether it reached what it was to wait for; it is killed then, too."""
    while child.ended is None and not child.all("reached"):
        child.hear_any()
    if child.ended is not None:
        assert child.all("crashed") == []
        return False
    child.kill()
    return True


def test_what_expires_while_nobody_is_there_has_expired_once(engines: Driver, folder: Path) -> None:
    workflow = asking(quorum=1, expires=0.4, on_expiry="fail")
    child = engines.start("nobody", folder, workflow=workflow, until="asked")
    child.hear("reached")
    child.kill()
    time.sleep(max(0.0, approval(folder)["asked_at"] + 0.45 - time.time()))

    late = engines.do("people", folder, workflow=workflow, names=["ann"])
    engines.do("people", folder, workflow=workflow, names=["ann"])

    assert late.all("answered") == []
    record = the_one(folder)
    assert (record.state.error or {})["type"] == "ApprovalExpired"
    assert [begun(record, name) for name in "abc"] == [1, 0, 0]
    assert len(told(folder, "approval_expired")) == 1
    assert approval(folder)["status"] == "expired"


@WHEN
def test_what_was_to_pause_begins_nothing_until_it_is_resumed(engines: Driver, copies: Copies, when: str) -> None:
    """Killed as it pauses. If that was acknowledged, it holds; if not, it holds or it was never asked."""
    words, found = set(), set()
    for place, died in deaths(engines, copies, when, "pause", workflow=pausing()):
        words.add(bool(died.all("asked")))
        again = engines.do("resume", place, workflow=pausing())

        record = the_one(place)
        assert record.state.status is WorkflowStatus.SUCCEEDED
        kinds = [entry.kind for entry in record.entries]
        (status,) = again.all("found")
        found.add(status)
        if died.all("asked"):
            assert status == "paused", "the pause that was acknowledged is forgotten"
        assert kinds.count("paused") == kinds.count("resumed") == (status == "paused")
        if status == "paused":
            (at,) = again.all("resuming_at")
            assert all(line["at"] >= at for name in "bc" for line in record.effects[name])
        assert [begun(record, name) for name in "bc"] == [1, 1]
    assert words == {False, True}
    assert "paused" in found


@WHEN
def test_what_was_to_resume_does_so_once(engines: Driver, copies: Copies, when: str) -> None:
    engines.do("pause", copies.folder, workflow=pausing())
    for number in itertools.count(1):
        place = copies.make(str(number))
        died = engines.start("resume", place, workflow=pausing(), die=(number, when))
        died.hear("ended")
        if died.ended == 0:
            break
        again = engines.do("resume", place, workflow=pausing())

        record = the_one(place)
        assert record.state.status is WorkflowStatus.SUCCEEDED
        kinds = [entry.kind for entry in record.entries]
        assert (kinds.count("paused"), kinds.count("resumed")) == (1, 1)
        if died.all("resumed"):
            assert again.all("found") != ["paused"], "that it goes on was acknowledged, and is forgotten"
        assert begun(record, "a") == 1
        assert [begun(record, name) <= 2 for name in "bc"] == [True, True]
    assert number >= 4, "it was not killed after it went on"


@WHEN
@pytest.mark.parametrize("limit", [1, 2])
def test_those_who_wait_for_a_seat_are_let_in_once_and_in_their_order(
    engines: Driver, copies: Copies, when: str, limit: int
) -> None:
    workflow, count = queueing(limit), limit + 2
    waited = 0
    for place, died in deaths(engines, copies, when, "queue", step=3, workflow=workflow, count=count):
        left = rows(place, "SELECT id FROM executions WHERE finished_at IS NULL AND status = 'pending'")
        waited += len(left) > 0
        again = engines.do("queue", place, workflow=workflow, count=count)

        found = records(place)
        order = again.all("accepted")
        assert died.all("accepted") == order[: len(died.all("accepted"))], "an accepted start is lost"
        assert sorted(found) == sorted(order)
        for record in found.values():
            check(record)
            assert record.state.status is WorkflowStatus.SUCCEEDED
            assert [entry.kind for entry in record.entries].count("admitted") == record.entries[0].body["queued"]
        admitted = {id: _entered(found[id]) for id in order}
        assert sorted(order, key=lambda id: admitted[id]) == order, "somebody was let in before their turn"
        _never_too_many([found[id] for id in order], limit)
        assert rows(place, "SELECT * FROM seats") == []
    assert waited >= 2, "hardly anybody was waiting when it was killed"


def _entered(record: Record) -> float:
    """When it came to its seat: with its start, if nobody else was there."""
    start = record.entries[0]
    return next(entry.at for entry in record.entries if entry.kind == "admitted" or not start.body["queued"])


def _never_too_many(found: list[Record], limit: int) -> None:
    """As the journals and the world tell it, no more than the limit were under way at any time."""
    spans = []
    for record in found:
        begin = _entered(record)
        lines = [line["at"] for line in record.effects["hold"]]
        assert min(lines) >= begin
        spans.append((min(lines), max(lines)))
    for begin, _ in spans:
        assert sum(first <= begin <= last for first, last in spans) <= limit
