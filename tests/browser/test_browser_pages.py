"""Pages in a browser: keyboard, themes, narrow windows, no script, no violation of any rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from automation import Event, ExecutionContext, ServiceDefinition
from automation.definitions import Definitions
from automation.model.guardrail import FreezeWindow
from automation.model.schedule import SourceDefinition
from tests.browser.conftest import PATIENCE, Site

expect.set_options(timeout=PATIENCE)

AXE = (Path(__file__).parent / "axe.min.js").read_text()
EVIL = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>"
PHONE = {"viewport": {"width": 360, "height": 740}}
LONG = "a_name_without_any_place_to_break_it_" * 4


async def fill(site: Site) -> dict[str, str]:
    """Something on every page; the addresses of all pages that need a session."""
    definition = SourceDefinition(name=LONG, type="file", settings={"path": "/"})
    await site.engine.apply(Definitions(sources=(definition,)))
    await site.workflow(
        "everything",
        {"name": "look", "action_type": "test.read", "depends_on": [], "description": EVIL},
        {"name": "fail", "action_type": "test.fail", "depends_on": [], "on_failure": "continue"},
        {
            "name": LONG,
            "action_type": "test.record",
            "depends_on": ["look", "fail"],
            "parameters": {"values": {EVIL: LONG}},
        },
        {"name": "skip", "action_type": "test.record", "conditions": ["1 > 2"]},
        {"name": "ask", "action_type": "test.critical", "parameters": {"value": EVIL}},
        description=EVIL,
        inputs={"who": {"type": "string", "required": True, "description": EVIL}, "n": {"default": 3}},
        triggers=[{"type": "event", "event": "ping", "condition": "n > 1"}],
    )
    await site.workflow(
        "held", {"name": "look", "action_type": "test.read"}, enabled=False, triggers=[{"type": "event", "event": EVIL}]
    )
    await site.workflow(
        "broken",
        {"name": "fail", "action_type": "test.fail", "parameters": {"times": 1, "how": EVIL}, "retry_attempts": 1},
    )
    await site.workflow(LONG[:100], {"name": "look", "action_type": "test.read"})
    site.engine.register_alert_workflow(
        {"name": "hot", "condition": "heat > 1", "severity": "critical", "labels": {"team": LONG}}
    )
    site.engine.catalogue.add_service(ServiceDefinition(name="playback", settings={"command": ["sleep", "1"]}))
    for event in (EVIL, LONG, "ping"):
        await site.engine.publish(
            Event(type=event, subject=event, source="x/y", id=f"1/{event}", data={"a": EVIL}, severity="high")
        )
    await site.engine.observe("heat", 5, subject=LONG)
    window = {"name": LONG, "reason": EVIL, "starts_at": "2020-01-01", "ends_at": "2999-01-01", "workflows": ["frozen"]}
    await site.engine.guardrails.freeze(FreezeWindow.model_validate(window))
    await site.workflow("frozen", {"name": LONG, "action_type": "test.record", "on_guardrail": "wait"})
    await site.engine.start_workflow("frozen")
    done = await site.engine.execute_workflow("broken")
    running = await _held(site)
    waiting = await site.engine.start_workflow("everything", ExecutionContext(variables={"who": EVIL}, actor=EVIL))
    await site.engine.drain(20)
    evil = "1%2F" + EVIL.replace("/", "%2F").replace("<", "%3C").replace(">", "%3E").replace("=", "%3D")
    return {
        "overview": "/",
        "executions": "/executions",
        "waiting": f"/executions/{waiting}",
        "failed": f"/executions/{done.execution_id}",
        "cancel": f"/executions/{waiting}/cancel",
        "decision": f"/executions/{waiting}/decision?action=ask",
        "approvals": "/approvals",
        "answered": "/approvals?status=all",
        "pause": f"/executions/{running}/pause",
        "retry": f"/executions/{done.execution_id}/retry",
        "rerun": f"/executions/{done.execution_id}/rerun",
        "workflows": "/workflows",
        "workflow": "/workflows/everything",
        "events": "/events",
        "event": f"/events/{evil}",
        "sources": "/sources",
        "alerts": "/alerts",
        "rules": "/alert-rules",
        "rule": "/alert-rules/hot",
        "guardrails": "/guardrails",
        "stop": "/guardrails/stop",
        "missing": "/nowhere",
    }


async def _held(site: Site) -> str:
    """One that waits for two people, whom somebody has answered, and one that was denied."""
    policy = {"required": True, "quorum": 2, "expires": "2h", "roles": [LONG, "automation_admin"]}
    act = {"name": LONG, "action_type": "test.record", "parameters": {"values": {EVIL: LONG}}}
    await site.workflow("asked", {**act, "approval": policy})
    await site.workflow("quick", {**act, "approval": {"required": True}})
    denied, held, _ = [await site.engine.start_workflow(name) for name in ("asked", "asked", "quick")]
    await site.engine.drain(20)
    await site.engine.decide(held, LONG, True, actor=LONG, reason=EVIL)
    await site.engine.decide(denied, LONG, False, actor=LONG, reason=EVIL)
    return held


async def violations(page: Page) -> list[str]:
    """What axe finds wrong, a line each."""
    await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["wide", "narrow"])
async def test_every_page_is_accessible_and_inert_and_fits(site: Site, scheme: str, size: dict[str, Any]) -> None:
    pages = await fill(site)
    page = await site.page(color_scheme=scheme, **size)
    problems = []
    for name, path in pages.items():
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == (404 if name == "missing" else 200), name
        if await page.locator("#live").count():
            await expect(page.locator("#live-sign")).to_have_text("Live")
        problems += [f"{name}: {violation}" for violation in await violations(page)]
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            problems.append(f"{name}: is {wide} px too wide")
        if await page.evaluate("window.pwned") is not None:
            problems.append(f"{name}: runs what others wrote")
    assert problems == []
    site.complaints[:] = [text for text in site.complaints if "404" not in text]


async def test_pages_fit_whatever_the_width(site: Site) -> None:
    pages = await fill(site)
    page = await site.page()
    wrong = []
    for name in ("overview", "answered", "waiting", "guardrails"):
        await page.goto(pages[name])
        for width in (1600, 1241, 1240, 1100, 1001, 1000, 930, 861, 860, 600, 390, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            high = await page.evaluate("document.querySelector('header').offsetHeight")
            if wide > 0 or high > (60 if width > 1000 else 150):
                wrong.append(f"{name} at {width}: {wide} px too wide, a head of {high} px")
    assert wrong == []


async def test_the_door_is_accessible_and_says_what_is_wrong(site: Site) -> None:
    page = await site.door(**PHONE)
    assert await violations(page) == []
    await page.get_by_label("Token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("not valid")
    assert await violations(page) == []
    site.complaints[:] = [text for text in site.complaints if "401" not in text]


async def test_the_keyboard_is_enough(site: Site) -> None:
    await site.workflow("greet", {"name": "look", "action_type": "test.read"})
    page = await site.door()
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.type(await site.token())
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{site.url}/")

    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()

    await page.goto("/workflows/greet")
    for _ in range(60):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        outline = await focused.evaluate("e => getComputedStyle(e).outlineStyle")
        assert outline != "none", await focused.evaluate("e => e.outerHTML.slice(0, 100)")
        if await focused.evaluate("e => e.matches('form[action$=\"/start\"] button')"):
            break
    await page.keyboard.press("Enter")
    await expect(page.locator("#status")).to_have_text("succeeded")


async def test_themes(site: Site) -> None:
    async def background(page: Page) -> str:
        return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = await site.page(color_scheme="light"), await site.page(color_scheme="dark")
    seen = {await background(light), await background(dark)}
    assert len(seen) == 2
    await light.get_by_role("button", name="Theme: auto").click()
    await expect(light.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert await background(light) == await background(dark)
    await light.goto("/alerts")
    await light.get_by_role("button", name="Theme: dark").click()
    await expect(light).to_have_url(f"{site.url}/alerts")
    assert await background(light) != await background(dark)


async def test_all_of_it_works_without_script(site: Site) -> None:
    await site.workflow("greet", {"name": "long", "action_type": "test.pause"})
    page = await site.page(java_script_enabled=False)
    await page.get_by_role("link", name="Workflows").first.click()
    await page.get_by_role("link", name="greet").click()
    await page.get_by_label("Variables").fill("{")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("alert")).to_contain_text("JSON")
    await expect(page.get_by_label("Variables")).to_have_value("{")
    await page.get_by_label("Variables").fill('{"a": 1}')
    await page.get_by_role("button", name="Start").click()
    await page.get_by_role("link", name="Cancel").click()
    # A page that is being left cannot be loaded anew.
    async with page.expect_navigation():
        await page.get_by_role("button", name="Cancel the execution").click()
    await page.reload()
    await expect(page.locator("#status")).to_have_text("cancelled")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    site.complaints[:] = [text for text in site.complaints if "400" not in text]


async def test_a_link_in_a_chat_leads_to_the_page_and_not_to_the_door(site: Site) -> None:
    page = await site.page()

    async def chat(route: Any) -> None:
        await route.fulfill(content_type="text/html", body=f'<a href="{site.url}/alerts">the alerts</a>')

    await page.context.route("http://chat.example/*", chat)
    await page.goto("http://chat.example/")
    await page.get_by_role("link", name="the alerts").click()
    await expect(page.get_by_role("heading", name="Alerts")).to_be_visible()
    assert page.url == f"{site.url}/alerts"


async def test_another_site_can_neither_frame_nor_post(site: Site) -> None:
    await site.workflow("greet", {"name": "look", "action_type": "test.read"})
    page = await site.page()
    form = f'<form method="post" action="{site.url}/workflows/greet/start"><button>win</button></form>'
    frame = f'<iframe src="{site.url}/"></iframe>'

    async def elsewhere(route: Any) -> None:
        await route.fulfill(content_type="text/html", body=form + frame)

    await page.context.route("http://evil.example/*", elsewhere)
    await page.goto("http://evil.example/")
    inside = page.frames[-1]
    assert "Overview" not in await inside.content()
    await page.get_by_role("button", name="win").click()
    await page.wait_for_url(f"{site.url}/**")
    assert (await site.engine.queries.executions()).items == ()
    site.complaints.clear()
