"""An engine's console, called in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from automation import AutomationEngine, WorkflowDefinition
from automation.console.app import application
from automation.model.execution import WorkflowStatus
from tests.support import handlers

ORIGIN = "http://engine:8080"


class Site:
    """The console of an engine, with a browser for each role."""

    def __init__(self, engine: AutomationEngine, app: FastAPI, stack: AsyncExitStack) -> None:
        self.engine = engine
        self.app = app
        self._stack = stack

    async def browser(self, *, address: str = "10.0.0.7", **headers: str) -> Any:
        """A client that sends what browsers send."""
        headers = {"accept": "text/html,*/*", "origin": ORIGIN, "sec-fetch-site": "same-origin", **headers}
        transport = httpx2.ASGITransport(self.app, client=(address, 4711))
        client = httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)
        return await self._stack.enter_async_context(client)

    async def token(self, role: str = "automation_admin", name: str = "ada") -> str:
        """A new token of this role."""
        return await self.engine.tokens.issue(name, [role], expires_in=None, actor="local")

    async def signed_in(self, role: str = "automation_admin") -> Any:
        """A browser that has signed in with this role."""
        browser = await self.browser()
        answer = await browser.post("/login", data={"token": await self.token(role), "next": "/"})
        assert answer.status_code == 303, answer.text
        return browser

    async def workflow(self, name: str = "hello", *actions: dict[str, Any], **more: Any) -> WorkflowDefinition:
        """Register a workflow; by default it records `${who}`."""
        chosen = actions or ({"name": "greet", "action_type": "test.record", "parameters": {"value": "${who}"}},)
        definition = WorkflowDefinition.model_validate({"name": name, "actions": chosen, **more})
        await self.engine.register_workflow(definition)
        return definition


async def until(site: Site, execution_id: str, status: WorkflowStatus) -> None:
    """Wait until an execution is in this status."""
    async with asyncio.timeout(10):
        while await site.engine.get_workflow_status(execution_id) is not status:
            await asyncio.sleep(0.02)


@pytest.fixture
async def site(engine: AutomationEngine) -> AsyncIterator[Site]:
    """The console of a running engine."""
    handlers.calls.clear()
    handlers.gates.clear()
    async with AsyncExitStack() as stack:
        yield Site(engine, application(engine), stack)


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of this kind with these attributes."""
        return [a for t, a in self.found if t == tag and all(a.get(k) == v for k, v in wanted.items())]
