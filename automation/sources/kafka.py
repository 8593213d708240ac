"""`kafka`: takes records of Kafka topics as a member of a consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SecretStr

from automation.model.event import Event
from automation.plugins import source
from automation.sources.record import Origin, Records, batch, event_or_rejected, told_time
from automation.sources.source import Item, Rejected, SourceContext

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

_WAIT_MILLISECONDS = 5000


class Kafka(Records):
    """Which topics, and as whom."""

    servers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Brokers to begin with, each `host:port`."""
    topics: Annotated[tuple[str, ...], Field(min_length=1)]
    """The topics."""
    group: str = "automation"
    """The consumer group. Processes with the same group share the partitions."""
    begin: Literal["first", "new"] = "first"
    """Where a group without a committed offset begins: at the first record that there is, or with those to come."""
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to connect. With TLS, the certificates that the system trusts are trusted."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How to authenticate, with SASL."""
    user: str | None = None
    """The user, with SASL."""
    password: SecretStr | None = None
    """Its password."""
    batch: Annotated[int, Field(ge=1, le=500)] = 500
    """How many records are taken at a time, and are in flight."""


@source("kafka", library="aiokafka", extra="kafka")
async def kafka(settings: Kafka, context: SourceContext) -> AsyncIterator[Item]:
    """Take records of Kafka topics in a consumer group; offsets are committed after the events are on disk."""
    consumer = _consumer(settings)
    try:
        # Also on a failed start: it leaves connections and tasks behind.
        await consumer.start()
        context.listening()
        while True:
            found = await consumer.getmany(timeout_ms=_WAIT_MILLISECONDS, max_records=settings.batch)
            records = [record for rows in found.values() for record in rows]
            items = [_item(record, settings, context) for record in records]
            for item in batch(items, lag=await _lag(consumer)):
                yield item
            offsets = {partition: rows[-1].offset + 1 for partition, rows in found.items() if rows}
            if offsets:
                # Only here: what was yielded is on disk.
                await consumer.commit(offsets)
    finally:
        await consumer.stop()


def _consumer(settings: Kafka) -> AIOKafkaConsumer:
    import ssl

    from aiokafka import AIOKafkaConsumer

    return AIOKafkaConsumer(
        *settings.topics,
        bootstrap_servers=list(settings.servers),
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if settings.begin == "first" else "latest",
        security_protocol=settings.security,
        ssl_context=ssl.create_default_context() if settings.security.endswith("SSL") else None,
        sasl_mechanism=settings.mechanism,
        sasl_plain_username=settings.user,
        sasl_plain_password=settings.password.get_secret_value() if settings.password else None,
    )


async def _lag(consumer: AIOKafkaConsumer) -> int | None:
    """How many records of our partitions are behind what was taken; None before the broker has said."""
    total = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is None:
            return None
        total += max(0, end - await consumer.position(partition))
    return total


def _item(record: ConsumerRecord[Any, Any], settings: Kafka, context: SourceContext) -> Event | Rejected:
    now = context.clock.now()
    key = record.key.decode(errors="replace") if isinstance(record.key, bytes) else ""
    origin = Origin(
        f"kafka:{context.name}",
        f"{record.topic}/{record.partition}/{record.offset}",
        told_time(record.timestamp / 1000, now) if record.timestamp and record.timestamp > 0 else now,
        key[:500] if key.isprintable() else "",
        {"topic": record.topic},
    )
    place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
    return event_or_rejected(record.value or b"", settings, origin, place)
