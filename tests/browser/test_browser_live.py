"""What changes is seen without a reload, and nothing that a person has opened or typed is lost by it."""

from __future__ import annotations

import asyncio

from playwright.async_api import Page, expect

from automation import Event, ExecutionContext
from automation.api.server import Server
from automation.config import Api
from automation.model.execution import WorkflowStatus
from tests.browser.conftest import PATIENCE, Site

expect.set_options(timeout=PATIENCE)

STEPS = (
    {"name": "first", "action_type": "test.record", "parameters": {"values": {"answer": 42}}},
    {"name": "second", "action_type": "test.pause", "parameters": {"seconds": 1.5}},
    {"name": "third", "action_type": "test.pause", "parameters": {"seconds": 1.5}},
)


async def mark(page: Page) -> None:
    """Leave something that a reload would take away."""
    await page.evaluate("window.marked = true")


async def marked(page: Page) -> bool:
    return bool(await page.evaluate("window.marked === true"))


async def test_a_workflow_is_started_and_its_graph_followed_to_the_end(site: Site) -> None:
    await site.workflow("slow", *STEPS, inputs={"who": {"default": "you"}})
    page = await site.page()
    await page.get_by_role("link", name="Workflows").first.click()
    await page.get_by_role("link", name="slow").click()
    await page.get_by_role("button", name="Start").click()
    await page.wait_for_url("**/executions/*")
    await mark(page)

    drawing = page.locator("svg.wide")
    await expect(drawing.locator(".node.busy .name")).to_have_text("second")
    await expect(page.locator("#live-sign")).to_have_text("Live")
    await page.locator("#outcome-first").get_by_text("Output").click()
    await expect(page.get_by_label("Output")).to_contain_text('"answer": 42')
    await expect(drawing.locator(".node.busy .name")).to_have_text("third")
    await expect(drawing.locator(".node.good")).to_have_count(2)

    await expect(page.locator("#status")).to_have_text("succeeded")
    await expect(drawing.locator(".node.good")).to_have_count(3)
    await expect(page.locator("#live-sign")).to_be_empty()
    await expect(page.get_by_label("Output").first).to_contain_text('"answer": 42')
    await expect(page.get_by_role("link", name="Cancel")).to_have_count(0)
    assert await marked(page)
    await asyncio.sleep(0.3)
    assert not site.engine.changes, "a page of what has ended watches nothing"


async def test_an_execution_is_cancelled(site: Site) -> None:
    await site.workflow("slow", *STEPS[:1], {"name": "long", "action_type": "test.pause"})
    execution = await site.engine.start_workflow("slow")
    page = await site.page()
    await page.goto(f"/executions/{execution}")
    await page.get_by_role("link", name="Cancel").click()
    await page.get_by_label("Reason").fill("the wrong one")
    await page.get_by_role("button", name="Cancel the execution").click()
    await expect(page.locator("#status")).to_have_text("cancelled")
    await expect(page.get_by_text("the wrong one").first).to_be_visible()


async def test_an_action_is_approved_while_another_page_watches(site: Site) -> None:
    await site.workflow("risky", {"name": "drop", "action_type": "test.critical"})
    execution = await site.engine.start_workflow("risky")
    page = await site.page()
    await page.goto(f"/executions/{execution}")
    await expect(page.locator("#status")).to_have_text("waiting")
    other = await page.context.new_page()
    await other.goto(f"/executions/{execution}")
    await mark(other)

    await page.get_by_role("link", name="Review").click()
    await page.get_by_role("button", name="Approve").click()

    await expect(page.locator("#status")).to_have_text("succeeded")
    await expect(other.locator("#status")).to_have_text("succeeded")
    assert await marked(other)


async def test_the_overview_and_the_lists_follow(site: Site) -> None:
    await site.workflow("greet", *STEPS[:1], triggers=[{"type": "event", "event": "ping"}])
    overview = await site.page()
    await expect(overview.get_by_text("Nothing has run yet")).to_be_visible()
    executions, events, alerts, workflows = [await overview.context.new_page() for _ in range(4)]
    await executions.goto("/executions")
    await events.goto("/events")
    await alerts.goto("/alerts")
    await workflows.goto("/workflows")
    for page in (overview, executions, events, alerts, workflows):
        await expect(page.locator("#live-sign")).to_have_text("Live")
        await mark(page)
    site.engine.register_alert_workflow({"name": "hot", "condition": "heat > 1"})

    await site.engine.publish(Event(type="ping", subject="bell"))
    await site.engine.observe("heat", 5)
    await site.workflow("later", *STEPS[:1])

    await expect(overview.get_by_role("link", name="greet").first).to_be_visible()
    await expect(overview.get_by_role("cell", name="hot")).to_be_visible()
    await expect(executions.get_by_text("succeeded", exact=True).last).to_be_visible()
    await expect(events.get_by_role("cell", name="bell")).to_be_visible()
    await expect(alerts.get_by_role("rowheader", name="hot")).to_be_visible()
    await expect(workflows.get_by_role("link", name="later")).to_be_visible()
    for page in (overview, executions, events, alerts, workflows):
        assert await marked(page)


async def test_a_refresh_keeps_the_focus_and_what_is_chosen(site: Site) -> None:
    await site.workflow("greet", *STEPS[:1])
    page = await site.page()
    await page.goto("/events")
    await expect(page.locator("#live-sign")).to_have_text("Live")
    await page.get_by_label("Type").fill("half a wor")
    await site.engine.publish(Event(type="ping", subject="bell"))
    await expect(page.get_by_role("cell", name="bell")).to_be_visible()
    await expect(page.get_by_label("Type")).to_be_focused()
    await expect(page.get_by_label("Type")).to_have_value("half a wor")


async def test_a_page_that_nobody_looks_at_lets_go_and_catches_up(site: Site) -> None:
    page = await site.page()
    await expect(page.locator("#live-sign")).to_have_text("Live")
    look = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    look += " document.dispatchEvent(new Event('visibilitychange')); }"

    await page.evaluate(look, True)
    async with asyncio.timeout(10):
        while site.engine.changes:
            await asyncio.sleep(0.05)
    await site.engine.publish(Event(type="unseen"))
    await page.evaluate(look, False)

    await expect(page.get_by_role("link", name="unseen")).to_be_visible()


async def test_a_server_that_went_away_is_told_and_found_again(site: Site) -> None:
    page = await site.page()
    await expect(page.locator("#live-sign")).to_have_text("Live")
    port = site.server.port

    async with asyncio.timeout(20):
        await site.server.stop()
    await expect(page.locator("#live-sign")).to_have_text("Reconnecting")
    await site.engine.publish(Event(type="meanwhile"))
    site.engine.config = site.engine.config.model_copy(update={"api": Api(port=port)})
    site.server = Server(site.engine, site.app)
    await site.server.start()

    await expect(page.get_by_role("link", name="meanwhile")).to_be_visible()
    await expect(page.locator("#live-sign")).to_have_text("Live")
    await site.server.stop()
    # That the connection was lost is in the browser's console, and rightly so.
    site.complaints[:] = [text for text in site.complaints if "net::ERR" not in text and "Event" not in text]


async def test_a_page_whose_session_has_ended_leads_to_the_door(site: Site) -> None:
    await site.workflow("slow", {"name": "long", "action_type": "test.pause"})
    execution = await site.engine.start_workflow("slow", ExecutionContext())
    page = await site.page()
    await page.goto(f"/executions/{execution}")
    await expect(page.locator("#live-sign")).to_have_text("Live")
    for session in await site.engine.tokens.list("session"):
        await site.engine.tokens.revoke(session.id, "local")

    await page.wait_for_url("**/login?next=*")
    await page.get_by_label("Token").fill(await site.token(name="bob"))
    await page.get_by_role("button", name="Sign in").click()

    await page.wait_for_url(f"**/executions/{execution}")
    await site.engine.cancel(execution)
    assert await site.engine.wait_for(execution)
    assert await site.engine.get_workflow_status(execution) is WorkflowStatus.CANCELLED
    site.complaints[:] = [text for text in site.complaints if "401" not in text]
