"""Workflows and executions over REST."""

from __future__ import annotations

import asyncio
from typing import Any

from automation import AutomationConfig, AutomationEngine, ExecutionContext, WorkflowStatus
from automation.api.routes.workflows import EXAMPLE
from tests.support import handlers

from .conftest import Face

WORKFLOW: dict[str, Any] = {
    "name": "hello",
    "actions": [{"name": "greet", "action_type": "test.record", "parameters": {"value": "${who}"}}],
}
APPROVAL = {"name": "danger", "action_type": "test.critical"}


async def until(face: Face, execution_id: str, status: WorkflowStatus) -> None:
    async with asyncio.timeout(20):
        while await face.engine.get_workflow_status(execution_id) is not status:
            await asyncio.sleep(0.01)


async def test_register_read_and_delete(face: Face, admin: Any) -> None:
    """Given a definition, when it is posted, then it is in force, listed, audited by who did it, and can go again."""
    created = await admin.post("/api/v1/workflows", json=WORKFLOW)
    assert created.status_code == 201
    assert created.headers["location"] == "/api/v1/workflows/hello"
    assert created.json() == {"name": "hello", "created": True, "warnings": []}
    again = await admin.post("/api/v1/workflows", json={**WORKFLOW, "description": "Greets", "enabled": False})
    assert (again.status_code, again.json()["created"]) == (200, False)

    listed = (await admin.get("/api/v1/workflows")).json()["items"]
    assert [(item["name"], item["description"], item["enabled"]) for item in listed] == [("hello", "Greets", False)]
    one = (await admin.get("/api/v1/workflows/hello")).json()
    assert one["layers"] == [["greet"]]
    assert one["operations"] == {"greet": "test.record"}
    assert one["effects"] == {"greet": "standard"}
    # What is read can be written again.
    assert (await admin.post("/api/v1/workflows", json=one["definition"])).status_code == 200

    assert (await admin.delete("/api/v1/workflows/hello")).status_code == 204
    assert (await admin.delete("/api/v1/workflows/hello")).status_code == 404
    assert (await admin.get("/api/v1/workflows/hello")).status_code == 404
    rows = (await face.engine.queries.audit(kind="configuration_change")).items
    assert [(row.actor, row.act) for row in rows if row.subject == "hello"] == [
        ("admin", "workflow.remove"),
        # The third was what is in force already, and so no change.
        *[("admin", "workflow.register")] * 2,
    ]


async def test_the_example_of_the_documentation_is_valid(face: Face, admin: Any) -> None:
    response = await admin.post("/api/v1/workflows", json=EXAMPLE)
    assert response.status_code == 201
    assert response.json()["warnings"][0]["path"] == "actions[0].parameters.service_name"


async def test_what_is_doubtful_is_said_and_registered(face: Face, admin: Any) -> None:
    actions = [{**WORKFLOW["actions"][0], "timeout_seconds": 100}]
    response = await admin.post("/api/v1/workflows", json={**WORKFLOW, "actions": actions, "timeout_seconds": 60})
    assert response.status_code == 201
    [warning] = response.json()["warnings"]
    assert (warning["path"], warning["severity"]) == ("timeout_seconds", "warning")
    assert "3 x 100 s" in warning["message"]


async def test_a_wrong_definition_registers_nothing(face: Face, admin: Any) -> None:
    wrong = {**WORKFLOW, "actions": [{"name": "a", "action_type": "test.recrod", "depends_on": ["b"]}]}
    response = await admin.post("/api/v1/workflows", json=wrong)
    assert response.status_code == 400
    assert [problem["path"] for problem in response.json()["problems"]] == [
        "actions[0].action_type",
        "actions[0].depends_on[0]",
    ]
    assert "did you mean test.record" in response.text
    assert (await admin.get("/api/v1/workflows")).json()["items"] == []


async def test_a_typo_hides_nothing_else(face: Face, admin: Any) -> None:
    action = {"name": "a", "action_type": "test.recrod", "timeout_secs": 5, "depends_on": ["b"]}
    wrong = {**WORKFLOW, "discription": "x", "actions": [action]}
    paths = {
        "discription": "unknown key; did you mean 'description'?",
        "actions[0].timeout_secs": "unknown key; did you mean 'timeout_seconds'?",
        "actions[0].action_type": "did you mean test.record",
        "actions[0].depends_on[0]": "there is no action 'b'",
    }
    for address, status in (("/api/v1/workflows", 400), ("/api/v1/workflows/validate", 200)):
        response = await admin.post(address, json=wrong)
        assert response.status_code == status
        found = {problem["path"]: problem["message"] for problem in response.json()["problems"]}
        assert set(found) == set(paths)
        assert all(text in found[path] for path, text in paths.items())
    rule = {"name": "hot", "condition": "cpu >", "sevrity": "high"}
    response = await admin.post("/api/v1/alert-rules", json=rule)
    assert {problem["path"] for problem in response.json()["problems"]} == {"sevrity", "condition"}


async def test_validate_says_everything_and_registers_nothing(face: Face, admin: Any) -> None:
    for wrong, paths in (
        (WORKFLOW, []),
        ({"name": "x"}, ["actions"]),
        ({**WORKFLOW, "conditions": ["x >"]}, ["conditions[0]"]),
        (EXAMPLE, ["actions[0].parameters.service_name"]),
    ):
        response = await admin.post("/api/v1/workflows/validate", json=wrong)
        assert response.status_code == 200
        found = response.json()
        assert [problem["path"] for problem in found["problems"]] == paths
        assert found["valid"] == all(problem["severity"] == "warning" for problem in found["problems"])
    assert (await admin.get("/api/v1/workflows")).json()["items"] == []


async def test_the_workflow_of_an_alert_belongs_to_its_rule(face: Face, admin: Any) -> None:
    rule = {"name": "cpu", "condition": "cpu > 80", "actions": [{"type": "test.record"}]}
    assert (await admin.post("/api/v1/alert-rules", json=rule)).status_code == 201
    assert (await admin.delete("/api/v1/workflows/cpu")).status_code == 409
    assert (await admin.post("/api/v1/workflows", json={**WORKFLOW, "name": "cpu"})).status_code == 409


async def test_start_and_follow(face: Face, admin: Any) -> None:
    """Given a start, then it is answered once durable, and its execution tells all by whom and with what."""
    await face.workflow()
    operator = await face.as_role("automation_operator")

    started = await operator.post("/api/v1/workflows/hello/executions", json={"variables": {"who": "you"}})

    assert started.status_code == 202
    location = started.headers["location"]
    assert started.json() == {
        "execution_id": location.rpartition("/")[2],
        "workflow": "hello",
        "location": location,
        "repeated": False,
    }
    await face.engine.drain()
    view = (await operator.get(location)).json()
    assert view["execution"]["status"] == "succeeded"
    assert view["execution"]["actor"] == "operator"
    assert view["execution"]["created_at"].endswith("Z")
    assert view["variables"] == {"who": "you"}
    assert view["layers"] == [["greet"]]
    assert (view["event"], view["actions"][0]["status"]) == (None, "succeeded")
    journal = (await operator.get(f"{location}/journal")).json()
    kinds = [entry["kind"] for entry in journal["items"]]
    assert (kinds[0], kinds[-1], journal["next_after"]) == ("started", "finished", None)
    first = (await operator.get(f"{location}/journal", params={"limit": 1})).json()
    rest = (await operator.get(f"{location}/journal", params={"after": first["next_after"]})).json()
    assert first["items"] + rest["items"] == journal["items"]


async def test_wait_for_the_end(face: Face, admin: Any) -> None:
    await face.workflow()
    await face.workflow("slow", {"name": "rest", "action_type": "test.pause"})
    body = {"variables": {"who": "you"}}

    ended = await admin.post("/api/v1/workflows/hello/executions", params={"wait": 10}, json=body)
    going = await admin.post("/api/v1/workflows/slow/executions", params={"wait": 0.05})

    assert ended.status_code == 200
    assert ended.json()["status"] == "succeeded"
    assert ended.json()["actions"][0]["name"] == "greet"
    assert going.status_code == 202
    too_long = await admin.post("/api/v1/workflows/hello/executions", params={"wait": 61}, json=body)
    assert too_long.json()["problems"][0]["path"] == "query.wait"
    # A server that stops answers at once what waits.
    waiting = asyncio.ensure_future(admin.post("/api/v1/workflows/slow/executions", params={"wait": 60}))
    await asyncio.sleep(0.05)
    face.app.state.closing.set()
    assert (await waiting).status_code == 202
    for execution in (await face.engine.queries.executions(workflow="slow")).items:
        await face.engine.cancel(execution.id)


async def test_the_versions_of_a_workflow(face: Face, admin: Any) -> None:
    for value in ("old", "new", "old"):
        await face.workflow("hello", {"name": "greet", "action_type": "test.record", "parameters": {"value": value}})
    path = "/api/v1/workflows/hello/versions"

    items = (await admin.get(path)).json()["items"]
    # What was registered before is the same version again, and is in force now.
    assert [item["in_force"] for item in items] == [False, True]
    shown = [(await admin.get(f"{path}/{item['id'][:12]}")).json() for item in items]
    assert [each["definition"]["actions"][0]["parameters"]["value"] for each in shown] == ["new", "old"]
    assert [each["id"] for each in shown] == [item["id"] for item in items]
    execution = await face.engine.execute_workflow("hello")
    row = await face.engine.queries.execution(execution.execution_id)
    assert row.definition_id == items[1]["id"]
    assert (await admin.get(f"{path}/0000000")).status_code == 404
    assert (await admin.get(f"{path}/xyz")).status_code == 400
    assert (await admin.get("/api/v1/workflows/nosuch/versions")).status_code == 404


async def test_idempotent_starts(face: Face, admin: Any) -> None:
    await face.workflow()
    path = "/api/v1/workflows/hello/executions"
    you, me = {"variables": {"who": "you"}}, {"variables": {"who": "me"}}

    first = await admin.post(path, json={**you, "idempotency_key": "k"})
    again = await admin.post(path, json=you, headers={"Idempotency-Key": "k"})
    other = await admin.post(path, json=me, headers={"Idempotency-Key": "k"})
    torn = await admin.post(path, json={**you, "idempotency_key": "k"}, headers={"Idempotency-Key": "l"})

    assert first.json()["execution_id"] == again.json()["execution_id"]
    assert (first.status_code, first.json()["repeated"]) == (202, False)
    assert (again.status_code, again.json()["repeated"]) == (200, True)
    assert other.status_code == 409
    assert other.json()["type"] == "urn:automation:problem:duplicate-key"
    assert first.json()["execution_id"] in other.json()["detail"]
    assert torn.json()["problems"][0]["path"] == "idempotency_key"
    assert (await admin.post(path, json=you, headers={"Idempotency-Key": "k" * 201})).status_code == 400
    await face.engine.drain()
    assert [call for call in handlers.calls if call[0] == "greet"] == [("greet", "you")]


async def test_starts_that_are_refused(face: Face, admin: Any) -> None:
    await face.workflow(conditions=["who == 'you'"])
    path = "/api/v1/workflows/hello/executions"
    assert (await admin.post("/api/v1/workflows/none/executions", json={})).status_code == 404
    missing = await admin.post(path)
    assert missing.status_code == 400
    assert "who: is missing" in missing.json()["detail"]
    assert (await admin.post(path, json={"variables": {"who": "me"}})).status_code == 409
    assert (
        (await admin.post(path, json={"variabels": {}})).json()["problems"][0]["message"].startswith("unknown key; did")
    )
    assert (await admin.post(path, json=[])).json()["detail"] == "the body must be an object, not a list"
    assert (await admin.get("/api/v1/executions")).json()["items"] == []


async def test_dry_run_touches_nothing(face: Face, admin: Any) -> None:
    await face.workflow(
        "plan",
        {"name": "look", "action_type": "test.read", "parameters": {"value": "${who}"}},
        {"name": "act", **APPROVAL, "parameters": {"value": "${read}"}} | {"name": "act"},
    )
    path = "/api/v1/workflows/plan/executions"

    response = await admin.post(path, params={"dry_run": "true"}, json={"variables": {"who": "you"}})

    assert response.status_code == 200
    look, act = response.json()["steps"]
    assert (look["parameters"], look["unknown"], look["needs_approval"]) == ({"value": "you"}, [], False)
    assert (act["parameters"], act["unknown"], act["needs_approval"]) == ({"value": "${read}"}, ["read"], True)
    assert (await admin.post(path, params={"dry_run": "true"}, json={})).status_code == 400
    assert (await admin.get("/api/v1/executions")).json()["items"] == []
    assert handlers.calls == []


async def test_lists_are_paged_and_filtered(face: Face, admin: Any) -> None:
    await face.workflow()
    for who in range(5):
        await face.engine.execute_workflow("hello", ExecutionContext(variables={"who": who}))
    seen, cursor = [], None
    while True:
        page = (
            await admin.get("/api/v1/executions", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)
    for params, count in (({"status": "succeeded"}, 5), ({"status": "failed"}, 0), ({"workflow": "hello"}, 5)):
        assert len((await admin.get("/api/v1/executions", params=params)).json()["items"]) == count
    assert (await admin.get("/api/v1/executions", params={"cursor": "'; drop"})).status_code == 400


async def test_cancel(face: Face, admin: Any) -> None:
    await face.workflow("slow", {"name": "rest", "action_type": "test.pause"})
    execution_id = await face.engine.start_workflow("slow")

    response = await admin.post(f"/api/v1/executions/{execution_id}/cancel", json={"reason": "the wrong one"})

    assert response.status_code == 202
    await until(face, execution_id, WorkflowStatus.CANCELLED)
    error = (await admin.get(f"/api/v1/executions/{execution_id}")).json()["execution"]["error"]
    assert error["message"] == "the wrong one"
    assert (await admin.post(f"/api/v1/executions/{execution_id}/cancel")).status_code == 409
    for path in ("", "/journal"):
        assert (await admin.get(f"/api/v1/executions/none{path}")).status_code == 404
    for path in ("/cancel", "/decision"):
        assert (
            await admin.post(f"/api/v1/executions/none{path}", json={"approve": True} if "dec" in path else {})
        ).status_code == 404


async def test_approving_what_is_critical_needs_that_permission(face: Face, admin: Any) -> None:
    """Given a critical action that waits, then an operator may deny it but not approve it."""
    await face.workflow("risky", APPROVAL)
    operator = await face.as_role("automation_operator")
    ids = [await face.engine.start_workflow("risky") for _ in range(2)]
    for execution_id in ids:
        await until(face, execution_id, WorkflowStatus.WAITING)
    first, second = (f"/api/v1/executions/{execution_id}/decision" for execution_id in ids)
    yes = {"action": "danger", "approve": True, "reason": "looks right"}

    refused = await operator.post(first, json=yes)

    assert refused.status_code == 403
    assert "actions:execute_critical" in refused.json()["detail"]
    assert (await admin.post(first, json={**yes, "action": "none"})).status_code == 404
    assert (await admin.post(first, json={"approve": True})).status_code == 409
    assert (await admin.post(first, json={"action": "danger"})).status_code == 400
    assert (await admin.post(first, json=yes)).status_code == 202
    assert (await operator.post(second, json={**yes, "approve": False})).status_code == 202
    await face.engine.drain()
    assert await face.engine.get_workflow_status(ids[0]) is WorkflowStatus.SUCCEEDED
    assert await face.engine.get_workflow_status(ids[1]) is WorkflowStatus.FAILED
    assert (await admin.post(first, json=yes)).status_code == 409
    rows = (await face.engine.queries.audit(kind="workflow_execution")).items
    assert {(row.actor, row.act) for row in rows if row.act in ("approve", "deny")} == {
        ("admin", "approve"),
        ("operator", "deny"),
    }


async def test_approving_a_proposed_execution(config: AutomationConfig) -> None:
    """Given level manual, where triggers only propose, then an operator may approve what is not critical."""
    from contextlib import AsyncExitStack

    from automation import AutomationLevel, Event
    from automation.api.app import create_app

    manual = config.model_copy(update={"level": AutomationLevel.MANUAL})
    async with AutomationEngine(manual) as engine, AsyncExitStack() as stack:
        face = Face(engine, create_app(engine), stack)
        token = await engine.tokens.issue("operator", ["automation_operator"], expires_in=None, actor="test")
        operator = await face.client(token)
        record = {"name": "note", "action_type": "test.record"}
        await face.workflow("plain", record, conditions=["plain_event"])
        await face.workflow("risky", APPROVAL, conditions=["risky_event"])
        plain = (await engine.publish(Event(type="plain_event"))).executions[0]
        risky = (await engine.publish(Event(type="risky_event"))).executions[0]

        assert (await operator.post(f"/api/v1/executions/{risky}/decision", json={"approve": True})).status_code == 403
        denied = await operator.post(f"/api/v1/executions/{risky}/decision", json={"approve": False})
        approved = await operator.post(f"/api/v1/executions/{plain}/decision", json={"approve": True})

        assert (denied.status_code, approved.status_code) == (202, 202)
        await engine.drain()
        assert await engine.get_workflow_status(plain) is WorkflowStatus.SUCCEEDED
        assert await engine.get_workflow_status(risky) is WorkflowStatus.CANCELLED
