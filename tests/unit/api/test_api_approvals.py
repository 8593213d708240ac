"""Approvals over REST."""

from __future__ import annotations

import asyncio
from typing import Any

from automation import ExecutionContext
from automation.model.execution import WorkflowStatus
from tests.unit.api.conftest import Face

DROP = {"name": "drop", "action_type": "test.critical", "approval": {"quorum": 2, "expires": "1h", "notify": ["ops"]}}


async def until(face: Face, execution_id: str, status: WorkflowStatus) -> None:
    async with asyncio.timeout(10):
        while await face.engine.get_workflow_status(execution_id) is not status:
            await asyncio.sleep(0.01)


async def asking(face: Face, *actions: dict[str, Any], name: str = "risky") -> tuple[str, str]:
    """An execution that waits, and its approval's id."""
    await face.workflow(name, *(actions or (DROP,)))
    execution = await face.engine.start_workflow(name, ExecutionContext(actor="ann"))
    await until(face, execution, WorkflowStatus.WAITING)
    (approval,) = await face.engine.approvals.of(execution)
    return execution, approval.id


async def test_what_waits_is_listed_and_shown(face: Face, admin: Any) -> None:
    execution, approval = await asking(face)
    viewer = await face.as_role("automation_viewer")

    listed = (await viewer.get("/api/v1/approvals?status=pending")).json()
    (item,) = listed["items"]
    assert (item["id"], item["execution_id"], item["action"]) == (approval, execution, "drop")
    assert item["terms"]["quorum"] == 2
    assert item["terms"]["expires_at"].endswith("Z")
    assert item["terms"]["notify"] == ["ops"]
    assert (await viewer.get(f"/api/v1/approvals/{approval}")).json() == item
    assert (await viewer.get("/api/v1/approvals?status=denied")).json()["items"] == []
    assert (await viewer.get("/api/v1/approvals?workflow=other")).json()["items"] == []
    shown = (await viewer.get(f"/api/v1/executions/{execution}")).json()
    assert shown["actions"][0]["approval"] == approval
    assert (await viewer.get("/api/v1/approvals/nothing")).status_code == 404
    assert (await viewer.get("/api/v1/approvals?status=done")).status_code == 400
    assert (await viewer.post(f"/api/v1/approvals/{approval}/approve")).status_code == 403


async def test_lists_are_paged(face: Face, admin: Any) -> None:
    await face.workflow("risky", DROP)
    for _ in range(3):
        execution = await face.engine.start_workflow("risky")
        await until(face, execution, WorkflowStatus.WAITING)

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await admin.get("/api/v1/approvals?limit=2" + (f"&cursor={cursor}" if cursor else ""))).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert len(seen) == 3
    assert seen == sorted(set(seen), reverse=True)


async def test_a_quorum_approves(face: Face, admin: Any) -> None:
    execution, approval = await asking(face)
    other = await face.client(
        await face.engine.tokens.issue("bob", ["automation_admin"], expires_in=None, actor="test")
    )

    first = await admin.post(f"/api/v1/approvals/{approval}/approve", json={"reason": "looks right"})
    assert (first.status_code, first.json()["status"]) == (200, "pending")
    assert first.json()["answers"][0]["reason"] == "looks right"
    again = await admin.post(f"/api/v1/approvals/{approval}/approve")
    assert again.json() == first.json()
    second = await other.post(f"/api/v1/approvals/{approval}/approve")
    assert second.json()["status"] == "approved"
    await until(face, execution, WorkflowStatus.SUCCEEDED)
    late = await other.post(f"/api/v1/approvals/{approval}/deny")
    assert (late.status_code, "it was approved by bob" in late.json()["detail"]) == (409, True)


async def test_who_may_not_is_refused_and_that_is_audited(face: Face, admin: Any) -> None:
    execution, approval = await asking(face)
    operator = await face.as_role("automation_operator")

    refused = await operator.post(f"/api/v1/approvals/{approval}/approve")
    assert refused.status_code == 403
    assert "actions:execute_critical" in refused.json()["detail"]
    denied = await operator.post(f"/api/v1/approvals/{approval}/deny", json={"reason": "no"})
    assert denied.json()["status"] == "denied"
    await until(face, execution, WorkflowStatus.FAILED)
    rows = (await face.engine.queries.audit(kind="access_attempt")).items
    assert [(row.act, row.actor, row.detail["permission"]) for row in rows if row.act == "authorize"] == [
        ("authorize", "operator", "actions:execute_critical")
    ]


async def test_the_roles_that_a_definition_asks_for_are_needed(face: Face, admin: Any) -> None:
    asks = {"name": "a", "action_type": "test.record", "approval": {"required": True, "roles": ["release"]}}
    _, approval = await asking(face, {**asks, "parameters": {"value": 1}})
    operator = await face.as_role("automation_operator")

    refused = await operator.post(f"/api/v1/approvals/{approval}/approve")

    assert refused.status_code == 403
    assert "whoever has the role release" in refused.json()["detail"]
    assert (await admin.post(f"/api/v1/approvals/{approval}/approve")).json()["status"] == "approved"


async def test_a_decision_by_execution_and_action_is_the_same_door(face: Face, admin: Any) -> None:
    execution, approval = await asking(face)

    path = f"/api/v1/executions/{execution}/decision"
    answer = await admin.post(path, json={"action": "drop", "approve": True, "reason": "by the old way"})

    assert answer.status_code == 202
    assert answer.json() == {"execution_id": execution, "status": "waiting"}
    found = (await admin.get(f"/api/v1/approvals/{approval}")).json()
    assert [each["reason"] for each in found["answers"]] == ["by the old way"]
