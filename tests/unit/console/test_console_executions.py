"""Executions in the console: lists, one in detail, and what people may ask of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, AutomationLevel, Event, ExecutionContext
from automation.console.app import application
from automation.model.execution import WorkflowStatus
from tests.unit.console.conftest import Elements, Site, until

PAUSE = {"name": "pause", "action_type": "test.pause"}


async def test_executions_are_filtered_and_paged(site: Site) -> None:
    await site.workflow()
    await site.workflow("other", {"name": "fail", "action_type": "test.fail"})
    for number in range(60):
        await site.engine.execute_workflow("hello", ExecutionContext(variables={"who": number}))
    await site.engine.execute_workflow("other")
    browser = await site.signed_in()

    first = Elements((await browser.get("/executions")).text)
    older = first.all("a", rel="next")[0]["href"]
    second = await browser.get(older)

    def rows(elements: Elements) -> list[Any]:
        return [a["href"] for a in elements.all("a") if (a.get("href") or "").startswith("/executions/0")]

    assert len(rows(first)) == 50
    assert len(rows(Elements(second.text))) == 11
    assert not set(rows(first)) & set(rows(Elements(second.text)))
    assert 'href="/executions"' in second.text
    assert "sse-connect" not in second.text
    assert len(rows(Elements((await browser.get("/executions?status=failed")).text))) == 1
    assert len(rows(Elements((await browser.get("/executions?workflow=other&status=succeeded")).text))) == 0
    assert (await browser.get("/executions?status=&workflow=")).status_code == 200
    wrong = await browser.get("/executions?status=done")
    assert wrong.status_code == 400
    assert "must be one of proposed" in wrong.text
    assert (await browser.get("/executions?colour=red")).status_code == 400


async def test_an_execution_shows_its_graph_its_actions_and_its_journal(site: Site) -> None:
    await site.workflow(
        "fork",
        {"name": "start", "action_type": "test.record", "parameters": {"values": {"n": 7}}},
        {"name": "left", "action_type": "test.record", "depends_on": ["start"], "parameters": {"value": "${n}"}},
        {"name": "right", "action_type": "test.fail", "depends_on": ["start"], "on_failure": "continue"},
    )
    result = await site.engine.execute_workflow("fork", ExecutionContext(variables={"a": 1}, actor="bob"))
    browser = await site.signed_in()

    text = (await browser.get(f"/executions/{result.execution_id}")).text

    for expected in (
        "bob",
        "start",
        "left",
        "right",
        "test.record",
        "Refused: it will not work",
        "&#34;n&#34;: 7",
        "finished",
    ):
        assert expected in text
    assert text.count('role="img"') == 2
    assert "sse-connect" not in text
    assert ">Cancel<" not in text


async def test_a_refresh_brings_only_what_changes_and_ends_with_the_execution(site: Site) -> None:
    await site.workflow("slow", PAUSE)
    execution = await site.engine.start_workflow("slow")
    browser, path = await site.signed_in(), f"/executions/{execution}"
    page = await browser.get(path)
    assert f'sse-connect="/console/stream?kinds=execution&amp;id={execution}"' in page.text

    refresh = await browser.get(path, headers={"hx-request": "true"})
    assert refresh.status_code == 200
    assert "<html" not in refresh.text
    assert "running" in refresh.text

    await site.engine.cancel(execution)
    await until(site, execution, WorkflowStatus.CANCELLED)
    last = await browser.get(path, headers={"hx-request": "true"})
    assert last.status_code == 286
    assert "cancelled" in last.text


async def test_cancelling_asks_first_and_keeps_the_reason(site: Site) -> None:
    await site.workflow("slow", PAUSE)
    execution = await site.engine.start_workflow("slow")
    browser, path = await site.signed_in(), f"/executions/{execution}"
    assert f'href="{path}/cancel"' in (await browser.get(path)).text
    assert "Cancel slow?" in (await browser.get(f"{path}/cancel")).text

    answer = await browser.post(f"{path}/cancel", data={"reason": "the wrong one"})

    assert answer.headers["location"] == path
    await until(site, execution, WorkflowStatus.CANCELLED)
    assert "the wrong one" in (await browser.get(path)).text
    again = await browser.post(f"{path}/cancel")
    assert again.status_code == 409
    assert "already ended" in again.text
    assert "already ended" in (await browser.get(f"{path}/cancel")).text


async def waiting(site: Site) -> str:
    await site.workflow(
        "risky", {"name": "drop", "action_type": "test.critical", "parameters": {"value": "table ${t}"}}
    )
    execution = await site.engine.start_workflow("risky", ExecutionContext(variables={"t": "users"}))
    await until(site, execution, WorkflowStatus.WAITING)
    return execution


@pytest.mark.parametrize(
    ("agreed", "ended"), [("true", WorkflowStatus.SUCCEEDED), ("false", WorkflowStatus.FAILED)], ids=["approve", "deny"]
)
async def test_a_person_decides_on_an_action_that_waits(site: Site, agreed: str, ended: WorkflowStatus) -> None:
    execution = await waiting(site)
    browser, path = await site.signed_in(), f"/executions/{execution}"
    assert f'href="{path}/decision?action=drop"' in (await browser.get(path)).text
    review = (await browser.get(f"{path}/decision?action=drop")).text
    assert "Critical." in review
    assert "table ${t}" in review

    form = {"action": "drop", "agreed": agreed, "reason": "four eyes"}
    assert (await browser.post(f"{path}/decision", data=form)).headers["location"] == path

    await until(site, execution, ended)
    assert "four eyes" in (await browser.get(path)).text
    assert (await browser.post(f"{path}/decision", data=form)).status_code == 409
    assert (await browser.get(f"{path}/decision?action=drop")).status_code == 409


async def test_critical_actions_are_approved_only_with_the_permission(site: Site) -> None:
    execution = await waiting(site)
    browser, path = await site.signed_in("automation_operator"), f"/executions/{execution}"

    review = (await browser.get(f"{path}/decision?action=drop")).text
    assert 'value="true"' not in review
    assert "actions:execute_critical" in review
    answer = await browser.post(f"{path}/decision", data={"action": "drop", "agreed": "true"})
    assert answer.status_code == 403
    assert await site.engine.get_workflow_status(execution) is WorkflowStatus.WAITING

    assert (await browser.post(f"{path}/decision", data={"action": "drop", "agreed": "false"})).status_code == 303
    await until(site, execution, WorkflowStatus.FAILED)


async def test_there_is_nothing_to_decide_where_nothing_waits(site: Site) -> None:
    execution = await waiting(site)
    browser, path = await site.signed_in(), f"/executions/{execution}"
    assert (await browser.get(f"{path}/decision")).status_code == 409
    assert (await browser.get(f"{path}/decision?action=other")).status_code == 404
    assert (await browser.post(f"{path}/decision", data={"agreed": "perhaps"})).status_code == 400
    assert (await browser.get("/executions/unknown/decision")).status_code == 404


async def test_a_proposed_execution_is_reviewed_as_a_whole(config: AutomationConfig) -> None:
    manual = config.model_copy(update={"level": AutomationLevel.MANUAL})
    async with AutomationEngine(manual) as engine, AsyncExitStack() as stack:
        site = Site(engine, application(engine), stack)
        await site.workflow(triggers=[{"type": "event", "event": "ping"}])
        receipt = await engine.publish(Event(type="ping", data={"who": "me"}))
        browser, path = await site.signed_in(), f"/executions/{receipt.executions[0]}"
        assert "proposed" in (await browser.get("/")).text
        page = (await browser.get(path)).text
        assert "<strong>The whole execution</strong> waits for approval" in page
        assert f'href="{path}/decision"' in page
        assert "Approve this execution?" in (await browser.get(f"{path}/decision")).text

        await browser.post(f"{path}/decision", data={"agreed": "true"})

        await until(site, receipt.executions[0], WorkflowStatus.SUCCEEDED)


async def test_a_viewer_sees_and_changes_nothing(site: Site) -> None:
    execution = await waiting(site)
    browser = await site.signed_in("automation_viewer")
    page = (await browser.get(f"/executions/{execution}")).text
    assert ">Cancel<" not in page
    assert ">Review<" not in page
    assert 'action="/workflows/risky/start"' not in (await browser.get("/workflows/risky")).text
    for path, form in (
        (f"/executions/{execution}/cancel", {}),
        (f"/executions/{execution}/decision", {"action": "drop", "agreed": "true"}),
        ("/workflows/risky/start", {"variables": "{}"}),
    ):
        assert (await browser.post(path, data=form)).status_code == 403, path
    for path in (f"/executions/{execution}/cancel", f"/executions/{execution}/decision?action=drop"):
        assert (await browser.get(path)).status_code == 403, path


async def test_a_large_value_is_a_link_to_a_file(config: AutomationConfig) -> None:
    text = "<b>" + "x" * 5000
    config = config.model_copy(update={"store": config.store.model_copy(update={"inline_bytes": 1024})})
    keep = {"name": "keep", "action_type": "test.record", "parameters": {"values": {"log": "${log}"}}}
    async with AutomationEngine(config) as engine, AsyncExitStack() as stack:
        site = Site(engine, application(engine), stack)
        await site.workflow("w", keep)
        result = await engine.execute_workflow("w", ExecutionContext({"log": text}))
        browser = await site.signed_in("automation_viewer")

        page = await browser.get(f"/executions/{result.execution_id}")
        links = [a for a in Elements(page.text).all("a") if "/values/" in (a.get("href") or "")]
        answer = await browser.get(links[0]["href"])

        assert text not in page.text
        assert len({link["href"] for link in links}) == 1
        assert "Download 5 kB" in page.text
        assert answer.json() == text
        assert answer.headers["content-disposition"] == f'attachment; filename="{links[0]["download"]}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await browser.get(f"/executions/{result.execution_id}/values/none")).status_code == 404
        assert (await (await site.browser()).get(links[0]["href"])).status_code == 303
