"""The stream behind live pages: what it tells, when it ends, and that nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from automation import Event
from automation.console.pages import stream
from tests.support import handlers
from tests.unit.console.conftest import Site

CHANGE, END, ALIVE = "event: change\ndata:\n\n", "event: end\ndata:\n\n", ": alive\n\n"


class Stream:
    """A connection that a browser holds open."""

    def __init__(self, app: Any, path: str, session: str) -> None:
        self.text = ""
        self.code = 0
        self._gone = asyncio.Event()
        self._more = asyncio.Event()
        route, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": route,
            "raw_path": route.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"engine:8080"), (b"cookie", f"automation_session={session}".encode())],
            "client": ("10.0.0.7", 4711),
            "server": ("engine", 8080),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.code = message.get("status", self.code)
        self.text += message.get("body", b"").decode()
        self._more.set()

    def leave(self) -> None:
        self._gone.set()

    async def until(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.text.count(text) < times:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def watching(site: Site, path: str, role: str = "automation_admin") -> AsyncIterator[Stream]:
    browser = await site.signed_in(role)
    connection = Stream(site.app, path, browser.cookies["automation_session"])
    try:
        yield connection
    finally:
        connection.leave()
        async with asyncio.timeout(20):
            await connection.task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "REST_SECONDS", 0.02)
    monkeypatch.setattr(stream, "LIST_REST_SECONDS", 0.02)


async def test_it_tells_at_once_and_then_of_each_change_of_its_kinds(site: Site) -> None:
    async with watching(site, "/console/stream?kinds=event") as connection:
        await connection.until(CHANGE)
        assert connection.text.startswith("retry: 2000\n")
        await site.engine.observe("nothing", 1)
        site.engine.changes.tell("alert", "x")
        await site.engine.publish(Event(type="ping"))
        await connection.until(CHANGE, 2)
        await asyncio.sleep(0.1)
        assert connection.text.count(CHANGE) == 2


async def test_many_changes_come_as_few(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LIST_REST_SECONDS", 1.0)
    async with watching(site, "/console/stream?kinds=event") as connection:
        await connection.until(CHANGE)
        for number in range(200):
            site.engine.changes.tell("event", str(number))
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        await connection.until(CHANGE, 3)
        await asyncio.sleep(0.5)
        assert connection.text.count(CHANGE) <= 4


async def test_of_one_execution_it_tells_alone_and_ends_with_it(site: Site) -> None:
    await site.workflow("slow", {"name": "pause", "action_type": "test.pause"})
    execution = await site.engine.start_workflow("slow")
    async with watching(site, f"/console/stream?kinds=execution&id={execution}") as connection:
        await connection.until(CHANGE)
        told = connection.text.count(CHANGE)
        site.engine.changes.tell("execution", "another", "running")
        await asyncio.sleep(0.1)
        assert connection.text.count(CHANGE) == told
        await site.engine.cancel(execution)
        await connection.until(END)
        assert connection.text.endswith(CHANGE + END)
        async with asyncio.timeout(20):
            await connection.task


async def test_of_an_execution_that_has_ended_it_tells_that(site: Site) -> None:
    await site.workflow()
    for id in ("unknown", await site.engine.start_workflow("hello", _context())):
        await site.engine.drain(10)
        async with watching(site, f"/console/stream?kinds=execution&id={id}") as connection:
            await connection.until(END)
            async with asyncio.timeout(20):
                await connection.task
            assert (connection.code, connection.text.count(END)) == (200, 1)
            assert connection.text.endswith(END)


def _context() -> Any:
    from automation import ExecutionContext

    return ExecutionContext(variables={"who": "you"})


async def test_it_ends_when_the_server_stops(site: Site) -> None:
    async with watching(site, "/console/stream?kinds=event") as connection:
        await connection.until(CHANGE)
        site.app.state.closing.set()
        async with asyncio.timeout(20):
            await connection.task
        # A page that is told so would not ask again once the server is back.
        assert END not in connection.text
        assert not site.engine.changes
    site.app.state.closing.clear()


async def test_it_shows_that_it_lives_and_notices_that_a_session_has_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    async with watching(site, "/console/stream?kinds=event") as connection:
        await connection.until(ALIVE, 2)
        for session in await site.engine.tokens.list("session"):
            await site.engine.tokens.revoke(session.id, "local")
        async with asyncio.timeout(20):
            await connection.task
        assert connection.text.endswith(CHANGE)


async def test_a_browser_that_leaves_is_forgotten(site: Site) -> None:
    async with watching(site, "/console/stream?kinds=event") as connection:
        await connection.until(CHANGE)
        assert site.engine.changes
    assert not site.engine.changes


async def test_it_tells_nobody_what_they_may_not_see(site: Site) -> None:
    async with watching(site, "/console/stream?kinds=event,execution", "automation_source") as connection:
        await connection.until(CHANGE)
        await site.engine.publish(Event(type="ping"))
        await asyncio.sleep(0.1)
        assert connection.text.count(CHANGE) == 1


async def test_without_a_session_it_makes_the_page_ask_again(site: Site) -> None:
    browser = await site.browser(accept="text/event-stream")
    answer = await browser.get("/console/stream?kinds=event")
    assert answer.text == "retry: 60000\n" + CHANGE


async def test_unknown_kinds_are_refused(site: Site) -> None:
    browser = await site.signed_in()
    assert (await browser.get("/console/stream?kinds=weather")).status_code == 400
    assert (await browser.get("/console/stream")).status_code == 400
    assert (await (await site.browser()).get("/console/stream?kinds=event")).status_code == 303


async def test_it_tells_of_every_step_of_an_execution(site: Site) -> None:
    """Parallel branches too: that one has ended is told while the other still runs."""
    await site.workflow(
        "branches",
        {"name": "quick", "action_type": "test.record", "depends_on": []},
        {"name": "slow", "action_type": "test.gate", "depends_on": []},
    )
    browser = await site.signed_in()
    execution = await site.engine.start_workflow("branches")
    shown = []
    async with watching(site, f"/console/stream?kinds=execution&id={execution}") as connection:
        told = 0
        # As a page does: it looks when it is told of a change, and never else.
        while not shown or shown[-1] != (4, 4):
            told += 1
            await connection.until(CHANGE, told)
            answer = await browser.get(f"/executions/{execution}", headers={"hx-request": "true"})
            # Each of the two drawings says it twice, as text and as a tooltip.
            shown.append((answer.text.count("succeeded ·"), answer.text.count("running ·")))
        assert "event: end" not in connection.text
        handlers.open_gate(None)
        await connection.until("event: end")
