"""What somebody does to the audit rows behind the engine's back is found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.errors import Problem
from automation.store.records import verify_audit
from automation.store.store import Store


@pytest.fixture
async def database(config: AutomationConfig, tmp_path: Path) -> Path:
    """The file of a database with a few audited executions."""
    look = {"name": "look", "action_type": "flow.set", "parameters": {"values": {"a": 1}}}
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [look]}))
        for _ in range(5):
            await engine.execute_workflow("w")
    return tmp_path / "automation.db"


async def _verified(database: Path) -> tuple[int, list[Problem]]:
    store = Store(f"sqlite:///{database}")
    await store.open()
    try:
        return await verify_audit(store)
    finally:
        await store.close()


def _last(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT max(seq) FROM audit").fetchone()[0])


def _swap(connection: sqlite3.Connection, one: int, other: int) -> None:
    for before, after in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE audit SET seq = ? WHERE seq = ?", (after, before))


async def test_an_untouched_chain_verifies(database: Path) -> None:
    count, problems = await _verified(database)

    assert problems == []
    assert count >= 15


@pytest.mark.parametrize("column", ["at", "kind", "actor", "act", "subject", "outcome", "detail"])
async def test_a_changed_row_is_found(database: Path, column: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE audit SET {column} = '7' WHERE seq = 4")

    _, problems = await _verified(database)

    assert [str(problem) for problem in problems] == ["main/4: was changed: its hash does not fit its content"]


async def test_a_changed_row_with_a_fitting_hash_is_found_by_the_next(database: Path) -> None:
    from automation.store.audit import Chain, Fact

    with closing(sqlite3.connect(database)) as connection, connection:
        previous = connection.execute("SELECT hash FROM audit WHERE seq = 3").fetchone()[0]
        (forged,) = Chain("main", 3, previous).seal([Fact(1.0, "workflow_execution", "nobody", "start", "x")])
        connection.execute("DELETE FROM audit WHERE seq = 4")
        connection.execute(f"INSERT INTO audit VALUES ({','.join('?' * len(forged))})", forged)

    _, problems = await _verified(database)

    assert [problem.path for problem in problems] == ["main/5"]
    assert "does not follow the row before it" in problems[0].message


async def test_a_row_missing_in_the_middle_is_found(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM audit WHERE seq = 6")

    _, problems = await _verified(database)

    assert [str(problem) for problem in problems] == ["main/7: row 6 is missing before it"]


@pytest.mark.parametrize("count", [1, 3])
async def test_rows_missing_at_the_end_are_found(database: Path, count: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        last = _last(connection)
        connection.execute("DELETE FROM audit WHERE seq > ?", (last - count,))

    _, problems = await _verified(database)

    assert [str(problem) for problem in problems] == [
        f"main/{last}: rows {last - count + 1} to {last} are missing at the end"
    ]


async def test_swapped_rows_are_found(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        _swap(connection, 5, 6)

    _, problems = await _verified(database)

    assert {problem.path for problem in problems} == {"main/5", "main/6", "main/7"}


async def test_a_chain_with_all_its_rows_gone_is_found(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM audit")

    count, problems = await _verified(database)

    assert count == 0
    assert len(problems) == 1


async def test_a_removed_head_is_found(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM audit_heads")

    _, problems = await _verified(database)

    assert [str(problem) for problem in problems] == ["main: the record of where it ends is missing"]
