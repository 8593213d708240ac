"""`mqtt`: subscribes to topics of an MQTT broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SecretStr

from automation.model.event import Event
from automation.model.ids import new_id
from automation.plugins import source
from automation.sources.record import Origin, Records, batch, event_or_rejected
from automation.sources.source import Item, Rejected, SourceContext

if TYPE_CHECKING:
    from aiomqtt import Message

_MOST_WAITING = 10_000
_CONNECT_SECONDS = 10.0


class Mqtt(Records):
    """Which broker, and which topics of it."""

    host: str
    """The broker."""
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    """Its port; 8883 is usual with TLS."""
    topics: Annotated[tuple[str, ...], Field(min_length=1)]
    """The topics, with `+` and `#`; `$share/<group>/<topic>` shares a topic with other subscribers of the group."""
    qos: Literal[0, 1, 2] = 1
    """The quality of service that is asked for. With 0 the broker keeps nothing for whoever is away."""
    user: str | None = None
    """The user, where the broker wants one."""
    password: SecretStr | None = None
    """Its password."""
    tls: bool = False
    """Whether to connect with TLS, with the certificates that the system trusts."""
    client_id: str | None = None
    """What the broker knows this subscriber by; by default `automation-<name of the source>`. Of two with the same, the
    broker throws one out."""
    session_seconds: Annotated[int, Field(ge=0, le=4_294_967_295)] = 86_400
    """How long the broker keeps messages of `qos` 1 and 2 for it while it is away."""
    retained: bool = False
    """Whether to take what the broker has retained on a topic when it is subscribed to for the first time."""
    batch: Annotated[int, Field(ge=1, le=500)] = 100
    """How many messages of `qos` 1 and 2 are in flight."""


@source("mqtt", library="aiomqtt", extra="mqtt")
async def mqtt(settings: Mqtt, context: SourceContext) -> AsyncIterator[Item]:
    """Subscribe to topics of an MQTT 5 broker; a message is acknowledged after its event is on disk."""
    from aiomqtt import MqttError
    from paho.mqtt.subscribeoptions import SubscribeOptions

    waiting = _Waiting()
    client = _client(settings, context.name, waiting)
    # The one thing that aiomqtt does not offer, and its library does: to acknowledge later.
    paho = client._client
    paho.manual_ack_set(True)
    async with AsyncExitStack() as stack:
        stack.callback(_leave, paho)
        await stack.enter_async_context(client)
        options = SubscribeOptions(qos=settings.qos, retainHandling=1 if settings.retained else 2)
        for topic in settings.topics:
            granted: Any = await client.subscribe(topic, options=options)
            if granted and granted[0].is_failure:
                raise MqttError(f"the broker refuses the topic {topic!r}: {granted[0]}")
        context.listening()
        while True:
            messages = [await anext(client.messages)]
            while len(messages) < settings.batch and not waiting.empty():
                messages.append(waiting.get_nowait())
            if waiting.lost:
                lost, waiting.lost = waiting.lost, 0
                yield Rejected("", f"{lost} messages came faster than they could be stored, and were lost")
            items = [_item(message, settings, context) for message in messages]
            for item in batch(items):
                yield item
            for message in messages:
                # Only here: what was yielded is on disk.
                paho.ack(message.mid, message.qos)


def _leave(paho: Any) -> None:
    """Close the connection of an attempt that failed, which aiomqtt leaves open."""
    # It would look into what is cancelled, and fail.
    paho.on_disconnect = None
    paho.disconnect()


class _Waiting(asyncio.Queue["Message"]):
    """What has come and is not taken yet. The broker bounds messages of QoS 1 and 2; of QoS 0 too many are lost."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(_MOST_WAITING)
        self.lost = 0

    def put_nowait(self, item: Message) -> None:
        if self.full():
            self.lost += 1
        super().put_nowait(item)


def _client(settings: Mqtt, name: str, waiting: _Waiting) -> Any:
    import ssl

    from aiomqtt import Client, ProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    connect: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    connect.SessionExpiryInterval = settings.session_seconds
    connect.ReceiveMaximum = settings.batch
    queue: Any = lambda maxsize=0: waiting  # noqa: E731 - it stands in for a class
    return Client(
        settings.host,
        settings.port,
        username=settings.user,
        password=settings.password.get_secret_value() if settings.password else None,
        identifier=settings.client_id or f"automation-{name}",
        queue_type=queue,
        protocol=ProtocolVersion.V5,
        clean_start=False,
        properties=connect,
        tls_context=ssl.create_default_context() if settings.tls else None,
        timeout=_CONNECT_SECONDS,
    )


def _item(message: Message, settings: Mqtt, context: SourceContext) -> Event | Rejected:
    topic = str(message.topic)
    raw = message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
    # MQTT gives a message no id that outlives its delivery.
    origin = Origin(f"mqtt:{context.name}", new_id(), context.clock.now(), topic[:500], {"topic": topic})
    return event_or_rejected(raw, settings, origin, f"topic {topic}")
