"""What durability tests see from the outside: a driver to kill, the database file, the file of side effects."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from automation.model.execution import ActionStatus, JournalEntry, WorkflowStatus
from automation.store.audit import verify
from automation.store.packing import Told, joined, unpacked
from automation.workflows.action_state import ActionState
from automation.workflows.state import State, fold
from tests.support import databases, side_effects
from tests.support.side_effects import REPEATABLE


@dataclass(slots=True)
class Tally:
    """What was checked in this run of the tests."""

    kills: int = 0
    executions: int = 0
    actions: int = 0
    """Actions that began."""
    interrupted: int = 0
    """Actions that were begun and not ended when their engine died: run again, or failed for that."""
    undone: int = 0
    answers: int = 0
    events: int = 0
    audit_rows: int = 0

    def take(self, record: Record) -> None:
        """Count an execution that has passed all checks."""
        self.executions += 1
        begun = [lines for name, lines in record.effects.items() if lines and not name.endswith(".undo")]
        self.actions += len(begun)
        self.interrupted += sum(len({line["pid"] for line in lines}) > 1 for lines in begun)
        self.interrupted += sum((state.error or {}).get("type") == "Interrupted" for state in _actions(record))
        self.undone += len(record.state.rollback.undone) if record.state.rollback else 0
        self.answers += sum(entry.kind == "approved" for entry in record.entries)

    def __str__(self) -> str:
        return (
            f"{self.kills:,} kills; {self.executions:,} executions held what was promised: {self.actions:,} actions "
            f"begun, {self.interrupted:,} interrupted, {self.undone:,} undone, {self.answers:,} answers; "
            f"{self.events:,} events; {self.audit_rows:,} audit rows verified"
        )


TALLY = Tally()


class Child:
    """One task of the driver, in a process of its own."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self.said: list[dict[str, Any]] = []
        self.ended: int | None = None
        self.pid = int(self.hear("pid")["pid"])

    def hear(self, key: str) -> dict[str, Any]:
        """The next line with this key; all lines before it are in `said`. Fails if the task ends without one."""
        while self.ended is None:
            line = self.hear_any()
            if key in line:
                return line
        raise AssertionError(f"the task ended without {key!r}: {self.said[-3:]}")

    def hear_any(self) -> dict[str, Any]:
        """The next line, whatever it tells."""
        line: dict[str, Any] = json.loads(self._lines.readline())
        self.said.append(line)
        if "ended" in line:
            self.ended = line["ended"]
            TALLY.kills += self.ended == -signal.SIGKILL
        return line

    def all(self, key: str) -> list[Any]:
        """What was said under this key so far."""
        return [line[key] for line in self.said if key in line]

    def kill(self) -> None:
        """`kill -9`, unless it has just ended by itself, and hear what it had said before."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.hear("ended")

    def until_killed(self) -> None:
        """Wait until it was killed by itself."""
        self.hear("ended")
        assert self.ended == -signal.SIGKILL, self.said[-3:]

    def done(self) -> None:
        """Wait until it has done its task."""
        self.hear("ended")
        assert self.ended == 0, self.said[-3:]


class Driver:
    """Starts tasks of `durability_driver`, one at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last: Child | None = None

    def start(self, task: str, folder: Path, **arguments: Any) -> Child:
        """Begin a task on the database in the folder; it runs until it is done or killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._last is not None and self._last.ended is None:
            # What a failed test has left must not be taken for what this one says.
            self._last.kill()
        self._process.stdin.write(json.dumps({"task": task, "folder": str(folder), **arguments}) + "\n")
        self._process.stdin.flush()
        self._last = Child(self._process.stdout)
        return self._last

    def do(self, task: str, folder: Path, **arguments: Any) -> Child:
        """Begin a task and wait until it is done."""
        child = self.start(task, folder, **arguments)
        child.done()
        return child


@contextmanager
def driver() -> Iterator[Driver]:
    """A driver; gone on the way out, with what it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.durability_driver"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Driver(process)
    finally:
        # Its own process group: the driver, and a task that a failed test has left behind.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@dataclass(slots=True)
class Record:
    """One execution as the database file tells it, and what its actions did to the world."""

    row: dict[str, Any]
    state: State
    entries: list[JournalEntry]
    definition: dict[str, Any]
    effects: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    """What the folder's database answers."""
    return databases.database_of(folder).rows(query)


def events(folder: Path) -> list[dict[str, Any]]:
    """All events, in the order in which they were taken in."""
    found = rows(folder, "SELECT * FROM events ORDER BY seq")
    TALLY.events += len(found)
    return found


def records(folder: Path) -> dict[str, Record]:
    """All executions, by id."""
    found: dict[str, Record] = {}
    # Executions first: what begins while this reads is then in the journal alone, and left out.
    executions = rows(folder, "SELECT * FROM executions")
    bodies = {row["id"]: json.loads(row["body"]) for row in rows(folder, "SELECT id, body FROM definitions")}
    journal = _journals(folder)
    for row in executions:
        definition, entries = bodies[row["definition_id"]], journal.pop(row["id"])
        names = [action["name"] for action in definition["actions"]]
        found[row["id"]] = Record(row, fold(names, entries), entries, definition)
    assert not journal, "there are journals without an execution"
    for line in side_effects.read(folder / "effects"):
        found[line["execution"]].effects[line["action"]].append(line)
    return found


def _journals(folder: Path) -> dict[str, list[JournalEntry]]:
    """All journals, wherever their entries stand."""
    loose: dict[str, list[Told]] = defaultdict(list)
    for row in rows(folder, "SELECT execution_id, seq, at, kind, action, body FROM journal ORDER BY execution_id, seq"):
        loose[row.pop("execution_id")].append(Told(**row))
    for row in rows(folder, "SELECT execution_id, body FROM packed_journals"):
        execution_id, body = row["execution_id"], row["body"]
        if isinstance(body, str):
            # PostgreSQL's way to write bytes in JSON.
            body = bytes.fromhex(body.removeprefix("\\x"))
        loose[execution_id] = joined(unpacked(body), loose[execution_id])
    return {
        execution_id: [
            JournalEntry(execution_id=execution_id, **{**told._asdict(), "body": json.loads(told.body)})
            for told in entries
        ]
        for execution_id, entries in loose.items()
    }


def check(record: Record) -> None:
    """Whether one execution kept all promises."""
    row, state, entries = record.row, record.state, record.entries
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "the journal has gaps"
    assert [entry.kind for entry in entries].count("started") == 1
    assert [entry.kind for entry in entries].count("finished") == 1
    assert entries[-1].kind == "finished", "something happened after the end"
    assert row["status"] == state.status.value
    assert state.status.finished
    assert row["finished_at"] == state.finished_at
    assert row["started_at"] == state.started_at
    assert (json.loads(row["error"]) if row["error"] else None) == state.error
    assert row["node"] is None
    assert row["wake_at"] is None
    for action in record.definition["actions"]:
        _check_action(record, action)
        _check_approval(record, action)
    _check_rollback(record)
    TALLY.take(record)


def _actions(record: Record) -> list[ActionState]:
    return [state for name, state in record.state.actions.items() if name in record.state.names]


def completed(record: Record) -> list[str]:
    """The actions that succeeded, in the order in which they did; items in the place of those that have some."""
    return [
        entry.action
        for entry in record.entries
        if entry.kind == "action_completed" and entry.action and record.state.actions[entry.action].items is None
    ]


def _check_approval(record: Record, action: dict[str, Any]) -> None:
    """What a person must be asked for ran only after somebody had agreed, and nobody was asked twice the same."""
    name = action["name"]
    entries = [entry for entry in record.entries if entry.action == name]
    agreed = [entry for entry in entries if entry.kind == "approved"]
    asked: dict[str, bool] = {}
    for entry in entries:
        if entry.kind == "action_waiting" and "approval" in entry.body:
            # The first entry says why it is asked; later ones only when it is looked at next.
            asked.setdefault(entry.body["approval"], bool(entry.body.get("interrupted")))
    assert len(agreed) <= len(asked), "an answer is in the journal twice"
    assert sum(not interrupted for interrupted in asked.values()) <= 1, "a person was asked twice before it ran"
    began = [line for line in record.effects[name] if line["what"] == "begin"]
    if began and action["action_type"] == "side.critical":
        assert agreed, "it ran without anybody having agreed"
        # An answer is for all attempts; for the one in the middle of which the engine died, a person is asked anew.
        seen: set[int] = set()
        answers = 1
        for line in sorted(began, key=lambda line: float(line["at"])):
            answers += line["attempt"] in seen
            seen.add(line["attempt"])
            assert answers <= len(agreed), "it ran again, and nobody had agreed to that"
            assert line["at"] >= agreed[answers - 1].at, "it ran before the answer was on disk"


def _check_rollback(record: Record) -> None:
    """What was done is undone, the last first, each to its end; and nothing else."""
    rollback = record.state.rollback
    undone = {name.removesuffix(".undo") for name, lines in record.effects.items() if lines and name.endswith(".undo")}
    if rollback is None:
        assert not undone, "something was undone, and no rollback had begun"
        return
    operations = {action["name"]: action["action_type"] for action in record.definition["actions"]}
    done = [key for key in completed(record) if operations[key.partition("[")[0]] == "side.undoable"]
    assert rollback.order == done[::-1]
    assert undone <= set(rollback.order)
    assert sorted([*rollback.undone, *rollback.failed]) == sorted(rollback.order), "an undo has no end, or two"
    assert (record.state.status is WorkflowStatus.ROLLED_BACK) is (not rollback.failed)
    begins: list[float] = []
    for name in rollback.order:
        lines = record.effects[f"{name}.undo"]
        (ended,) = [
            entry
            for entry in record.entries
            if entry.action == name and entry.kind in ("undo_completed", "undo_failed")
        ]
        assert all(line["at"] <= ended.at for line in lines), "it was undone again after that was on disk"
        if name in rollback.undone:
            assert any(line["what"] == "end" for line in lines), "it is said to be undone, and is not"
        begins += [min(line["at"] for line in lines)] if lines else []
    assert begins == sorted(begins), "the undos ran in another order"


def _check_action(record: Record, action: dict[str, Any]) -> None:
    """What an action did; with `for_each`, what each of its items did."""
    name = action["name"]
    _check_calls(record, action, name)
    items = [key for key in record.state.actions if key.startswith(f"{name}[")]
    ended_at = record.state.actions[name].finished_at
    for key in items:
        if record.state.actions[key].status.finished:
            _check_calls(record, action, key)
        assert all(line["at"] <= (ended_at or 0.0) for line in record.effects[key]), "an item ran after its action"
    ran = {key for key, lines in record.effects.items() if lines and key.startswith(f"{name}[")}
    assert {key.removesuffix(".undo") for key in ran} <= set(items)


def _check_calls(record: Record, action: dict[str, Any], name: str) -> None:
    operation = action["action_type"]
    state, effects = record.state.actions[name], record.effects[name]
    entries = [entry for entry in record.entries if entry.action == name]
    began = [line for line in effects if line["what"] == "begin"]
    assert state.status.finished
    assert len({line["key"] for line in effects}) <= 1, "the idempotency key changed"
    started = [entry for entry in entries if entry.kind == "action_started"]
    for line in began:
        if operation != "side.look":
            before = [entry for entry in started if entry.at <= line["at"]]
            assert line["attempt"] in {entry.body["attempt"] for entry in before}, "it ran before its start was on disk"
    ended = [entry for entry in entries if entry.kind in ("action_completed", "action_skipped", "action_cancelled")]
    ended += [entry for entry in entries if entry.kind == "action_failed" and "retry_at" not in entry.body]
    assert len(ended) == 1, "it ended more than once"
    assert all(line["at"] <= ended[0].at for line in began), "it ran again after its end was on disk"
    if state.items is not None:
        assert not effects, "it has items, and ran itself"
        return
    if state.status is ActionStatus.SUCCEEDED and operation.startswith("side."):
        assert any(line["what"] == "end" for line in effects), "it is said to have succeeded, and did not run"
    usual = "retry" if operation in REPEATABLE else "ask" if operation == "side.critical" else "fail"
    again = action.get("on_interrupt") or usual
    interrupted = (state.error or {}).get("type") == "Interrupted"
    if again == "retry":
        assert not interrupted
    else:
        # Unless a person has said so, who was asked because of it: critical ones are asked about.
        asked = sum(bool(entry.body.get("interrupted")) for entry in entries)
        agreed = sum(entry.kind == "approved" for entry in entries)
        allowed = min(asked, agreed)
        assert len(began) <= len({line["attempt"] for line in began}) + allowed, "an interrupted attempt was run again"
    if interrupted:
        assert len({line["pid"] for line in began if line["attempt"] == state.attempt}) <= 1


def audited(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The audit rows by subject, in order; fails if the chain does not verify."""
    chain = [tuple(row.values()) for row in rows(folder, "SELECT * FROM audit ORDER BY chain, seq")]
    heads = {row["chain"]: (row["seq"], row["hash"]) for row in rows(folder, "SELECT * FROM audit_heads")}
    count, problems = verify(chain, heads)
    assert (count, problems) == (len(chain), [])
    TALLY.audit_rows += count
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    keys = ("chain", "seq", "at", "kind", "actor", "act", "subject", "outcome", "detail")
    # Each writer has a chain of its own: what happened first is told by the clock.
    for row in sorted(chain, key=lambda row: float(row[2])):
        line = dict(zip(keys, row, strict=False))
        found[line["subject"]].append({**line, "detail": json.loads(line["detail"])})
    return found


def check_audit(record: Record, rows: list[dict[str, Any]]) -> None:
    """Whether what the journal tells of an execution is audited, each fact once."""
    workflow = [row["act"] for row in rows if row["kind"] == "workflow_execution"]
    told = {"started": "start", "approved": "approve", "rollback_started": "rollback", "finished": "end"}
    expected = [
        "ask" if entry.kind == "action_waiting" else told[entry.kind]
        for entry in record.entries
        if entry.kind in told or (entry.kind == "action_waiting" and "approval" in entry.body)
    ]
    assert workflow == expected
    undos = [row for row in rows if row["act"].startswith("undo ")]
    assert len(undos) == sum(entry.kind in ("undo_completed", "undo_failed") for entry in record.entries)
    succeeded = [
        row["detail"]["action"]
        for row in rows
        if row["act"].startswith(("side.", "flow.")) and row["outcome"] == "succeeded"
    ]
    assert sorted(succeeded) == sorted(completed(record))
