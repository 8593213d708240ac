"""The `postgres_notify` source with a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from automation import AutomationEngine
from automation.clock import VirtualClock
from automation.sources.postgres_notify import PostgresNotify, postgres_notify
from automation.sources.source import Delivery, Rejected, SourceContext
from tests.support.postgres import Server
from tests.support.programs import until
from tests.support.sources import came, dead_letters, follow, is_so, state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ILIKE 'LISTEN%'"


async def say(server: Server, *statements: str) -> None:
    await asyncio.to_thread(server.sql, *statements)


async def until_heard(engine: AutomationEngine, server: Server, text: str) -> None:
    """Say it until it is heard: LISTEN is issued a moment after the source has begun to run."""
    before = state(engine).events

    async def heard() -> bool:
        await say(server, f"NOTIFY orders, '{text}'")
        return state(engine).events > before

    await until(heard, "it is heard")


async def test_what_is_notified_is_an_event(engine: AutomationEngine, postgres_server: Server) -> None:
    await follow(engine, "postgres_notify", url=postgres_server.url(), channels=["orders", "Odd Name"])
    heard = '{"type": "order_failed", "id": "7", "data": {"order": 7}}'
    await until_heard(engine, postgres_server, heard)
    await say(postgres_server, """NOTIFY "Odd Name", 'nonsense'""", f"NOTIFY orders, '{heard}'")
    found = await is_so(engine, lambda found: found.rejected == 1 and found.duplicates >= 1)
    assert found.restarts == 0
    [event] = await came(engine, 1)
    assert (event.type, event.source, event.data) == ("order_failed", "postgres_notify:under-test", {"order": 7})
    assert "channel Odd Name: not valid JSON" in (await dead_letters(engine))[0]


async def test_a_connection_that_is_cut_is_made_again_and_the_gap_is_told(
    engine: AutomationEngine, postgres_server: Server
) -> None:
    await follow(engine, "postgres_notify", url=postgres_server.url(), channels=["orders"])
    await until_heard(engine, postgres_server, '{"type": "a", "id": "1"}')
    await say(postgres_server, CUT)
    await is_so(engine, lambda found: found.restarts == 1 and found.rejected == 1)
    assert "nobody listened from about" in (await dead_letters(engine))[0]
    await until_heard(engine, postgres_server, '{"type": "a", "id": "2"}')


async def test_more_than_may_wait_is_lost_loudly(postgres_server: Server) -> None:
    settings = PostgresNotify(url=postgres_server.url(), channels=("orders",), max_waiting=3, type="x")
    items = postgres_notify(settings, SourceContext("x", VirtualClock()))
    assert await anext(items) == Delivery((), {"heard_until": VirtualClock().now()})
    # In one transaction, so that all of them come together.
    many = "".join(f"PERFORM pg_notify('orders', '{{\"n\": {number}}}');" for number in range(2000))
    await say(postgres_server, f"DO $$ BEGIN {many} END $$")
    first = await anext(items)
    assert isinstance(first, Rejected)
    assert "notifications came faster than they could be stored, and were lost" in first.error
    second = await anext(items)
    assert isinstance(second, Delivery)
    assert [event.data["n"] for event in second.events] == [0, 1, 2]
    await items.aclose()


async def test_nobody_there_fails_the_source(engine: AutomationEngine) -> None:
    await follow(engine, "postgres_notify", url="postgresql://u:p@127.0.0.1:9/x", channels=["a"])
    found = await is_so(engine, lambda found: found.status == "failed")
    assert "onnect" in (found.last_error or "")
