"""`amqp`: takes messages of a queue of RabbitMQ, or of another broker that speaks AMQP 0-9-1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from automation.model.event import Event
from automation.model.ids import new_id
from automation.plugins import source
from automation.sources.record import Origin, Records, batch, event_or_rejected, told_time
from automation.sources.source import Item, Rejected, SourceContext

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

_CONNECT_SECONDS = 10


class Amqp(Records):
    """Which broker, and which queue of it."""

    url: str = "amqp://guest:guest@127.0.0.1/"
    """The broker: `amqp://` or `amqps://`, with user, password and virtual host."""
    queue: str
    """The queue. Where it is not there, a durable one is made."""
    exchange: str | None = None
    """An exchange to bind the queue to; it has to be there."""
    routing_keys: tuple[str, ...] = ("#",)
    """With which routing keys, where there is an exchange."""
    batch: Annotated[int, Field(ge=1, le=500)] = 100
    """How many messages are in flight (prefetch)."""


@source("amqp", library="aio_pika", extra="amqp")
async def amqp(settings: Amqp, context: SourceContext) -> AsyncIterator[Item]:
    """Take messages of a queue; each is acknowledged after its event is on disk."""
    import aio_pika

    _read_all()
    connection = await aio_pika.connect(settings.url, timeout=_CONNECT_SECONDS)
    try:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=settings.batch)
        queue = await _queue(connection, channel, settings)
        taking = _Taking()
        channel.close_callbacks.add(taking.end)
        # When its queue is deleted or moves, the broker ends the consumer and leaves the channel open.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(taking.end)
        await queue.consume(taking.take)
        context.listening()
        while True:
            messages = await taking.next(settings.batch)
            items = [_item(message, settings, context) for message in messages]
            for item in batch(items, lag=await _left(channel, settings)):
                yield item
            # Only here: what was yielded is on disk. One acknowledgement holds for all up to this message.
            await messages[-1].ack(multiple=True)
    finally:
        await connection.close()


def _read_all() -> None:
    """Let the library read what any sender may have written. Its connection ends with a time beyond the year 9999, such
    as one in microseconds, or with a name that is not UTF-8; the broker would then give that message again for ever.
    """
    from pamqp import decode

    def moment(value: bytes) -> tuple[int, datetime | None]:
        try:
            return decode.timestamp(value)
        except (ValueError, OverflowError, OSError):
            return 8, None

    def name(value: bytes) -> tuple[int, str]:
        return value[0] + 1, value[1 : value[0] + 1].decode(errors="replace")

    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = moment
    decode.METHODS["shortstr"] = name


async def _queue(connection: AbstractConnection, channel: AbstractChannel, settings: Amqp) -> AbstractQueue:
    import aio_pika

    # Asked on a channel of its own, which the broker closes where there is none. One that is there is taken as it is:
    # declared anew, a quorum queue or one with arguments would be refused.
    probe = await connection.channel()
    try:
        await probe.declare_queue(settings.queue, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        queue = await channel.declare_queue(settings.queue, durable=True)
    else:
        await probe.close()
        queue = await channel.declare_queue(settings.queue, passive=True)
    if settings.exchange is not None:
        exchange = await channel.get_exchange(settings.exchange)
        for key in settings.routing_keys:
            await queue.bind(exchange, key)
    return queue


async def _left(channel: AbstractChannel, settings: Amqp) -> int | None:
    found = await channel.declare_queue(settings.queue, passive=True)
    return found.declaration_result.message_count


class _Taking:
    """What has come and is not acknowledged: no more than the prefetch."""

    def __init__(self) -> None:
        self._come: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._ended = ""

    async def take(self, message: AbstractIncomingMessage) -> None:
        self._come.put_nowait(message)

    def end(self, what: Any, error: BaseException | None = None) -> None:
        self._ended = str(error or "the consumer was ended by the broker")
        self._come.put_nowait(None)

    async def next(self, most: int) -> list[AbstractIncomingMessage]:
        """The next messages, one at least; raises ConnectionError when no more will come."""
        found = [await self._come.get()]
        while len(found) < most and not self._come.empty():
            found.append(self._come.get_nowait())
        if self._ended:
            # What is in `found` was not acknowledged, and comes again.
            raise ConnectionError(f"the broker gives no more messages: {self._ended}")
        return [message for message in found if message is not None]


def _item(message: AbstractIncomingMessage, settings: Amqp, context: SourceContext) -> Event | Rejected:
    now = context.clock.now()
    time = now if message.timestamp is None else told_time(message.timestamp.timestamp(), now)
    key = message.routing_key or ""
    labels = {"routing_key": key, "exchange": message.exchange or ""}
    # A broker's delivery tag names a message on one channel only.
    origin = Origin(f"amqp:{context.name}", message.message_id or new_id(), time, "", labels)
    return event_or_rejected(message.body, settings, origin, f"queue {settings.queue}, routing key {key!r}")
