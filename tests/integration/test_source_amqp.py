"""The `amqp` source with a real RabbitMQ. It takes some seconds to start, so one serves all tests."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import pamqp.encode
import pytest

from automation import AutomationEngine
from automation.clock import VirtualClock
from automation.sources.amqp import Amqp, amqp
from automation.sources.source import Delivery, SourceContext
from tests.support.brokers import needs_program, rabbitmq
from tests.support.programs import until
from tests.support.sources import came, dead_letters, follow, is_so

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    needs_program("rabbitmq-server"),
]


def _answers(port: int) -> bool:
    """Whether a broker, and not only a socket, is there: it hangs up on what is not AMQP, and says its version."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(b"nonsense")
            return probe.recv(8).startswith(b"AMQP")
    except OSError:
        return False


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("rabbitmq")
    with rabbitmq(folder) as port:
        end = time.monotonic() + 120
        while not _answers(port):
            assert time.monotonic() < end, (folder / "rabbit.log").read_text(errors="replace")[-3000:]
            time.sleep(0.2)
        yield f"amqp://guest:guest@127.0.0.1:{port}/"


@asynccontextmanager
async def channel(url: str) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def say(made: Any, queue: str, text: str, **properties: Any) -> None:
    await made.default_exchange.publish(aio_pika.Message(text.encode(), **properties), routing_key=queue)


async def left(url: str, queue: str) -> int:
    async with channel(url) as made:
        found = await made.declare_queue(queue, passive=True)
        return int(found.declaration_result.message_count)


async def test_messages_become_events_and_are_acknowledged(engine: AutomationEngine, broker: str) -> None:
    async with channel(broker) as made:
        await made.declare_exchange("orders", aio_pika.ExchangeType.TOPIC)
        await follow(
            engine, "amqp", url=broker, queue="ours", exchange="orders", routing_keys=["order.*"], type="order"
        )

        async def bound() -> bool:
            text = aio_pika.Message(b'{"probe": 1}', message_id="probe")
            await (await made.get_exchange("orders")).publish(text, routing_key="order.probe")
            await asyncio.sleep(0.05)
            return engine.watching.sources.states["under-test"].events > 0

        await until(bound, "the queue is bound")
        exchange = await made.get_exchange("orders")
        await exchange.publish(aio_pika.Message(b'{"order": 7, "service": "shop"}', message_id="m-7"), "order.failed")
        await exchange.publish(aio_pika.Message(b"nonsense"), "order.failed")
        await is_so(engine, lambda found: found.rejected == 1)
        _, event = await came(engine, 2)
        assert (event.type, event.subject, event.id) == ("order", "shop", "m-7")
        assert event.labels == {"routing_key": "order.failed", "exchange": "orders"}
        assert "queue ours, routing key 'order.failed': not valid JSON" in (await dead_letters(engine))[0]
    assert engine.watching.sources.states["under-test"].lag is not None


async def test_no_message_keeps_those_behind_it(
    engine: AutomationEngine, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = iter([struct.pack(">Q", seconds) for seconds in (1_795_000_000, 253_402_300_799_999, 10**16, 2**64 - 1)])
    monkeypatch.setitem(pamqp.encode.METHODS, "timestamp", lambda value: next(written))
    monkeypatch.setitem(pamqp.encode.METHODS, "shortstr", lambda text: _short(text.encode("latin-1")))
    async with channel(broker) as made:
        await made.declare_queue("odd", durable=True)
        for number in range(4):
            await say(made, "odd", "{}", message_id=str(number), timestamp=datetime.now(UTC))
        await say(made, "odd", "{}", message_id="é")
        await say(made, "odd", "{}", message_id="last")

    before = engine.clock.now()
    await follow(engine, "amqp", url=broker, queue="odd", type="order", batch=1)

    events = await came(engine, 6)
    assert [event.id for event in events] == ["0", "1", "2", "3", "\N{REPLACEMENT CHARACTER}", "last"]
    assert events[0].time == 1_795_000_000
    assert all(before <= event.time <= engine.clock.now() for event in events[1:])


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


async def test_a_message_is_acknowledged_only_when_it_is_stored(broker: str) -> None:
    settings = Amqp(url=broker, queue="held", batch=2, type="x")
    async with channel(broker) as made:
        await made.declare_queue("held", durable=True)
        for number in range(5):
            await say(made, "held", f'{{"n": {number}}}', message_id=str(number))
    items = amqp(settings, SourceContext("x", VirtualClock()))
    delivery = await anext(items)
    assert isinstance(delivery, Delivery)
    assert 1 <= len(delivery.events) <= 2
    # It dies with what it took, which comes again.
    await items.aclose()
    again = amqp(settings, SourceContext("x", VirtualClock()))
    found: set[str] = set()
    while len(found) < 5:
        delivery = await anext(again)
        assert isinstance(delivery, Delivery)
        found |= {event.id for event in delivery.events}
    await again.aclose()
    assert await left(broker, "held") <= 2


async def test_a_queue_that_is_there_is_taken_as_it_is(engine: AutomationEngine, broker: str) -> None:
    async with channel(broker) as made:
        await made.declare_queue("quorum", durable=True, arguments={"x-queue-type": "quorum"})
        await say(made, "quorum", '{"type": "a", "id": "1"}')
        await follow(engine, "amqp", url=broker, queue="quorum")
        assert [(event.type, event.id) for event in await came(engine, 1)] == [("a", "1")]


async def test_a_queue_that_is_deleted_fails_the_source_and_is_made_again(
    engine: AutomationEngine, broker: str
) -> None:
    await follow(engine, "amqp", url=broker, queue="cut", type="x")
    async with channel(broker) as made:

        async def there() -> bool:
            try:
                return await left(broker, "cut") >= 0
            except aio_pika.exceptions.ChannelClosed:
                return False

        await until(there, "the queue is there")
        await is_so(engine, lambda found: found.status == "running")
        await say(made, "cut", '{"n": 1}', message_id="1")
        await came(engine, 1)
        await made.queue_delete("cut")
        # RabbitMQ cancels the consumer of a queue that is deleted.
        await is_so(engine, lambda found: found.restarts >= 1)
        await until(there, "the queue is there again")
        await say(made, "cut", '{"n": 2}', message_id="2")
        assert [event.id for event in await came(engine, 2)] == ["1", "2"]
