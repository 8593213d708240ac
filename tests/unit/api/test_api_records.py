"""Alerts, audit, tokens, services, health and live changes over REST."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI

from automation import AutomationConfig, AutomationEngine, Event, ServiceDefinition
from automation.api.app import create_app
from automation.api.routes import changes as changes_route
from automation.api.routes.alerts import EXAMPLE
from automation.telemetry.changes import Changes

from .conftest import Face


async def test_alerts_are_listed_read_and_acknowledged(face: Face, admin: Any) -> None:
    """Given a rule of ours that fires, then an operator sees it and takes care of it."""
    rule = {"name": "cpu", "condition": "cpu_usage > 80", "severity": "high"}
    assert (await admin.post("/api/v1/alert-rules", json=rule)).status_code == 201
    await face.engine.observe("cpu_usage", 91.5, subject="api")
    operator = await face.as_role("automation_operator")

    listed = (await operator.get("/api/v1/alerts", params={"state": "firing"})).json()["items"]
    path = f"/api/v1/alerts/{listed[0]['fingerprint']}"
    taken = await operator.post(f"{path}/acknowledge")

    assert (listed[0]["name"], listed[0]["subject"], listed[0]["value"]) == ("cpu", "api", 91.5)
    assert listed[0]["fired_at"].endswith("Z")
    assert taken.json()["state"] == "acknowledged"
    assert taken.json()["reason"] == "acknowledged by operator"
    assert (await operator.get(path)).json()["state"] == "acknowledged"
    assert (await operator.post(f"{path}/acknowledge")).status_code == 409
    assert (await operator.post("/api/v1/alerts/none/acknowledge")).status_code == 404
    assert (await operator.get("/api/v1/alerts/none")).status_code == 404
    assert (await operator.get("/api/v1/alerts", params={"state": "burning"})).status_code == 400
    assert (await operator.get("/api/v1/alerts", params={"state": "firing"})).json()["items"] == []


async def test_alert_rules(face: Face, admin: Any) -> None:
    assert (await admin.post("/api/v1/alert-rules", json=EXAMPLE)).status_code == 201
    assert (await admin.post("/api/v1/alert-rules", json=EXAMPLE)).status_code == 200
    listed = (await admin.get("/api/v1/alert-rules")).json()["items"]
    assert [(rule["name"], rule["cooldown_period"]) for rule in listed] == [("high_cpu_usage", 600.0)]
    assert (await admin.get("/api/v1/workflows/high_cpu_usage")).status_code == 200
    for wrong in ({**EXAMPLE, "condition": "x >"}, {**EXAMPLE, "name": "b", "actions": [{"type": "nothing"}]}, {}):
        assert (await admin.post("/api/v1/alert-rules", json=wrong)).status_code == 400
    await face.workflow("taken")
    taken = await admin.post("/api/v1/alert-rules", json={**EXAMPLE, "name": "taken"})
    assert taken.json()["problems"][0]["path"] == "name"
    rows = (await face.engine.queries.audit(kind="configuration_change")).items
    assert ("admin", "alert.register", "high_cpu_usage") in [(row.actor, row.act, row.subject) for row in rows]


async def test_tokens_are_shown_once(face: Face, admin: Any) -> None:
    """Given a token that an administrator issues, then it works, and only its facts are seen again."""
    order = {"name": "alertmanager", "roles": ["automation_source"], "expires_in": 3600}

    issued = await admin.post("/api/v1/tokens", json=order)

    assert issued.status_code == 201
    assert issued.headers["cache-control"] == "no-store"
    text, info = issued.json()["token"], issued.json()["info"]
    assert (info["name"], info["roles"], info["revoked_at"]) == ("alertmanager", ["automation_source"], None)
    client = await face.client(text)
    assert (await client.post("/api/v1/events", json={"type": "x"})).status_code == 202
    listed = await admin.get("/api/v1/tokens")
    assert info in listed.json()["items"]
    assert text not in listed.text
    assert "hash" not in listed.text
    for wrong in ({}, {**order, "roles": []}, {**order, "roles": ["king"]}, {**order, "expires_in": 0}):
        assert (await admin.post("/api/v1/tokens", json=wrong)).status_code == 400


async def test_audit(face: Face, admin: Any) -> None:
    page = (await admin.get("/api/v1/audit", params={"limit": 2})).json()
    rest = (await admin.get("/api/v1/audit", params={"cursor": page["next_cursor"]})).json()
    assert [row["act"] for row in page["items"] + rest["items"]] == ["token.issue"] * 4
    assert (await admin.get("/api/v1/audit/verify")).json() == {"valid": True, "rows": 4, "problems": []}
    assert (await admin.get("/api/v1/audit", params={"kind": "data_access"})).json()["items"] == []
    assert (await admin.get("/api/v1/audit", params={"kind": "gossip"})).status_code == 400


async def test_notifications(face: Face, admin: Any) -> None:
    assert (await admin.get("/api/v1/notifications", params={"limit": 5})).json() == {"items": []}
    assert (await admin.get("/api/v1/notifications", params={"limit": 1001})).status_code == 400


async def test_services(face: Face, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    face.engine.catalogue.add_service(
        ServiceDefinition(name="api", platform="process", settings={"command": ["sleep", "60"]})
    )
    listed = (await admin.get("/api/v1/services")).json()["items"]
    assert listed[0]["definition"]["name"] == "api"
    assert (listed[0]["replicas"], listed[0]["availability_percent"], listed[0]["error"]) == ([], None, None)
    assert (await admin.get("/api/v1/services/api")).json() == listed[0]
    assert (await admin.get("/api/v1/services/none")).status_code == 404

    async def fail(service: ServiceDefinition) -> None:
        raise OSError("no such folder")

    platform = face.engine.services.platform(face.engine.services.get("api"))
    monkeypatch.setattr(platform, "replicas", fail)
    assert (await admin.get("/api/v1/services/api")).json()["error"] == "no such folder"


async def test_readiness(config: AutomationConfig) -> None:
    """Given an engine, then it is ready only between its start and its stop, and alive all the time."""
    import httpx2

    engine = AutomationEngine(config)
    app: FastAPI = create_app(engine)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://engine") as client:

        async def ready() -> int:
            return int((await client.get("/readyz")).status_code)

        before = await client.get("/-/ready")
        assert (before.status_code, before.json()["status"]) == (503, "not ready")
        assert before.json()["reasons"] == ["the engine is not started"]
        assert (await client.post("/webhooks/test")).status_code == 503
        async with engine:
            async with asyncio.timeout(20):
                while await ready() != 200:
                    await asyncio.sleep(0.01)
        assert await ready() == 503
        assert (await client.get("/healthz")).json() == {"status": "ok", "reasons": []}
        assert (await client.head("/healthz")).status_code == 200


async def test_metrics_are_prometheus_text(face: Face, admin: Any) -> None:
    response = await admin.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "# TYPE automation_requests_refused_total counter" in response.text


async def read(stream: Any, count: int) -> list[tuple[str, dict[str, str]]]:
    """So many changes from a stream of server-sent events."""
    found: list[tuple[str, dict[str, str]]] = []
    async with asyncio.timeout(20):
        async for part in stream:
            for block in part.decode().split("\n\n"):
                lines = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
                if "data" in lines:
                    found.append((lines["event"], json.loads(lines["data"])))
            if len(found) >= count:
                break
    return found


async def test_changes_are_streamed(face: Face) -> None:
    """Given a watcher, then it learns of each change, or of those of one execution, and is gone when it leaves."""
    closing = asyncio.Event()
    await face.workflow("note", {"name": "note", "action_type": "test.record"}, conditions=["x"])
    every = changes_route._stream(face.engine.changes, None, closing)
    assert b"retry: 2000" in await anext(every)
    receipt = await face.engine.publish(Event(type="x", id="e-1"))
    one = changes_route._stream(face.engine.changes, receipt.executions[0], closing)
    await anext(one)
    await face.engine.drain()

    kinds = {(kind, change["id"]) for kind, change in await read(every, 2)}
    ended = await read(one, 1)

    assert kinds == {("event", "e-1"), ("execution", receipt.executions[0])}
    assert ended[-1][1] == {"kind": "execution", "id": receipt.executions[0], "status": "succeeded"}
    await every.aclose()
    await one.aclose()
    assert not face.engine.changes


async def test_a_quiet_stream_beats_and_ends_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_route, "HEARTBEAT_SECONDS", 0.01)
    closing, changes = asyncio.Event(), Changes()
    stream = changes_route._stream(changes, None, closing)
    await anext(stream)
    assert await anext(stream) == b": ping\n\n"
    monkeypatch.setattr(changes_route, "HEARTBEAT_SECONDS", 60.0)
    asyncio.get_running_loop().call_later(0.02, closing.set)
    async with asyncio.timeout(20):
        assert [part async for part in stream] == []
    assert not changes


async def test_an_alert_rule_says_why_it_fires_or_not(face: Face, admin: Any) -> None:
    await admin.post("/api/v1/alert-rules", json={"name": "cpu", "condition": "cpu_usage > 80 OR avg(load, 5m) > 3"})
    await face.engine.observe("cpu_usage", 91.5, subject="api")
    await face.engine.observe("cpu_usage", 1.5, subject="db")
    viewer = await face.as_role("automation_viewer")

    found = (await viewer.get("/api/v1/alert-rules/cpu")).json()

    assert found["rule"]["condition"] == "cpu_usage > 80 OR avg(load, 5m) > 3"
    assert [(each["subject"], each["state"], each["holds"]) for each in found["series"]] == [
        ("api", "firing", True),
        ("db", "inactive", None),
    ]
    assert found["series"][0]["since"].endswith("Z")
    values = [(value["depth"], value["expression"], value["value"]) for value in found["series"][1]["values"]]
    assert values[:3] == [
        (0, "cpu_usage > 80 OR avg(load, 5m) > 3", "unknown"),
        (1, "cpu_usage > 80", "false"),
        (2, "cpu_usage", "1.5"),
    ]
    assert values[-1][2].startswith("unknown (only the last")
    assert (await viewer.get("/api/v1/alert-rules/nosuch")).status_code == 404
