"""A database of an earlier release is brought up to date with all that is in it, and its unfinished work is taken up.

`databases/0.1.0.sql` is what that release had written when it was killed: a few executions, one of which waits for a
minute, with rows in every table.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from automation import (
    AutomationConfig,
    AutomationEngine,
    Event,
    ExecutionContext,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import DuplicateKey
from automation.store import records, schema, tables
from automation.store.store import Store

pytestmark = pytest.mark.durability

RELEASE = Path(__file__).parent / "databases" / "0.1.0.sql"
KILLED = 1_790_000_000.0
"""When the engine of that release was killed, by its clock."""
WAITING = "wait"


@pytest.fixture
def config(tmp_path: Path) -> AutomationConfig:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(RELEASE.read_text(encoding="utf-8"))
    return AutomationConfig(database_url=f"sqlite:///{tmp_path}/old.db", data_dir=tmp_path / "data")


def content(config: AutomationConfig) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    with closing(sqlite3.connect((config.database_url or "").removeprefix("sqlite:///"))) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}


async def test_nothing_is_lost(config: AutomationConfig) -> None:
    before = content(config)
    assert before.pop("alembic_version") == [{"version_num": "0001"}]
    assert all(before.values()), "a table of the release is empty: the test says nothing of it"

    store = Store(config.database)
    await store.open()
    verified = await records.verify_audit(store)
    await store.close()

    after = content(config)
    assert after.pop("alembic_version") == [{"version_num": schema.HEAD}]
    assert set(after) == set(tables.metadata.tables)
    for name, rows in before.items():
        kept = [{column: row[column] for column in rows[0]} for row in after[name]]
        assert kept == rows, name
    assert verified == (len(before["audit"]), [])


async def test_the_engine_goes_on_where_that_release_was_killed(config: AutomationConfig) -> None:
    [waiting] = [row["id"] for row in content(config)["executions"] if row["workflow"] == WAITING]
    clock = VirtualClock(KILLED + 30)
    async with AutomationEngine(config, clock=clock) as engine:
        greet = {"name": "set", "action_type": "flow.set", "parameters": {"values": {"hello": "${who}"}}}
        await engine.register_workflow(WorkflowDefinition.model_validate({"name": "greet", "actions": [greet]}))
        # The alert rule that was to stay has stayed, what was started with a key is known, an event is taken in once.
        assert "busy" in engine.workflow_manager.list_workflows()
        you = ExecutionContext(variables={"who": "you"})
        known = await engine.start_workflow("greet", you, idempotency_key="deploy-42")
        assert (await engine.queries.execution(known)).created_at == KILLED
        with pytest.raises(DuplicateKey):
            await engine.start_workflow(
                "greet", ExecutionContext(variables={"who": "another"}), idempotency_key="deploy-42"
            )
        assert (await engine.publish(Event(type="thing", id="e-2", source="test", data={"number": 2}))).duplicate
        assert await engine.get_workflow_status(waiting) is WorkflowStatus.WAITING

        await clock.advance(31)
        result = await engine.wait_for(waiting)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert result.outputs["after"] == {"done": True}
        count, problems = await engine.queries.verify_audit()
        assert problems == []
        assert count > 23
