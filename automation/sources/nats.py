"""`nats`: takes messages of a JetStream stream as a durable consumer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, SecretStr

from automation.model.event import Event
from automation.plugins import source
from automation.sources.record import Origin, Records, batch, event_or_rejected
from automation.sources.source import Item, Rejected, SourceContext

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_CONNECT_SECONDS = 10
_WAIT_SECONDS = 5.0


class Nats(Records):
    """Which stream, and as whom."""

    servers: Annotated[tuple[str, ...], Field(min_length=1)] = ("nats://127.0.0.1:4222",)
    """The servers of a cluster: `nats://` or `tls://`, with user and password or a token if they want them."""
    stream: str
    """The stream of JetStream. It has to be there."""
    subject: str = ">"
    """Which subjects of it, with `*` and `>`."""
    consumer: str = "automation"
    """The name of the durable consumer, which is made where it is not there. Processes with the same name share it."""
    credentials: str | None = None
    """The path of a file of credentials."""
    token: SecretStr | None = None
    """A token."""
    batch: Annotated[int, Field(ge=1, le=500)] = 100
    """How many messages are taken at a time, and are in flight."""
    ack_seconds: Annotated[float, Field(ge=1)] = 60.0
    """After how long without an acknowledgement the server gives a message again, to whoever asks."""


@source("nats", library="nats", extra="nats")
async def nats(settings: Nats, context: SourceContext) -> AsyncIterator[Item]:
    """Take messages of a JetStream stream; each is acknowledged after its event is on disk."""
    from nats.errors import TimeoutError as NothingNew
    from nats.js.api import AckPolicy, ConsumerConfig

    connection = await _connected(settings)
    try:
        wanted = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT, ack_wait=settings.ack_seconds, max_ack_pending=settings.batch * 10
        )
        subscription = await connection.jetstream().pull_subscribe(
            settings.subject, durable=settings.consumer, stream=settings.stream, config=wanted
        )
        context.listening()
        while True:
            if connection.is_closed:
                raise ConnectionError("the connection to NATS was closed")
            try:
                messages = await subscription.fetch(settings.batch, timeout=_WAIT_SECONDS)
            except NothingNew:
                continue
            items = [_item(message, settings, context) for message in messages]
            for item in batch(items, lag=messages[-1].metadata.num_pending):
                yield item
            for message in messages:
                # Only here: what was yielded is on disk.
                await message.ack()
    finally:
        await connection.close()


async def _connected(settings: Nats) -> Client:
    from nats.aio.client import Client
    from nats.errors import NoServersError

    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        # What goes wrong later is raised by the next fetch.
        errors[:] = [error]

    client = Client()
    try:
        await client.connect(
            list(settings.servers),
            # Whoever supervises this source connects again, and shows that. The library would go on for minutes.
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_SECONDS,
            user_credentials=settings.credentials,
            token=settings.token.get_secret_value() if settings.token else None,
            error_cb=note,
        )
    except BaseException as error:
        # It leaves the connection of an attempt that failed open.
        await client.close()
        if isinstance(error, NoServersError):
            raise ConnectionError(f"no server of NATS answers: {errors[0] if errors else error}") from None
        raise
    return client


def _item(message: Msg, settings: Nats, context: SourceContext) -> Event | Rejected:
    about = message.metadata
    origin = Origin(
        f"nats:{context.name}",
        f"{about.stream}/{about.sequence.stream}",
        about.timestamp.timestamp(),
        message.subject[:500],
        {"subject": message.subject},
    )
    return event_or_rejected(message.data, settings, origin, f"{about.stream}, message {about.sequence.stream}")
