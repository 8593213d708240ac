"""What somebody does to the audit rows behind the engine's back is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.errors import Problem
from automation.store.records import verify_audit
from automation.store.store import Store
from tests.support.databases import Database


@pytest.fixture
async def written(database: Database, tmp_path: Path) -> Database:
    """A database with a few audited executions."""
    config = AutomationConfig(database_url=database.url, data_dir=tmp_path / "data")
    look = {"name": "look", "action_type": "flow.set", "parameters": {"values": {"a": 1}}}
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [look]}))
        for _ in range(5):
            await engine.execute_workflow("w")
    return database


async def _verified(database: Database) -> tuple[int, list[Problem]]:
    store = Store(database.url)
    await store.open()
    try:
        return await verify_audit(store)
    finally:
        await store.close()


def _last(database: Database) -> int:
    return int(database.rows("SELECT max(seq) AS last FROM audit")[0]["last"])


def _swap(database: Database, one: int, other: int) -> None:
    for before, after in ((one, -1), (other, one), (-1, other)):
        database.run(f"UPDATE audit SET seq = {after} WHERE seq = {before}")


async def test_an_untouched_chain_verifies(written: Database) -> None:
    count, problems = await _verified(written)

    assert problems == []
    assert count >= 15


@pytest.mark.parametrize("column", ["at", "kind", "actor", "act", "subject", "outcome", "detail"])
async def test_a_changed_row_is_found(written: Database, column: str) -> None:
    written.run(f"UPDATE audit SET {column} = '7' WHERE seq = 4")

    _, problems = await _verified(written)

    assert [str(problem) for problem in problems] == ["main/4: was changed: its hash does not fit its content"]


async def test_a_changed_row_with_a_fitting_hash_is_found_by_the_next(written: Database) -> None:
    from automation.store.audit import Chain, Fact

    [previous] = [row["hash"] for row in written.rows("SELECT hash FROM audit WHERE seq = 3")]
    (forged,) = Chain("main", 3, previous).seal([Fact(1.0, "workflow_execution", "nobody", "start", "x")])
    values = ", ".join(f"'{value}'" for value in forged)
    written.run("DELETE FROM audit WHERE seq = 4", f"INSERT INTO audit VALUES ({values})")

    _, problems = await _verified(written)

    assert [problem.path for problem in problems] == ["main/5"]
    assert "does not follow the row before it" in problems[0].message


async def test_a_row_missing_in_the_middle_is_found(written: Database) -> None:
    written.run("DELETE FROM audit WHERE seq = 6")

    _, problems = await _verified(written)

    assert [str(problem) for problem in problems] == ["main/7: row 6 is missing before it"]


@pytest.mark.parametrize("count", [1, 3])
async def test_rows_missing_at_the_end_are_found(written: Database, count: int) -> None:
    last = _last(written)
    written.run(f"DELETE FROM audit WHERE seq > {last - count}")

    _, problems = await _verified(written)

    assert [str(problem) for problem in problems] == [
        f"main/{last}: rows {last - count + 1} to {last} are missing at the end"
    ]


async def test_swapped_rows_are_found(written: Database) -> None:
    _swap(written, 5, 6)

    _, problems = await _verified(written)

    assert {problem.path for problem in problems} == {"main/5", "main/6", "main/7"}


async def test_a_chain_with_all_its_rows_gone_is_found(written: Database) -> None:
    written.run("DELETE FROM audit")

    count, problems = await _verified(written)

    assert count == 0
    assert len(problems) == 1


async def test_a_removed_head_is_found(written: Database) -> None:
    written.run("DELETE FROM audit_heads")

    _, problems = await _verified(written)

    assert [str(problem) for problem in problems] == ["main: the record of where it ends is missing"]
