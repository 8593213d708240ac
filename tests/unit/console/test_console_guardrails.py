"""Guardrails in the console: the banner, the button, the page."""

from __future__ import annotations

from typing import Any

import pytest

from automation.model.guardrail import FreezeWindow
from tests.support import guarded
from tests.unit.console.conftest import Elements, Site

EVIL = "<script>alert(1)</script>"
RESTART = {"name": "a", "action_type": "guarded.restart", "parameters": {"service_name": "api"}}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    guarded.done.clear()


async def test_everything_is_stopped_by_a_button_and_the_overview_says_why(site: Site) -> None:
    operator = await site.signed_in("automation_operator")
    before = (await operator.get("/")).text
    assert 'href="/guardrails/stop"' in before
    assert "All changes are stopped" not in before

    asked = (await operator.get("/guardrails/stop")).text
    assert "Stop all changes?" in asked
    answer = await operator.post("/guardrails/stop", data={"reason": f"incident 7 {EVIL}"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    text = (await operator.get("/")).text
    assert "<strong>All changes are stopped</strong> by ada" in text
    assert "incident 7 &lt;script&gt;" in text
    assert EVIL not in text
    assert 'action="/guardrails/release"' in text
    released = await operator.post("/guardrails/release")
    assert released.status_code == 303
    assert site.engine.guardrails.stopped is None


async def test_a_viewer_sees_the_stop_and_no_button(site: Site) -> None:
    await site.engine.guardrails.stop("incident 7", actor="ann")
    viewer = await site.signed_in("automation_viewer")

    for path in ("/", "/guardrails"):
        text = (await viewer.get(path)).text
        assert "All changes are stopped" in text
        assert "<form" not in text.partition("<main")[2]
    assert (await viewer.post("/guardrails/release")).status_code == 403
    assert (await viewer.get("/guardrails/stop")).status_code == 403
    assert site.engine.guardrails.stopped is not None


async def test_the_page_tells_what_is_frozen_open_held_and_was_refused(site: Site) -> None:
    window = {"name": "launch", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z", "reason": EVIL}
    await site.workflow("waits", {**RESTART, "on_guardrail": "wait", "parameters": {"service_name": EVIL}})
    failing = {"parameters": {"times": 9}, "retry": {"attempts": 5, "initial_seconds": 0.001}}
    await site.workflow("failing", {**RESTART, **failing})
    await site.engine.execute_workflow("failing")
    await site.engine.guardrails.freeze(FreezeWindow.model_validate(window), actor="ann")
    execution_id = await site.engine.start_workflow("waits")
    await site.engine.drain(10)
    admin = await site.signed_in()

    text = (await admin.get("/guardrails")).text

    assert EVIL not in text
    assert "launch" in text
    assert "in force" in text
    assert f"/executions/{execution_id}" in text
    assert "guarded.restart" in text
    assert "5 failures in a row" in text
    assert "guardrail freeze: launch" in text
    assert len(Elements(text).all("h1")) == 1
    assert (await admin.get("/")).text.count("1 circuit open") == 1
    await admin.post("/guardrails/thaw", data={"name": "launch"})
    assert "There is no freeze window." in (await admin.get("/guardrails")).text


async def test_a_change_of_the_guardrails_refreshes_who_looks(site: Site) -> None:
    with site.engine.changes.watch() as watch:
        await site.engine.guardrails.stop("now")
        changes: list[Any] = await watch.next(5)

    assert [(change.kind, change.id) for change in changes] == [("guardrails", "stop")]
