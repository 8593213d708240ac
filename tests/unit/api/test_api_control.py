"""Pause, resume, retry, rerun and fork over REST."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from automation.model.execution import WorkflowStatus
from tests.support import handlers
from tests.unit.api.conftest import Face

ASKS = ("pause", "resume", "retry", "rerun", "fork")


@pytest.fixture(autouse=True)
def _mended() -> None:
    handlers.broken.clear()


async def until(face: Face, execution_id: str, status: WorkflowStatus) -> None:
    async with asyncio.timeout(10):
        while await face.engine.get_workflow_status(execution_id) is not status:
            await asyncio.sleep(0.01)


async def test_an_execution_is_paused_and_resumed(face: Face, admin: Any) -> None:
    await face.workflow("slow", {"name": "wait", "action_type": "test.wait"})
    execution = await face.engine.start_workflow("slow")
    await until(face, execution, WorkflowStatus.WAITING)

    paused = await admin.post(f"/api/v1/executions/{execution}/pause", json={"reason": "not now"})
    assert paused.status_code == 202
    assert paused.json()["execution_id"] == execution
    await until(face, execution, WorkflowStatus.PAUSED)
    again = await admin.post(f"/api/v1/executions/{execution}/pause")
    assert (again.status_code, again.json()["detail"]) == (409, f"execution {execution} is paused already")
    resumed = await admin.post(f"/api/v1/executions/{execution}/resume")
    assert resumed.status_code == 202
    await until(face, execution, WorkflowStatus.WAITING)

    journal = (await admin.get(f"/api/v1/executions/{execution}/journal")).json()["items"]
    told = [(entry["kind"], entry["body"]) for entry in journal if entry["kind"] in ("paused", "resumed")]
    assert told == [
        ("paused", {"actor": "admin", "reason": "not now"}),
        ("resumed", {"actor": "admin", "reason": ""}),
    ]


async def test_a_failed_one_is_retried_and_forked(face: Face, admin: Any) -> None:
    handlers.broken.add("b")
    await face.workflow(
        "mended",
        {"name": "a", "action_type": "test.record", "parameters": {"value": "${who}"}},
        {"name": "b", "action_type": "test.mend"},
    )
    started = await admin.post("/api/v1/workflows/mended/executions?wait=10", json={"variables": {"who": "ann"}})
    execution = started.json()["execution_id"]
    assert started.json()["status"] == "failed"
    handlers.broken.clear()

    retried = await admin.post(f"/api/v1/executions/{execution}/retry", json={"reason": "mended"})
    assert retried.status_code == 202
    await until(face, execution, WorkflowStatus.SUCCEEDED)
    twice = await admin.post(f"/api/v1/executions/{execution}/retry")
    assert twice.status_code == 409

    forked = await admin.post(f"/api/v1/executions/{execution}/fork", json={"action": "b", "variables": {"who": "x"}})
    assert forked.status_code == 202
    assert forked.headers["location"] == forked.json()["location"]
    await until(face, forked.json()["execution_id"], WorkflowStatus.SUCCEEDED)
    found = (await admin.get(forked.json()["location"])).json()
    assert found["execution"]["forked_from"] == execution
    assert found["variables"] == {"who": "x"}
    (entry,) = [
        entry
        for entry in (await admin.get(f"{forked.json()['location']}/journal")).json()["items"]
        if entry["kind"] == "action_taken_over"
    ]
    assert entry["body"]["finished_at"].endswith("Z")
    assert [name for name, _ in handlers.calls] == ["a", "b", "b", "b"]


async def test_a_rerun_with_a_key_is_started_once(face: Face, admin: Any) -> None:
    await face.workflow()
    started = await admin.post("/api/v1/workflows/hello/executions?wait=10", json={"variables": {"who": "ann"}})
    path = f"/api/v1/executions/{started.json()['execution_id']}/rerun"

    key = {"Idempotency-Key": "again-1"}
    first, second = [await admin.post(path, json={"variables": {"who": "bob"}}, headers=key) for _ in range(2)]
    other = await admin.post(path, json={"variables": {"who": "cy"}}, headers=key)

    assert (first.status_code, second.status_code) == (202, 200)
    assert {**first.json(), "repeated": True} == second.json()
    assert first.json()["repeated"] is False
    assert other.status_code == 409
    assert first.json()["execution_id"] in other.json()["detail"]
    await until(face, first.json()["execution_id"], WorkflowStatus.SUCCEEDED)
    assert handlers.calls == [("greet", "ann"), ("greet", "bob")]


@pytest.mark.parametrize("ask", ASKS)
async def test_each_needs_the_permission_and_an_execution(face: Face, admin: Any, ask: str) -> None:
    body = {"action": "a"} if ask == "fork" else {}
    viewer = await face.as_role("automation_viewer")

    assert (await viewer.post(f"/api/v1/executions/x/{ask}", json=body)).status_code == 403
    assert (await admin.post(f"/api/v1/executions/x/{ask}", json=body)).status_code == 404
    wrong = await admin.post(f"/api/v1/executions/x/{ask}", json={**body, "resaon": "typo"})
    assert (wrong.status_code, wrong.json()["problems"][0]["path"]) == (400, "resaon")
