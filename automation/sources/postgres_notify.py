"""`postgres_notify`: hears what is said with NOTIFY in a PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from automation.clock import iso
from automation.model.ids import new_id
from automation.plugins import source
from automation.sources.record import Origin, Records, batch, event_or_rejected
from automation.sources.source import Delivery, Item, Rejected, SourceContext

_LOOK_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_MOST_AT_ONCE = 500


class PostgresNotify(Records):
    """Which database, and which channels of it."""

    url: str
    """`postgresql://user:password@host:port/database`."""
    channels: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=63)], ...], Field(min_length=1)]
    """The channels of `NOTIFY`."""
    max_waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """How many notifications may wait in memory for the disk; what comes above that is lost, and rejected as such."""


@source("postgres_notify", library="asyncpg", extra="postgres")
async def postgres_notify(settings: PostgresNotify, context: SourceContext) -> AsyncIterator[Item]:
    """LISTEN on channels of a PostgreSQL; the payload of each NOTIFY is a record.

    PostgreSQL keeps nothing for whoever does not listen: what is said while the source is not connected is lost.
    """
    import asyncpg

    heard = _Heard(settings.max_waiting)
    connection = await asyncpg.connect(settings.url, timeout=_CONNECT_SECONDS, command_timeout=_CONNECT_SECONDS)
    try:
        connection.add_termination_listener(heard.end)
        for channel in settings.channels:
            await connection.add_listener(channel, heard.take)
        context.listening()
        for item in _gap(context):
            yield item
        while True:
            if not await heard.wait(_LOOK_SECONDS):
                # A connection that is cut without a word is found out by asking.
                await connection.execute("SELECT 1")
                yield Delivery((), _position(context))
                continue
            waiting, lost = heard.next()
            if lost:
                yield Rejected("", f"{lost} notifications came faster than they could be stored, and were lost")
            items = [
                event_or_rejected(
                    text.encode(),
                    settings,
                    Origin(f"postgres_notify:{context.name}", new_id(), context.clock.now()),
                    f"channel {channel}",
                )
                for channel, text in waiting
            ]
            for item in batch(items, position=_position(context), lag=heard.count):
                yield item
            if heard.ended and not heard.count:
                raise ConnectionError("the connection to PostgreSQL was closed")
    finally:
        connection.terminate()


class _Heard:
    """What was heard and is not stored yet, up to a number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[str, str]] = []
        self._lost = 0
        self._something = asyncio.Event()
        self.ended = False

    @property
    def count(self) -> int:
        return len(self._waiting)

    def take(self, connection: Any, pid: int, channel: str, payload: Any) -> None:
        if len(self._waiting) >= self._limit:
            self._lost += 1
        else:
            self._waiting.append((channel, payload))
        self._something.set()

    def end(self, connection: Any) -> None:
        self.ended = True
        self._something.set()

    async def wait(self, seconds: float) -> bool:
        """Whether there is something to do; False after so long without."""
        try:
            async with asyncio.timeout(seconds):
                await self._something.wait()
        except TimeoutError:
            return False
        return True

    def next(self) -> tuple[list[tuple[str, str]], int]:
        """The next notifications, and how many were lost since the last time."""
        found, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        lost, self._lost = self._lost, 0
        if not self._waiting and not self.ended:
            self._something.clear()
        return found, lost


def _position(context: SourceContext) -> dict[str, float]:
    return {"heard_until": context.clock.now()}


def _gap(context: SourceContext) -> list[Item]:
    """What is to be said of the time in which nobody listened."""
    if not isinstance(context.position, Mapping):
        return [Delivery((), _position(context))]
    since = iso(float(context.position["heard_until"]))
    text = f"nobody listened from about {since} to {iso(context.clock.now())}: what was notified meanwhile is lost"
    return [Rejected("", text, _position(context))]
