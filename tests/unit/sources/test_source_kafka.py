"""The `kafka` source with a stand-in for the consumer of aiokafka: no Kafka runs here.

What is shown is what we ask of aiokafka and when; that a real broker does as it promises is not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiokafka
import pytest
from aiokafka.structs import TopicPartition

from automation.clock import VirtualClock
from automation.plugins import read_settings
from automation.sources.kafka import Kafka, kafka
from automation.sources.source import Delivery, Rejected, SourceContext

FIRST, SECOND = TopicPartition("orders", 0), TopicPartition("orders", 1)


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 1_767_225_600_250


class Consumer:
    """Gives what it is told to, and remembers what was committed."""

    def __init__(self, *topics: str, **options: Any) -> None:
        self.topics = topics
        self.options = options
        self.batches: list[dict[TopicPartition, list[Record]]] = []
        self.committed: list[dict[TopicPartition, int]] = []
        self.ended = False
        made.append(self)

    async def start(self) -> None:
        if "nowhere:1" in self.options["bootstrap_servers"]:
            raise ConnectionError("unable to bootstrap")

    async def stop(self) -> None:
        self.ended = True

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        while not self.batches:
            await asyncio.sleep(0)
        return self.batches.pop(0)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed.append(offsets)

    def assignment(self) -> set[TopicPartition]:
        return {FIRST, SECOND}

    def highwater(self, partition: TopicPartition) -> int | None:
        return {FIRST: 10, SECOND: 3}[partition]

    async def position(self, partition: TopicPartition) -> int:
        return {FIRST: 6, SECOND: 3}[partition]


made: list[Consumer] = []


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", Consumer)


def settings(**more: Any) -> Kafka:
    found = read_settings(Kafka, {"servers": ["broker:9092"], "topics": ["orders"], **more})
    assert isinstance(found, Kafka)
    return found


async def test_offsets_are_committed_after_what_they_stand_for_is_stored() -> None:
    items = kafka(settings(begin="new"), SourceContext("k", VirtualClock()))
    task = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    [consumer] = made
    assert consumer.topics == ("orders",)
    assert consumer.options["enable_auto_commit"] is False
    assert (consumer.options["group_id"], consumer.options["auto_offset_reset"]) == ("automation", "latest")
    consumer.batches.append(
        {
            FIRST: [Record("orders", 0, 4, b'{"type": "a"}', b"shop"), Record("orders", 0, 5, b"nonsense")],
            SECOND: [Record("orders", 1, 2, b'{"type": "b", "id": "own"}')],
        }
    )
    rejected = await task
    assert isinstance(rejected, Rejected)
    assert rejected.error.startswith("orders, partition 0, offset 5: not valid JSON")
    delivery = await anext(items)
    assert isinstance(delivery, Delivery)
    first, second = delivery.events
    assert (first.id, first.source, first.subject, first.time) == ("orders/0/4", "kafka:k", "shop", 1_767_225_600.25)
    assert second.id == "own"
    assert delivery.lag == 4
    assert consumer.committed == []
    # Only asking for more says that these are stored.
    consumer.batches.append({FIRST: [Record("orders", 0, 6, None)]})
    rejected = await anext(items)
    assert consumer.committed == [{FIRST: 6, SECOND: 3}]
    assert isinstance(rejected, Rejected)
    assert "there is nothing to read" in rejected.error
    await items.aclose()
    assert consumer.ended


async def test_a_timestamp_that_is_no_date_is_not_taken_for_one() -> None:
    clock = VirtualClock()
    items = kafka(settings(), SourceContext("k", clock))
    task = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    # In nanoseconds, as some producers have it by mistake.
    made[0].batches.append({FIRST: [Record("orders", 0, 4, b'{"type": "a"}', timestamp=1_767_225_600_250_000_000)]})
    delivery = await task
    assert isinstance(delivery, Delivery)
    assert [event.time for event in delivery.events] == [clock.now()]
    await items.aclose()


async def test_a_failed_start_leaves_nothing_behind() -> None:
    with pytest.raises(ConnectionError):
        await anext(kafka(settings(servers=["nowhere:1"]), SourceContext("k", VirtualClock())))
    assert made[0].ended


async def test_a_user_and_tls() -> None:
    secure = settings(security="SASL_SSL", mechanism="SCRAM-SHA-512", user="me", password="secret")
    items = kafka(secure, SourceContext("k", VirtualClock()))
    task = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    options = made[0].options
    assert options["ssl_context"] is not None
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("me", "secret")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nobody_there_fails_the_source_with_the_real_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    items = kafka(settings(servers=["127.0.0.1:9"]), SourceContext("k", VirtualClock()))
    with pytest.raises(aiokafka.errors.KafkaConnectionError, match=r"Unable to bootstrap from .*127\.0\.0\.1"):
        await anext(items)
