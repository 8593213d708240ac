"""A database with a long history, made in minutes instead of days.

An engine runs some hundred executions; their rows are then copied with SQL, each copy with an identifier and times of
its own. What has to be computed, the audit chain, is: `automation audit verify` finds nothing wrong with it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from automation import ActionContext, Event, WorkflowDefinition, action
from automation.errors import Refused
from automation.store.audit import Chain, Fact
from benchmarks import engines
from benchmarks.setting import Setting

WORKFLOWS = 20
EACH = 10
"""Executions of each workflow that are really run; one of them fails."""
CHUNK = 20_000
"""Executions a transaction."""
BYTES_EACH = 4_000.0
"""About how much room an execution takes, with its journal, audit rows and event."""
DAYS = 30.0
"""The history covers so many."""
FAILING = 7
"""Which of the ten fails."""


@action("bench.refuse", idempotent=True)
async def refuse(params: engines.Work, context: ActionContext) -> dict[str, Any]:
    """Do nothing, or fail when told to."""
    if params.value == FAILING:
        raise Refused("the target does not answer")
    return {"answered": params.value}


def workflow(number: int) -> WorkflowDefinition:
    """One of those of the history: started by an event, three actions."""
    return WorkflowDefinition.model_validate(
        {
            "name": name(number),
            "triggers": [{"type": "event", "event": f"check.{number}"}],
            "actions": [
                {"name": "look", "action_type": "bench.work", "parameters": {"value": "${event.data.host}"}},
                {"name": "act", "action_type": "bench.refuse", "parameters": {"value": "${event.data.turn}"}},
                {
                    "name": "tell",
                    "action_type": "bench.work",
                    "parameters": {"value": "${answered} of ${event.data.host}"},
                },
            ],
        }
    )


def name(number: int) -> str:
    """The name of a workflow of the history."""
    return f"check-{number:02d}"


def database(setting: Setting, rows: int) -> Path:
    """A database with so many executions; made when first asked for."""
    path = setting.shared / f"stored-{rows}.db"
    if not path.exists():
        setting.need_space(rows * BYTES_EACH)
        folder = setting.shared / f"sample-{rows}"
        folder.mkdir()
        sample = asyncio.run(_sample(folder))
        shutil.copy(sample, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            _multiply(connection, rows)
    return path


async def _sample(folder: Path) -> Path:
    """Real executions of all workflows, in an order without order, as events start them."""
    database = folder / "automation.db"
    async with engines.engine(folder, f"sqlite:///{database}") as engine:
        for number in range(WORKFLOWS):
            await engine.register_workflow(workflow(number))
        turns = [(number, turn) for number in range(WORKFLOWS) for turn in range(EACH)]
        random.Random(1).shuffle(turns)
        for number, turn in turns:
            data = {"host": f"host-{turn}.example.org", "turn": turn, "load": 91.5, "region": "eu"}
            await engine.publish(Event(type=f"check.{number}", subject=f"host-{turn}", data=data, source="monitoring"))
        await engine.drain()
    return database


def _multiply(connection: sqlite3.Connection, rows: int) -> None:
    """Put copies in the place of the sample."""
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    sampled = _move_sample(connection)
    facts = _facts(connection)
    connection.execute("DELETE FROM audit")
    connection.execute("DELETE FROM audit_heads")
    chain, first = Chain("main"), time.time() - DAYS * 86_400
    chance = random.Random(2)
    for begin in range(0, rows, CHUNK):
        copies = _copies(range(begin, min(begin + CHUNK, rows)), sampled, first, DAYS * 86_400 / rows, chance)
        connection.execute("DELETE FROM copies")
        connection.executemany("INSERT INTO copies VALUES (?, ?, ?, ?, ?)", copies)
        for table in ("executions", "journal", "events"):
            connection.execute(_copying(connection, table))
        sealed = chain.seal(
            Fact(fact.at + at, fact.kind, fact.actor, fact.act, id, fact.outcome, fact.detail)
            for _, nth, id, _, at in copies
            for fact in facts[nth]
        )
        connection.executemany(f"INSERT INTO audit VALUES ({', '.join('?' * len(sealed[0]))})", sealed)
        connection.execute("COMMIT")
        connection.execute("BEGIN")
    statement, values = chain.head()
    connection.execute(f"INSERT INTO audit_heads ({', '.join(statement.keys)}) VALUES (?, ?, ?)", values)
    for table in ("executions", "journal", "events"):
        connection.execute(f"DROP TABLE sample_{table}")
    connection.execute("DROP TABLE copies")
    connection.execute("COMMIT")


def _move_sample(connection: sqlite3.Connection) -> int:
    """The sample's rows into tables of their own, with times from 0 and numbered executions; returns how many."""
    execute = connection.execute
    # Without types, as the columns that they are joined with are computed: else no index would be used.
    execute("CREATE TABLE copies (n INTEGER PRIMARY KEY, nth, id, event, at)")
    execute("CREATE TABLE sample_executions AS SELECT row_number() OVER (ORDER BY id) - 1 AS nth, * FROM executions")
    for table, same in (("journal", "t.execution_id = s.id"), ("events", "t.id = s.event_id")):
        execute(
            f"CREATE TABLE sample_{table} AS SELECT s.nth, s.created_at AS began, t.* "
            f"FROM {table} t JOIN sample_executions s ON {same} ORDER BY s.nth"
        )
        execute(f"CREATE INDEX sample_{table}_nth ON sample_{table} (nth)")
        execute(f"DELETE FROM {table}")
    execute("DELETE FROM executions")
    execute("CREATE INDEX sample_executions_nth ON sample_executions (nth)")
    return int(execute("SELECT count(*) FROM sample_executions").fetchone()[0])


def _facts(connection: sqlite3.Connection) -> list[list[Fact]]:
    """What is audited of each execution of the sample, with times from its beginning."""
    found: dict[int, list[Fact]] = {}
    query = (
        "SELECT s.nth, a.at - s.created_at, a.kind, a.actor, a.act, a.outcome, a.detail "
        "FROM audit a JOIN sample_executions s ON a.subject = s.id ORDER BY s.nth, a.seq"
    )
    for nth, at, kind, actor, act, outcome, detail in connection.execute(query):
        found.setdefault(nth, []).append(Fact(at, kind, actor, act, "", outcome, detail))
    return [found[nth] for nth in sorted(found)]


Copy = tuple[int, int, str, str, float]
"""Number, which of the sample, its id, its event's id, when it begins."""


def _copies(numbers: range, sampled: int, first: float, pause: float, chance: random.Random) -> list[Copy]:
    """Identifiers as `model.ids` makes them, for moments in the past."""
    found = []
    for number in numbers:
        at = first + number * pause
        ids = []
        for _ in range(2):
            stamp, tail = int(at * 1000 * 4096), chance.getrandbits(62) | 0x8000000000000000
            text = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{tail:016x}"
            ids.append(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
        found.append((number, number % sampled, ids[0], ids[1], at))
    return found


_CHANGED = {
    "executions": {
        "id": "c.id",
        "event_id": "c.event",
        "created_at": "c.at",
        "started_at": "c.at + t.started_at - t.created_at",
        "finished_at": "c.at + t.finished_at - t.created_at",
    },
    "journal": {
        "execution_id": "c.id",
        "at": "c.at + t.at - t.began",
        "body": "CASE t.kind WHEN 'started' THEN replace(t.body, s.event_id, c.event) ELSE t.body END",
    },
    "events": {
        "id": "c.event",
        "time": "c.at + t.time - t.began",
        "received_at": "c.at + t.received_at - t.began",
    },
}
"""What is not as in the sample, by column."""


def _copying(connection: sqlite3.Connection, table: str) -> str:
    """The statement that copies the rows of a table for all of `copies`."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    if table == "events":
        columns.remove("seq")
    changed = _CHANGED[table]
    values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM copies c "
        f"CROSS JOIN sample_{table} t ON t.nth = c.nth "
        f"CROSS JOIN sample_executions s ON s.nth = c.nth"
    )
