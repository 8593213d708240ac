"""The `nats` source with a real NATS server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest

from automation import AutomationEngine
from automation.clock import VirtualClock
from automation.sources.nats import Nats
from automation.sources.nats import nats as source
from automation.sources.source import Delivery, SourceContext
from tests.support.brokers import listening, nats_server, needs_program
from tests.support.programs import free_port, until
from tests.support.sources import came, dead_letters, follow, is_so, state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120), needs_program("nats-server")]


@asynccontextmanager
async def jetstream(port: int) -> AsyncIterator[Any]:
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def unacknowledged(stream: Any) -> int:
    return int((await stream.consumer_info("ORDERS", "automation")).num_ack_pending)


async def test_messages_become_events_and_are_acknowledged(engine: AutomationEngine, folder: Path) -> None:
    with nats_server(folder) as port:
        await listening(port, folder / "nats.log")
        async with jetstream(port) as stream:
            await stream.add_stream(name="ORDERS", subjects=["orders.>"])
            await stream.publish("orders.eu", b'{"type": "failed", "data": {"order": 7}}')
            await stream.publish("orders.us", b"nonsense")
            await stream.publish("orders.us", b'{"type": "failed"}')
            await follow(engine, "nats", servers=[f"nats://127.0.0.1:{port}"], stream="ORDERS", batch=2)
            first, second = await came(engine, 2)
            assert (first.type, first.subject, first.data) == ("failed", "orders.eu", {"order": 7})
            assert (first.source, first.id, second.id) == ("nats:under-test", "ORDERS/1", "ORDERS/3")
            assert (await is_so(engine, lambda found: found.rejected == 1)).lag == 0
            assert "ORDERS, message 2: not valid JSON" in (await dead_letters(engine))[0]

            async def done() -> bool:
                return await unacknowledged(stream) == 0

            await until(done, "all are acknowledged")


async def test_a_message_is_acknowledged_only_when_it_is_stored(folder: Path) -> None:
    with nats_server(folder) as port:
        await listening(port, folder / "nats.log")
        async with jetstream(port) as stream:
            await stream.add_stream(name="ORDERS", subjects=["orders.>"])
            for number in range(5):
                await stream.publish("orders.eu", b'{"type": "t%d"}' % number)
            settings = Nats(servers=(f"nats://127.0.0.1:{port}",), stream="ORDERS", batch=2, ack_seconds=1)
            items = source(settings, SourceContext("x", VirtualClock()))
            delivery = await anext(items)
            assert isinstance(delivery, Delivery)
            assert (len(delivery.events), delivery.lag) == (2, 3)
            assert await unacknowledged(stream) == 2
            # It dies with them, and another one is given them again.
            await items.aclose()
            again = source(settings, SourceContext("x", VirtualClock()))
            types: set[str] = set()
            while len(types) < 5:
                delivery = await anext(again)
                assert isinstance(delivery, Delivery)
                types |= {event.type for event in delivery.events}
            await again.aclose()


async def test_a_server_that_goes_away_and_comes_back_loses_nothing(engine: AutomationEngine, folder: Path) -> None:
    with nats_server(folder) as port:
        await listening(port, folder / "nats.log")
        async with jetstream(port) as stream:
            await stream.add_stream(name="ORDERS", subjects=["orders.>"])
            await stream.publish("orders.eu", b'{"type": "before"}')
        await follow(engine, "nats", servers=[f"nats://127.0.0.1:{port}"], stream="ORDERS")
        await came(engine, 1)
    await is_so(engine, lambda found: found.status == "failed")
    with nats_server(folder, port):
        await listening(port, folder / "nats.log")
        async with jetstream(port) as stream:
            await stream.publish("orders.eu", b'{"type": "after"}')
        assert [event.type for event in await came(engine, 2)] == ["before", "after"]
        assert state(engine).restarts >= 1


async def test_a_server_that_is_not_there_fails_the_source_at_once() -> None:
    settings = Nats(servers=(f"nats://127.0.0.1:{free_port()}", f"nats://127.0.0.1:{free_port()}"), stream="ORDERS")
    with pytest.raises(ConnectionError, match=r"no server of NATS answers: .*Connect call failed"):
        await anext(source(settings, SourceContext("x", VirtualClock())))


async def test_a_stream_that_is_not_there_fails_the_source(engine: AutomationEngine, folder: Path) -> None:
    with nats_server(folder) as port:
        await listening(port, folder / "nats.log")
        await follow(engine, "nats", servers=[f"nats://127.0.0.1:{port}"], stream="NOSUCH")
        found = await is_so(engine, lambda found: found.status == "failed")
        assert "stream not found" in (found.last_error or "")
