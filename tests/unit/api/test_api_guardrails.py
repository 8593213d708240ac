"""Guardrails over REST."""

from __future__ import annotations

from typing import Any

import pytest

from automation import AutomationConfig
from automation.clock import parse_iso
from tests.support import guarded
from tests.unit.api.conftest import Face

WINDOW = {"name": "launch", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z", "reason": "launch"}
RESTART = {"name": "a", "action_type": "guarded.restart", "parameters": {"service_name": "api"}}


@pytest.fixture
def config(config: AutomationConfig) -> AutomationConfig:
    guarded.done.clear()
    return AutomationConfig(**{**config.model_dump(), "level": "autonomous", "guardrails": {"cooldown_seconds": 600}})


async def started(client: Any, name: str = "w") -> dict[str, Any]:
    answer = await client.post(f"/api/v1/workflows/{name}/executions?wait=10", json={})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_everything_is_stopped_and_released(face: Face) -> None:
    await face.workflow("w", RESTART)
    operator, viewer = await face.as_role("automation_operator"), await face.as_role("automation_viewer")

    stopped = await operator.post("/api/v1/guardrails/stop", json={"reason": "incident 7"})
    refused = await started(operator)
    seen = (await viewer.get("/api/v1/guardrails")).json()

    assert stopped.status_code == 200
    assert seen["stop"] == stopped.json()["stop"]
    assert (seen["stop"]["reason"], seen["stop"]["actor"]) == ("incident 7", "operator")
    assert parse_iso(seen["stop"]["since"]) == pytest.approx(face.engine.clock.now(), abs=30)
    assert seen["limits"]["cooldown_seconds"] == 600
    assert refused["status"] == "failed"
    assert "GuardrailRefused: guardrail stop: all changes are stopped: incident 7" in refused["error"]
    released = await operator.post("/api/v1/guardrails/release")
    assert released.json()["stop"] is None
    assert (await started(operator))["status"] == "succeeded"
    again = await operator.post("/api/v1/guardrails/release", json={})
    assert (again.status_code, again.json()["detail"]) == (409, "nothing is stopped")


async def test_who_may_only_look_may_not_hold(face: Face) -> None:
    viewer = await face.as_role("automation_viewer")

    for method, path in (
        ("POST", "stop"),
        ("POST", "release"),
        ("POST", "freezes"),
        ("DELETE", "freezes/launch"),
    ):
        assert (await viewer.request(method, f"/api/v1/guardrails/{path}")).status_code == 403
    assert face.engine.guardrails.stopped is None


async def test_a_freeze_window_comes_and_goes(face: Face, admin: Any) -> None:
    await face.workflow("w", RESTART)

    put = await admin.post("/api/v1/guardrails/freezes", json=WINDOW)
    assert put.status_code == 201
    [view] = put.json()["freezes"]
    assert view["window"]["name"] == "launch"
    assert (view["origin"], view["until"], view["begins_at"]) == ("admin", "2999-01-01T00:00:00.000Z", None)
    assert (await admin.post("/api/v1/guardrails/freezes", json=WINDOW)).status_code == 409
    assert "guardrail freeze: launch is in force" in (await started(admin))["error"]

    taken = await admin.delete("/api/v1/guardrails/freezes/launch")
    assert taken.json()["freezes"] == []
    assert (await admin.delete("/api/v1/guardrails/freezes/launch")).status_code == 404


async def test_a_window_that_makes_no_sense_is_refused_with_its_problem(admin: Any) -> None:
    answer = await admin.post("/api/v1/guardrails/freezes", json={"name": "x", "cron": "0 1 * * *"})

    assert answer.status_code == 400
    assert "needs either starts_at and ends_at, or cron and duration_seconds" in answer.text


async def test_what_waits_and_what_is_open_is_told(face: Face, admin: Any) -> None:
    await face.workflow("w", {**RESTART, "on_guardrail": "wait"})
    failing = {"parameters": {"service_name": "web", "times": 9}, "retry": {"attempts": 5, "initial_seconds": 0.001}}
    await face.workflow("failing", {**RESTART, **failing}, guardrails={})
    await started(admin)
    waiting = (await admin.post("/api/v1/workflows/w/executions", json={})).json()["execution_id"]
    await started(admin, "failing")

    seen = (await admin.get("/api/v1/guardrails")).json()

    [held] = seen["held"]
    assert (held["execution_id"], held["action"], held["guardrail"]) == (waiting, "a", "cooldown")
    [circuit] = seen["breakers"]
    assert (circuit["operation"], circuit["target"], circuit["state"]) == ("guarded.restart", "web", "open")
    assert circuit["error"] == "TryLater: not yet"


async def test_a_dry_run_says_what_would_be_held_back(face: Face, admin: Any) -> None:
    await face.workflow("w", RESTART, {"name": "look", "action_type": "guarded.look"})
    before = (await admin.post("/api/v1/workflows/w/executions?dry_run=true", json={})).json()
    await started(admin)

    after = (await admin.post("/api/v1/workflows/w/executions?dry_run=true", json={})).json()

    assert [step["held_by"] for step in before["steps"]] == [None, None]
    restart, look = after["steps"]
    assert restart["held_by"].startswith("guardrail cooldown: guarded.restart acted on api 0 s ago")
    assert (restart["on_guardrail"], look["held_by"]) == ("fail", None)
