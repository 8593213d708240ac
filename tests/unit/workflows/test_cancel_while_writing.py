"""A cancellation that comes just while an action waits for the disk: what is written then counts for all the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from automation import ActionDefinition, AutomationEngine, WorkflowDefinition, WorkflowStatus
from automation.model.execution import ExecutionResult
from automation.store.audit import Fact
from automation.store.statement import Op
from tests.support import handlers  # noqa: F401 - registers the operations


def when_written(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch, kind: str, then: Callable[[], None]
) -> None:
    """Have something happen while the first journal entry of this kind is on its way to the disk."""
    post, happened = engine.store.post, False

    def noticed(ops: Sequence[Op], facts: Sequence[Fact] = ()) -> asyncio.Future[None]:
        nonlocal happened
        future = post(ops, facts)
        if not happened and any(kind in op[1] for op in ops):
            happened = True
            asyncio.get_running_loop().call_soon(then)
        return future

    monkeypatch.setattr(engine.store, "post", noticed)


async def ending(engine: AutomationEngine, execution_id: str) -> ExecutionResult:
    async with asyncio.timeout(10):
        return await engine.wait_for(execution_id)


async def test_an_execution_that_is_cancelled_while_one_action_is_written_ends(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = ActionDefinition(name="a", action_type="test.record", verify="1 == 1 for 1h")
    other = ActionDefinition(name="b", action_type="test.record", depends_on=(), verify="1 == 1 for 1h")
    cleanup = ActionDefinition(name="c", action_type="test.record", depends_on=(), verify="1 == 1", always=True)
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(verified, other, cleanup)))
    execution_id = ""

    def cancel() -> None:
        run = engine._runner.runs[execution_id]
        assert run.committing
        run.interrupt(WorkflowStatus.CANCELLED, "just now")

    when_written(engine, monkeypatch, "action_verifying", cancel)
    execution_id = await engine.start_workflow("w")

    assert (await ending(engine, execution_id)).status is WorkflowStatus.CANCELLED
    detail = await engine.queries.execution_detail(execution_id)
    assert [action.status.value for action in detail.actions] == ["cancelled", "cancelled", "succeeded"]
    assert [entry.seq for entry in detail.journal] == list(range(1, len(detail.journal) + 1))
