"""The REST interface as its callers meet it: a real server, on a real port, over a real database."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from automation import ActionContext, AutomationConfig, AutomationEngine, action
from automation.api.app import create_app
from automation.api.server import Server


class Restart(BaseModel):
    service: str
    seconds: float = 0.0


restarted: list[str] = []


@action("acceptance.restart")
async def restart(params: Restart, context: ActionContext) -> dict[str, Any]:
    """Note which service would be restarted."""
    await asyncio.sleep(params.seconds)
    restarted.append(params.service)
    return {"restarted": params.service}


HEAL = {
    "name": "heal",
    "triggers": [{"type": "event", "event": "service_down"}],
    "actions": [{"name": "restart", "action_type": "acceptance", "parameters": {"service": "${event.subject}"}}],
}
SLOW = {
    "name": "slow",
    "actions": [{"name": "restart", "action_type": "acceptance", "parameters": {"service": "x", "seconds": 30}}],
}


class Site:
    """An engine and its server, which can be started again on the same data."""

    def __init__(self, config: AutomationConfig, stack: AsyncExitStack) -> None:
        self._config = config.model_copy(update={"api": config.api.model_copy(update={"port": 0})})
        self._stack = stack
        self.token = ""

    async def start(self) -> None:
        self.engine = AutomationEngine(self._config)
        self.server = Server(self.engine, create_app(self.engine))
        self.server.bind()
        await self.engine.start()
        await self.server.start()
        if not self.token:
            self.token = await self.engine.tokens.issue("ops", ["automation_admin"], expires_in=None, actor="test")

    async def stop(self) -> None:
        await self.server.stop()
        await self.engine.stop()

    async def client(self, token: str | None = None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"} if token != "" else {}
        client = httpx2.AsyncClient(base_url=self.server.url, headers=headers, timeout=10)
        return await self._stack.enter_async_context(client)


@pytest.fixture
async def site(config: AutomationConfig) -> AsyncIterator[Site]:
    restarted.clear()
    async with AsyncExitStack() as stack:
        site = Site(config, stack)
        await site.start()
        stack.push_async_callback(lambda: site.stop())
        yield site


async def test_the_specifications_commands(site: Site) -> None:
    """Given nothing but a running engine, then the specification's two curl lines work as they are written."""
    client = await site.client("")
    tested = await client.post("/webhooks/test")
    assert tested.status_code == 202
    assert tested.json()["receipts"][0]["duplicate"] is False
    metrics = await client.get("/metrics")
    assert [line for line in metrics.text.splitlines() if line.startswith("automation_")]
    async with asyncio.timeout(20):
        # What earlier engines have left is looked for first.
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
    for path in ("/healthz", "/readyz", "/-/healthy", "/-/ready"):
        assert (await client.get(path)).status_code == 200
    assert (await client.get("/api/v1/workflows")).status_code == 401


async def test_from_an_event_to_a_healed_service(site: Site) -> None:
    """Given a workflow that is registered by REST, when an event comes, then all of it can be followed by REST."""
    client = await site.client()
    assert (await client.post("/api/v1/workflows", json=HEAL)).status_code == 201
    changes: list[dict[str, str]] = []

    async def watch() -> None:
        async with client.stream("GET", "/api/v1/changes") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    changes.append(json.loads(line[6:]))
                    if changes[-1]["status"] == "succeeded":
                        return

    watching = asyncio.ensure_future(watch())
    await _watched(site)
    published = await client.post("/api/v1/events", json={"type": "service_down", "subject": "playback-api"})
    async with asyncio.timeout(20):
        await watching

    execution_id = published.json()["receipts"][0]["executions"][0]
    assert {change["kind"] for change in changes} == {"event", "execution"}
    view = (await client.get(f"/api/v1/executions/{execution_id}")).json()
    assert view["execution"]["status"] == "succeeded"
    assert view["event"]["subject"] == "playback-api"
    assert view["actions"][0]["outputs"] == {"restarted": "playback-api"}
    assert restarted == ["playback-api"]
    assert (await client.get("/api/v1/audit/verify")).json()["valid"] is True


async def test_one_event_from_many_senders_starts_one_execution(site: Site) -> None:
    client = await site.client()
    await client.post("/api/v1/workflows", json=HEAL)
    event = {"type": "service_down", "subject": "api", "source": "probe", "id": "outage-7"}

    answers = await asyncio.gather(*(client.post("/api/v1/events", json=[event, event]) for _ in range(20)))

    receipts = [receipt for answer in answers for receipt in answer.json()["receipts"]]
    assert sum(not receipt["duplicate"] for receipt in receipts) == 1
    assert sum(len(receipt["executions"]) for receipt in receipts) == 1
    await site.engine.drain()
    assert restarted == ["api"]


async def test_what_was_acknowledged_is_there_after_a_restart(site: Site) -> None:
    """Given answers with 2xx, when the engine is stopped and started, then events, keys and tokens still count."""
    client = await site.client()
    await client.post("/api/v1/workflows", json=HEAL)
    event = {"type": "service_down", "subject": "api", "source": "probe", "id": "outage-8"}
    first = (await client.post("/api/v1/events", json=event)).json()["receipts"][0]
    slow = (await client.post("/api/v1/workflows", json=SLOW)).status_code
    started = (await client.post("/api/v1/workflows/slow/executions", json={"idempotency_key": "once"})).json()
    await client.post(f"/api/v1/executions/{started['execution_id']}/cancel", json={})
    await site.engine.drain()

    await site.stop()
    await site.start()
    client = await site.client()

    assert slow == 201
    assert (await client.post("/api/v1/events", json=event)).json()["receipts"][0]["duplicate"] is True
    assert (await client.get(f"/api/v1/executions/{first['executions'][0]}")).json()["execution"][
        "event_id"
    ] == "outage-8"
    assert (await client.post("/api/v1/workflows", json=SLOW)).status_code == 200, "it was kept"
    again = await client.post("/api/v1/workflows/slow/executions", json={"idempotency_key": "once"})
    assert again.json()["execution_id"] == started["execution_id"]


async def _watched(site: Site) -> None:
    """Wait until somebody is told of changes."""
    async with asyncio.timeout(20):
        while not site.engine.changes:
            await asyncio.sleep(0.01)


async def test_stopping_waits_for_nobody(site: Site) -> None:
    """Given an open stream and a start that is waited for, when the server stops, then both are answered at once."""
    client = await site.client()
    await client.post("/api/v1/workflows", json=SLOW)

    async def watch() -> str:
        async with client.stream("GET", "/api/v1/changes") as stream:
            return "".join([part async for part in stream.aiter_text()])

    watching = asyncio.ensure_future(watch())
    waiting = asyncio.ensure_future(client.post("/api/v1/workflows/slow/executions?wait=60"))
    await _watched(site)
    async with asyncio.timeout(20):
        while not (await site.engine.queries.executions()).items:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20):
        await site.server.stop()
        stream, answer = await watching, await waiting

    assert "retry: 2000" in stream
    assert answer.status_code == 202
    await site.engine.cancel(answer.json()["execution_id"])


async def test_limits_on_the_wire(site: Site) -> None:
    """Given bodies that are too large, also once they are unpacked, too deep or in no coding, the answer says so."""
    client = await site.client()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b"x" * 65_536

    declared = await client.post("/api/v1/events", content=b"x" * 8_000_000)
    chunked = await client.post("/api/v1/events", content=chunks())
    deep = await client.post("/api/v1/events", content=b"[" * 200_000)
    bomb = gzip.compress(b" " * 50_000_000)
    packed = await client.post("/api/v1/events", content=bomb, headers={"Content-Encoding": "gzip"})
    unknown = await client.post("/api/v1/events", content=b"x", headers={"Content-Encoding": "br"})
    after = await client.post("/api/v1/events", json={"type": "x"})

    answers = (declared, chunked, deep, packed, unknown)
    assert [answer.status_code for answer in answers] == [413, 413, 400, 413, 415]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert after.status_code == 202
    text = (await client.get("/metrics")).text
    assert 'automation_requests_refused_total{reason="too-large"} 3.0' in text


async def test_guessing_tokens_ends_soon(site: Site) -> None:
    """Given wrong tokens, then each is 401 and audited, and soon the address has to wait."""
    guesser = await site.client("aut_" + "0" * 43)
    answers = [await guesser.get("/api/v1/workflows") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    rows = (await site.engine.queries.audit(kind="access_attempt")).items
    assert {(row.actor, row.outcome) for row in rows} == {("address:127.0.0.1", "refused")}
    assert len(rows) == 11
