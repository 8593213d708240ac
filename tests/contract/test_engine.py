"""What an engine does is the same on every database: it runs, recovers, deduplicates, alerts, and audits."""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from automation import (
    ActionContext,
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    Event,
    ExecutionContext,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
    action,
)
from automation.errors import Conflict, DuplicateKey, NotFound, StoreError, StoreUnavailable, Unauthenticated
from automation.model.alert import AlertState
from automation.plugins import registry
from automation.store import executions, records, schema, statements
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store
from automation.utils import test_db_connection as try_database
from tests.support import guarded, handlers, postgres
from tests.support.databases import Database

BEGIN = 1_800_000_000.0


def workflow(name: str, *actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": name, "actions": actions, **further})


def act(name: str, operation: str = "test.record", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "action_type": operation, "parameters": parameters}


THREE = workflow("three", act("a", values={"x": "${number}"}), act("b", value="${x + 1}"), act("c", value="ü\u0000"))
BROKEN = workflow(
    "broken",
    act("a", values={"kept": 1}),
    act("b", "test.fail"),
    rollback_strategy={"enabled": True, "triggers": ["action_failure"]},
)
REACT = workflow(
    "react",
    act("note", value="${event.data.number}"),
    triggers=[{"type": "event", "event": "thing", "condition": "number > 1"}],
)
WAIT = workflow("wait", act("pause", "test.wait", seconds=3.0), act("after"))
ASK = workflow("ask", act("ask", "test.critical"), act("after"))


@pytest.fixture
def config(database: Database, tmp_path: Path) -> AutomationConfig:
    return AutomationConfig(database_url=database.url, data_dir=tmp_path / "data", level=AutomationLevel.INTELLIGENT)


@pytest.fixture
async def engine(config: AutomationConfig) -> AsyncIterator[AutomationEngine]:
    handlers.calls.clear()
    async with AutomationEngine(config) as running:
        for each in (THREE, BROKEN, REACT, WAIT, ASK):
            await running.register_workflow(each)
        yield running


def number(value: int) -> ExecutionContext:
    return ExecutionContext(variables={"number": value})


async def test_a_workflow_is_run_and_its_story_is_kept(engine: AutomationEngine) -> None:
    results = await asyncio.gather(*(engine.execute_workflow("three", number(each)) for each in range(50)))

    assert {result.status for result in results} == {WorkflowStatus.SUCCEEDED}
    assert sorted(value for name, value in handlers.calls if name == "b") == list(range(1, 51))
    detail = await engine.queries.execution_detail(results[7].execution_id)
    assert [action.outputs for action in detail.actions] == [{"x": 7}, {}, {}]
    assert detail.variables == {"number": 7}
    assert detail.actions[2].status.value == "succeeded"
    page = await engine.queries.executions(limit=20)
    further = await engine.queries.executions(limit=40, cursor=page.next_cursor)
    seen = [execution.id for execution in (*page.items, *further.items)]
    assert seen == sorted({result.execution_id for result in results}, reverse=True)
    count, problems = await engine.queries.verify_audit()
    assert problems == []
    assert count >= 50 * 5


async def test_a_key_starts_it_once(engine: AutomationEngine) -> None:
    ids = await asyncio.gather(
        *(engine.start_workflow("three", number(1), idempotency_key="deploy-42") for _ in range(10))
    )
    assert len(set(ids)) == 1
    with pytest.raises(DuplicateKey, match=ids[0]):
        await engine.start_workflow("three", number(2), idempotency_key="deploy-42")
    with pytest.raises(DuplicateKey, match=ids[0]):
        await engine.start_workflow("wait", idempotency_key="deploy-42")
    assert (await engine.wait_for(ids[0])).status is WorkflowStatus.SUCCEEDED
    assert [name for name, _ in handlers.calls] == ["a", "b", "c"]


async def test_what_fails_is_rolled_back(engine: AutomationEngine) -> None:
    result = await engine.execute_workflow("broken")

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert handlers.calls == [("a", None), ("b", 1), ("a.undo", {"kept": 1})]
    stored = await engine.queries.execution(result.execution_id)
    assert stored.error is not None
    assert stored.error["message"] == "it will not work"


async def test_what_the_database_refuses_to_take_ends_and_is_rolled_back(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = engine.store.post

    def refuse_b(ops: Sequence[Op], facts: Sequence[Fact] = ()) -> asyncio.Future[None]:
        if any(op is statements.JOURNAL and values[3:5] == ("action_completed", "b") for op, values in ops):
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(StoreError("the database refused: no such text"))
            return refused
        return post(ops, facts)

    monkeypatch.setattr(engine.store, "post", refuse_b)
    undone = {"enabled": True, "triggers": ["action_failure"]}
    await engine.register_workflow(
        workflow("w", act("a", values={"kept": 1}), act("b", value="1"), act("c", value="2"), rollback_strategy=undone)
    )
    result = await engine.execute_workflow("w")

    assert (result.status, result.error) == (WorkflowStatus.ROLLED_BACK, "the database refused: no such text")
    told = await engine.executions.show(result.execution_id)
    assert {run.name: run.status.value for run in told.actions} == {"a": "succeeded", "b": "failed", "c": "skipped"}
    assert handlers.calls[-1] == ("a.undo", {"kept": 1})
    assert [entry.seq for entry in told.journal] == list(range(1, len(told.journal) + 1))
    assert await executions.unfinished_count(engine.store) == 0


async def test_a_text_that_no_database_takes_ends_its_execution(engine: AutomationEngine) -> None:
    assert guarded.restart is not None, "its import defines the operation"
    aimed = {"name": "b", "action_type": "guarded.restart", "parameters": {"service_name": "a\0b"}}
    await engine.register_workflow(workflow("w", act("a", value="1"), aimed, guardrails={"cooldown_seconds": 60}))
    result = await engine.execute_workflow("w")

    # PostgreSQL has no text with a NUL in it, and SQLite has.
    failed = engine.config.database_url.startswith("postgresql")
    assert result.status is (WorkflowStatus.FAILED if failed else WorkflowStatus.SUCCEEDED)
    assert await executions.unfinished_count(engine.store) == 0


async def test_an_event_counts_once_however_often_and_by_whomever_it_is_sent(
    engine: AutomationEngine, config: AutomationConfig
) -> None:
    async with AutomationEngine(config) as other:
        await other.register_workflow(REACT)
        numbers = [each % 10 for each in range(40)]
        events = [Event(type="thing", id=f"e-{each}", source="s", data={"number": each}) for each in numbers]
        receipts = await asyncio.gather(
            *((engine, other)[place % 2].publish(event) for place, event in enumerate(events))
        )
        await asyncio.gather(engine.drain(), other.drain())

    assert [receipt.duplicate for receipt in receipts].count(False) == 10
    assert sorted(value for _, value in handlers.calls) == list(range(2, 10))
    detail = await engine.queries.event("e-5", "s")
    assert [execution.workflow for execution in detail.executions] == ["react"]
    assert (await engine.queries.event("e-0", "s")).executions == ()
    assert len((await engine.queries.events(type="thing")).items) == 10


async def test_what_an_engine_leaves_another_takes_up(config: AutomationConfig) -> None:
    handlers.calls.clear()
    clock = VirtualClock(BEGIN)
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.register_workflow(WAIT)
        waiting = await engine.start_workflow("wait")
        while await engine.get_workflow_status(waiting) is not WorkflowStatus.WAITING:
            await clock.advance(0.1)
    async with AutomationEngine(config, clock=clock) as engine:
        await clock.advance(5)
        assert (await engine.wait_for(waiting)).status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("pause", "waited"), ("after", None)]


async def stored(engine: AutomationEngine, id: str, body: str, priority: int, *further: Op) -> None:
    """Store an execution that is due, as another engine has left it."""
    digest, definition = records.definition("workflow", "left", body, BEGIN)
    row: dict[str, Any] = dict.fromkeys(statements.EXECUTION.keys)
    row |= {"id": id, "workflow": "left", "definition_id": digest, "status": "running", "priority": priority}
    row |= {"created_at": BEGIN, "reason": "asked for", "actor": "ann"}
    await engine.store.commit([definition, statements.EXECUTION(**row), *further])


async def test_what_is_broken_keeps_nothing_else_from_running(config: AutomationConfig) -> None:
    body = workflow("left", act("b")).model_dump_json()
    handlers.calls.clear()
    async with AutomationEngine(config) as engine:
        entry = statements.JOURNAL, ("broken", 1, BEGIN, "action_started", "b", "{}")
        # In one commit, so that they are taken up together.
        await asyncio.gather(stored(engine, "broken", body, 1, entry), stored(engine, "well", body, 1))

        result = await asyncio.wait_for(engine.wait_for("well"), 20)

        assert result.status is WorkflowStatus.SUCCEEDED
        assert "its journal cannot be read (KeyError('attempt')); see: automation db check" in str(
            engine._recovery.blocked["broken"]
        )


async def test_what_was_claimed_and_could_not_be_read_is_run_all_the_same(
    config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = executions.journals, iter(range(2))

    async def unwell(store: Store, execution_ids: Sequence[str]) -> dict[str, executions.Journal | NotFound]:
        if execution_ids and next(failures, None) is not None:
            raise StoreUnavailable("the server has gone away")
        return await read(store, execution_ids)

    monkeypatch.setattr(executions, "journals", unwell)
    handlers.calls.clear()
    async with AutomationEngine(config) as engine:
        await stored(engine, "left", workflow("left", act("b")).model_dump_json(), priority=1)

        result = await asyncio.wait_for(engine.wait_for("left"), 20)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("b", None)]


async def test_what_cannot_be_run_here_does_not_hide_what_can(
    config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two portions of what is more urgent have an operation that nobody has registered, or are not to be read."""
    monkeypatch.setattr(executions, "PORTION", 2)
    for kind in registry._plugins:
        registry.names(kind)
    monkeypatch.setattr(registry, "_last_parts", copy.deepcopy(registry._last_parts))
    monkeypatch.setattr(registry, "_plugins", {kind: dict(known) for kind, known in registry._plugins.items()})
    handlers.calls.clear()
    # Named anew for each database: what is compiled is kept, as operations do not go away again.
    operation = f"test.late_{config.database_url.partition(':')[0]}"
    unknown = workflow("left", act("a", operation)).model_dump_json()
    async with AutomationEngine(config) as engine:
        for number, body in enumerate((unknown, '{"name": "left"}', unknown, unknown, unknown)):
            await stored(engine, f"blocked-{number}", body, priority=3)
        runs = workflow("left", act("b")).model_dump_json()
        for number in range(3):
            await stored(engine, f"runs-{number}", runs, priority=1)

        for number in range(3):
            result = await asyncio.wait_for(engine.wait_for(f"runs-{number}"), 20)
            assert result.status is WorkflowStatus.SUCCEEDED
        await engine.drain(20)
        assert len(engine._recovery.blocked) == 5
        assert operation in engine._recovery.blocked["blocked-0"]
        assert "actions" in engine._recovery.blocked["blocked-1"]

        # And it is run once it can be.
        action(operation)(late)
        for number in (0, 2, 3, 4):
            result = await asyncio.wait_for(engine.wait_for(f"blocked-{number}"), 20)
            assert result.status is WorkflowStatus.SUCCEEDED
        assert set(engine._recovery.blocked) == {"blocked-1"}


async def late(params: handlers.Value, context: ActionContext) -> None:
    """Do nothing."""


async def test_a_person_is_asked_and_answers_by_way_of_another_engine(
    engine: AutomationEngine, config: AutomationConfig
) -> None:
    asked = await engine.start_workflow("ask")
    while await engine.get_workflow_status(asked) is not WorkflowStatus.WAITING:
        await asyncio.sleep(0.01)
    async with AutomationEngine(config) as other:
        await other.decide(asked, "ask", True, actor="ann")
        assert (await asyncio.wait_for(other.wait_for(asked), 10)).status is WorkflowStatus.SUCCEEDED
    with pytest.raises(Conflict):
        await engine.cancel(asked)
    assert handlers.calls == [("ask", None), ("after", None)]


async def test_an_alert_fires_stays_and_resolves(config: AutomationConfig) -> None:
    clock = VirtualClock(BEGIN)
    rule = {"name": "busy", "condition": "cpu > 80 AND duration > 5s", "cooldown_period": 60}
    async with AutomationEngine(config, clock=clock) as engine:
        engine.register_alert_workflow(
            {**rule, "actions": [{"type": "flow.set", "parameters": {"values": {"acted": True}}}]}
        )
        await engine.save(keep=True)
        for _ in range(4):
            await engine.observe("cpu", 91.5, subject="a1")
            await clock.advance(1)
    async with AutomationEngine(config, clock=clock) as engine:
        assert (await engine.queries.alert_counts()) == {AlertState.PENDING: 1}
        for _ in range(3):
            await engine.observe("cpu", 91.5, subject="a1")
            await clock.advance(1)
        await engine.drain()
        [alert] = (await engine.queries.alerts(state=AlertState.FIRING)).items
        assert (alert.starts_at, alert.value) == (BEGIN, 91.5)
        assert [execution.workflow for execution in (await engine.queries.executions()).items] == ["busy"]
        await engine.observe("cpu", 10.0, subject="a1")
        assert (await engine.queries.alert(alert.fingerprint)).state is AlertState.RESOLVED


async def test_tokens_are_known_until_they_are_revoked(engine: AutomationEngine, tmp_path: Path) -> None:
    assert await engine.tokens.ensure_admin(tmp_path / "admin.token")
    secret = (tmp_path / "admin.token").read_text().strip()
    caller = await engine.tokens.authenticate(secret, address="127.0.0.1", path="/")
    assert caller.name == "admin"
    [token] = await engine.tokens.list()
    await engine.tokens.revoke(token.id, actor="ann")
    with pytest.raises(Unauthenticated):
        await engine.tokens.authenticate(secret, address="127.0.0.1", path="/")


def command(database: Database, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`automation ...` on the database, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "automation", *arguments, "--json"],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "AUTOMATION_DATABASE_URL": database.url,
            "AUTOMATION_DATA_DIR": str(folder),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


async def test_the_command_line_works_on_it(engine: AutomationEngine, database: Database, tmp_path: Path) -> None:
    result = await engine.execute_workflow("three", number(1))

    listed = command(database, tmp_path, "executions", "list")
    verified = command(database, tmp_path, "audit", "verify")

    assert [item["id"] for item in json.loads(listed.stdout)["items"]] == [result.execution_id]
    assert json.loads(verified.stdout)["valid"] is True
    database.run("UPDATE audit SET actor = 'mallory' WHERE seq = 2")
    broken = command(database, tmp_path, "audit", "verify")
    assert broken.returncode == 1
    assert "main/2" in broken.stdout + broken.stderr


async def test_a_database_can_be_tried(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert try_database(database.url)
    [line] = capsys.readouterr().out.splitlines()
    assert f"can be read and written (schema {schema.HEAD};" in line
    assert postgres.PASSWORD not in line
