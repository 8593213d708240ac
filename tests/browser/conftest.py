"""A console on a real port, and a browser that looks at it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.api.server import Server
from automation.clock import RealClock
from automation.config import Api
from automation.console.app import application
from tests.support import handlers

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 15_000
"""Milliseconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder; skip them where there is no browser, but not in CI."""
    missing = shutil.which(CHROMIUM) is None and not os.environ.get("CI")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{CHROMIUM} is not installed"))


class AheadClock(RealClock):
    """The machine's clock, which a test can set forward."""

    ahead = 0.0
    """Seconds."""

    def now(self) -> float:
        return time.time() + self.ahead


class Site:
    """The console of an engine on a real port, and who looks at it."""

    def __init__(self, engine: AutomationEngine, clock: AheadClock, browser: Browser, stack: AsyncExitStack) -> None:
        self.engine = engine
        self.clock = clock
        self.app: FastAPI = application(engine)
        self.server = Server(engine, self.app)
        self.complaints: list[str] = []
        """What browsers wrote to their consoles: errors, warnings, violations of the policy."""
        self.url = ""
        self._browser = browser
        self._stack = stack

    async def token(self, role: str = "automation_admin", name: str = "ada") -> str:
        """A new token of this role."""
        return await self.engine.tokens.issue(name, [role], expires_in=None, actor="local")

    async def context(self, **options: Any) -> BrowserContext:
        """A browser of its own, whose complaints are noted."""
        context = await self._browser.new_context(base_url=self.url, **options)
        self._stack.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE)
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda error: self._note("error", str(error.error)))
        return context

    async def door(self, **options: Any) -> Page:
        """A page that asks to sign in."""
        page = await (await self.context(**options)).new_page()
        await page.goto("/login")
        return page

    async def page(self, role: str = "automation_admin", name: str = "ada", **options: Any) -> Page:
        """A page in which this person is signed in; it shows the overview."""
        page = await self.door(**options)
        await page.get_by_label("Token").fill(await self.token(role, name))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"{self.url}/")
        return page

    async def workflow(self, name: str, *actions: dict[str, Any], **more: Any) -> WorkflowDefinition:
        """Register a workflow."""
        definition = WorkflowDefinition.model_validate({"name": name, "actions": actions, **more})
        await self.engine.register_workflow(definition)
        return definition

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")


@pytest.fixture
async def site(config: AutomationConfig) -> AsyncIterator[Site]:
    """The console of a running engine; no browser may have complained about it."""
    handlers.calls.clear()
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        stack.push_async_callback(browser.close)
        running = config.model_copy(update={"api": Api(port=0)})
        clock = AheadClock()
        engine = await stack.enter_async_context(AutomationEngine(running, clock=clock))
        site = Site(engine, clock, browser, stack)
        await site.server.start()
        stack.push_async_callback(site.server.stop)
        site.url = site.server.url
        yield site
        assert site.complaints == []
