"""What actions return may be large: it is stored once, beside the journal, and is there wherever it is needed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, Event, ExecutionContext, WorkflowDefinition, WorkflowStatus
from automation.clock import VirtualClock
from automation.maintenance import Database
from automation.model.large import LargeValue
from tests.support import handlers

TEXT = "line of a log\n" * 1000
SMALL = "short"

KEEP = {"name": "fetch", "action_type": "test.record", "parameters": {"values": {"log": "${log}", "status": 200}}}
USE = {
    "name": "use",
    "action_type": "test.record",
    "conditions": ["log CONTAINS 'line of a log' AND status == 200"],
    "parameters": {"value": "${actions.fetch.log}"},
}
WAIT = {"name": "wait", "action_type": "flow.wait", "parameters": {"seconds": 3600}}


def workflow(name: str, *actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": name, "actions": actions, **further})


@pytest.fixture
def config(config: AutomationConfig) -> AutomationConfig:
    """Where large begins at a kilobyte."""
    handlers.calls.clear()
    store = config.store.model_copy(
        update={"inline_bytes": 1024, "max_result_bytes": 100_000, "max_execution_bytes": 150_000}
    )
    return config.model_copy(update={"store": store})


@pytest.fixture
def path(config: AutomationConfig, tmp_path: Path) -> Path:
    """The database's file."""
    return tmp_path / "automation.db"


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


async def test_it_is_stored_once_and_seen_by_later_actions(config: AutomationConfig, path: Path) -> None:
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("w", KEEP, USE))
        results = [await engine.execute_workflow("w", ExecutionContext({"log": TEXT})) for _ in range(2)]

        assert results[0].outputs["fetch"] == {"log": TEXT, "status": 200}
        assert handlers.calls[1] == ("use", TEXT)
        for result in results:
            again = await engine.wait_for(result.execution_id)
            assert again.outputs == results[0].outputs

    assert rows(path, "SELECT count(*), sum(size) FROM large_values") == [(1, len(json.dumps(TEXT)))]
    assert rows(path, "SELECT count(*) FROM large_value_uses") == [(2,)]
    assert rows(path, "SELECT max(length(body)) FROM journal")[0][0] < 500
    assert (await Database(config).check()).problems == ()


async def test_a_small_one_costs_no_row(config: AutomationConfig, path: Path) -> None:
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("w", KEEP))
        await engine.execute_workflow("w", ExecutionContext({"log": SMALL}))
    assert rows(path, "SELECT count(*) FROM large_values") == [(0,)]
    assert "$refs" not in str(rows(path, "SELECT body FROM journal"))


async def test_another_engine_goes_on_with_it(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.register_workflow(workflow("w", KEEP, WAIT, USE))
        execution_id = await engine.start_workflow("w", ExecutionContext({"log": TEXT}))
        while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
            await asyncio.sleep(0.01)
    async with AutomationEngine(config, clock=clock) as engine:
        await clock.advance(3600)
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["fetch"]["log"] == TEXT
    assert handlers.calls == [("fetch", None), ("use", TEXT)]


async def test_an_execution_without_its_value_waits_and_says_why(config: AutomationConfig, path: Path) -> None:
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("w", KEEP, WAIT, USE))
        execution_id = await engine.start_workflow("w", ExecutionContext({"log": TEXT}))
        while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
            await engine.clock.sleep(0.01)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM large_values")
        connection.execute("UPDATE executions SET wake_at = 0")
    [problem] = (await Database(config).check()).problems
    assert problem.path == f"executions/{execution_id}"
    assert "its journal names the large value sha256:" in problem.message
    async with AutomationEngine(config) as engine:
        while execution_id not in engine._recovery.blocked:
            await engine.clock.sleep(0.01)
        assert "there is no large value named 'sha256:" in engine._recovery.blocked[execution_id]


async def test_variables_events_and_items_are_kept_so_too(config: AutomationConfig, path: Path) -> None:
    each = {
        "name": "each",
        "action_type": "test.record",
        "for_each": {"items": "${list}"},
        "parameters": {"values": {"got": "${item}"}},
    }
    got = {"name": "got", "action_type": "test.record", "parameters": {"value": "${event.data.log}"}}
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("items", each))
        await engine.register_workflow(workflow("event", got, triggers=[{"type": "event", "event": "e"}]))
        result = await engine.execute_workflow("items", ExecutionContext({"list": [TEXT, TEXT + "!", "x"]}))
        receipt = await engine.publish(Event(type="e", data={"log": TEXT}))
        await engine.drain()

        assert [item["got"] for item in result.outputs["each"]["results"]] == [TEXT, TEXT + "!", "x"]
        assert handlers.calls[-1] == ("got", TEXT)
        detail = await engine.queries.execution_detail(receipt.executions[0])
        assert detail.event is not None
        assert isinstance(detail.event["data"]["log"], LargeValue)
        detail = await engine.queries.execution_detail(receipt.executions[0], whole=True)
        assert detail.event is not None
        assert detail.event["data"]["log"] == TEXT
    assert rows(path, "SELECT count(*) FROM large_values") == [(2,)]


async def test_what_looks_like_a_reference_is_none(config: AutomationConfig) -> None:
    fake = {"$ref": "sha256:" + "0" * 64, "size": 3, "$refs": [[["outputs"], "0" * 64, 3]]}
    keep = {"name": "keep", "action_type": "test.record", "parameters": {"values": "${what}"}}
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("w", keep))
        for what in (fake, {**fake, "log": TEXT}):
            result = await engine.execute_workflow("w", ExecutionContext({"what": what}))
            assert result.outputs["keep"] == what
            detail = await engine.queries.execution_detail(result.execution_id, whole=True)
            assert detail.actions[0].outputs == what
    assert (await Database(config).check()).problems == ()


async def test_one_that_is_too_large_fails_its_action(config: AutomationConfig) -> None:
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("w", KEEP))
        result = await engine.execute_workflow("w", ExecutionContext({"log": "x" * 100_000}))
    assert result.status is WorkflowStatus.FAILED
    assert "the action returned 100,023 bytes; store.max_result_bytes is 100,000" in (result.error or "")


async def test_an_execution_does_not_hold_more_than_it_may(config: AutomationConfig) -> None:
    more = [
        {"name": f"a{number}", "action_type": "test.record", "parameters": {"values": {"text": f"${{text}}{number}"}}}
        for number in range(3)
    ]
    again = [
        {"name": f"b{number}", "action_type": "test.record", "parameters": {"values": {"text": "${text}"}}}
        for number in range(9)
    ]
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("different", *more))
        await engine.register_workflow(workflow("same", *again))
        variables = ExecutionContext({"text": "x" * 70_000})
        different = await engine.execute_workflow("different", variables)
        same = await engine.execute_workflow("same", variables)

    assert different.status is WorkflowStatus.FAILED
    assert (different.error or "").startswith("a1: Refused: the action returned 70,013 bytes; its execution may hold")
    assert same.status is WorkflowStatus.SUCCEEDED


async def test_a_list_of_executions_reads_none_of_it(config: AutomationConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from automation.store import large

    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow("w", KEEP))
        result = await engine.execute_workflow("w", ExecutionContext({"log": TEXT}))
        monkeypatch.setattr(large, "text_of", None)
        [execution] = (await engine.queries.executions()).items
        detail = await engine.queries.execution_detail(result.execution_id)
    assert execution.id == result.execution_id
    assert detail.actions[0].outputs == {
        "log": LargeValue(detail.actions[0].outputs["log"].sha256, len(json.dumps(TEXT))),
        "status": 200,
    }
