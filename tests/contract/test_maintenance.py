"""Looking after a database of either kind: what is in it, what is wrong with it, and its schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.errors import Conflict, SchemaError
from automation.maintenance import Database
from automation.store import schema
from tests.support.databases import Database as Stored

SET = {"name": "set", "action_type": "flow.set", "parameters": {"values": {"a": "x" * 5000}}}


@pytest.fixture
def config(database: Stored, tmp_path: Path) -> AutomationConfig:
    return AutomationConfig(database_url=database.url, data_dir=tmp_path / "data", store={"inline_bytes": 1024})


@pytest.fixture
async def worked(config: AutomationConfig) -> Database:
    """A database with some executions."""
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [SET]}))
        for _ in range(3):
            await engine.execute_workflow("w")
    return Database(config)


async def test_status_and_check_see_what_is_there(worked: Database) -> None:
    status, report = await worked.status(), await worked.check()

    rows = {stock.table: stock.rows for stock in status.tables}
    assert (rows["executions"], rows["large_values"], rows["journal"]) == (3, 1, 12)
    assert status.place
    assert status.bytes > 0
    assert (report.problems, report.executions) == ((), 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM journal WHERE seq = 2", "has entry 3 where entry 2 has to be"),
        ("UPDATE executions SET status = 'failed'", "its status is 'failed' in its row and 'succeeded' in its journal"),
        ("UPDATE audit SET act = 'x' WHERE seq = 2", "was changed: its hash does not fit its content"),
        ("UPDATE large_values SET size = 7", "was changed: its hash does not fit its content"),
        ("DELETE FROM large_values", "which is not there"),
        ("DELETE FROM large_value_uses", "which is not kept for it"),
    ],
)
async def test_check_finds_what_is_wrong(worked: Database, database: Stored, damage: str, message: str) -> None:
    database.run(damage)
    problems = (await worked.check()).problems
    assert problems
    assert all(message in problem.message for problem in problems)


async def test_the_schema_is_looked_at_and_a_newer_one_refused(worked: Database, database: Stored) -> None:
    made = await worked.migrate()
    assert (made.found, made.wanted, made.steps) == (schema.HEAD, schema.HEAD, ())
    database.run("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="9999"):
        await worked.migrate(dry_run=True)
    with pytest.raises(Conflict, match="the schema is 9999"):
        await worked.compact()
    [problem] = (await worked.check()).problems
    assert "is 9999" in problem.message


async def test_a_new_database_is_made(new_database: Stored, tmp_path: Path) -> None:
    database = Database(AutomationConfig(database_url=new_database.url, data_dir=tmp_path))
    assert (await database.migrate()).found is None
    assert (await database.status()).schema == schema.HEAD


async def test_compacting_an_empty_database_does_nothing(config: AutomationConfig) -> None:
    made = await Database(config).compact()
    assert (made.deleted, made.alone) == ({}, True)
