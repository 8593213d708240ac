"""The `mqtt` source with a real Mosquitto."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiomqtt import Client

from automation import AutomationEngine
from automation.clock import VirtualClock
from automation.sources.mqtt import Mqtt, mqtt
from automation.sources.source import Delivery, SourceContext
from tests.support.brokers import listening, mosquitto, needs_program
from tests.support.programs import until
from tests.support.sources import came, dead_letters, follow, is_so, state, unfollow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120), needs_program("mosquitto")]


async def said(port: int, topic: str, *texts: str | bytes, qos: int = 1, retain: bool = False) -> None:
    async with Client("127.0.0.1", port) as client:
        for text in texts:
            await client.publish(topic, text, qos=qos, retain=retain)


async def subscribed(engine: AutomationEngine, port: int, topic: str) -> None:
    """Return once something that is said is heard: it is a duplicate after the first time."""
    before = state(engine).events

    async def heard() -> bool:
        await said(port, topic, '{"type": "probe", "id": "probe"}')
        return state(engine).events > before

    await until(heard, "something is heard")


async def test_messages_become_events(engine: AutomationEngine, folder: Path) -> None:
    with mosquitto(folder) as port:
        await listening(port, folder / "mosquitto.log")
        await follow(engine, "mqtt", host="127.0.0.1", port=port, topics=["plant/+/state"])
        await subscribed(engine, port, "plant/x/state")
        await said(port, "plant/seven/state", '{"type": "down", "data": {"why": "heat"}}', "21.5", qos=2)
        await said(port, "plant/other", '{"type": "unheard"}')
        found = await is_so(engine, lambda found: found.rejected == 1)
        assert found.restarts == 0
        probe, event = await came(engine, 2)
        assert probe.type == "probe"
        assert (event.type, event.subject, event.data) == ("down", "plant/seven/state", {"why": "heat"})
        assert (event.source, event.labels["topic"]) == ("mqtt:under-test", "plant/seven/state")
        assert "topic plant/seven/state: a message must be an object, not a number" in (await dead_letters(engine))[0]


async def test_with_a_type_any_value_is_an_event(engine: AutomationEngine, folder: Path) -> None:
    with mosquitto(folder) as port:
        await listening(port, folder / "mosquitto.log")
        await said(port, "t/temperature", "21.5", retain=True)
        await follow(engine, "mqtt", host="127.0.0.1", port=port, topics=["t/#"], type="reading", retained=True)
        [event] = await came(engine, 1)
        assert (event.type, event.subject, event.data) == ("reading", "t/temperature", {"value": 21.5})


async def test_what_is_said_while_we_are_away_comes_afterwards(engine: AutomationEngine, folder: Path) -> None:
    with mosquitto(folder) as port:
        await listening(port, folder / "mosquitto.log")
        settings = {"host": "127.0.0.1", "port": port, "topics": ["jobs"]}
        await follow(engine, "mqtt", **settings)
        await subscribed(engine, port, "jobs")
        await unfollow(engine)
        await said(port, "jobs", *(f'{{"type": "job", "id": "{number}"}}' for number in range(5)))
        await follow(engine, "mqtt", **settings)
        events = [event.id for event in await came(engine, 6)]
        assert events == ["probe", "0", "1", "2", "3", "4"]


async def test_a_message_is_acknowledged_only_when_it_is_stored(folder: Path) -> None:
    """Given a source that dies with what it took, then the broker gives that again, and a few at a time."""
    with mosquitto(folder) as port:
        await listening(port, folder / "mosquitto.log")
        settings = Mqtt(host="127.0.0.1", port=port, topics=("jobs",), batch=3, retained=True)
        context = SourceContext("x", VirtualClock())
        first = mqtt(settings, context)
        taken = asyncio.ensure_future(anext(first))
        await said(port, "jobs", '{"type": "probe"}', retain=True)
        assert isinstance(await taken, Delivery)
        await first.aclose()
        await said(port, "jobs", *(f'{{"type": "job", "id": "{number}"}}' for number in range(10)))
        again = mqtt(settings, context)
        found: list[str] = []
        while len(found) < 11:
            delivery = await anext(again)
            assert isinstance(delivery, Delivery)
            assert len(delivery.events) <= 3
            found += [event.id if event.type == "job" else event.type for event in delivery.events]
        assert found == ["probe", *(str(number) for number in range(10))]
        await again.aclose()


async def test_a_broker_that_goes_away_fails_the_source_until_it_is_back(
    engine: AutomationEngine, folder: Path
) -> None:
    with mosquitto(folder) as port:
        await listening(port, folder / "mosquitto.log")
        await follow(engine, "mqtt", host="127.0.0.1", port=port, topics=["t"])
        await subscribed(engine, port, "t")
    found = await is_so(engine, lambda found: found.status == "failed")
    assert found.last_error is not None
    with mosquitto(folder, port):
        await listening(port, folder / "mosquitto.log")
        await subscribed(engine, port, "t")
