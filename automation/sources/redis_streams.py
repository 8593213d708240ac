"""`redis_streams`: takes entries of Redis Streams as a member of a consumer group."""

from __future__ import annotations

import json
import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from automation.model.event import Event
from automation.plugins import source
from automation.sources.record import Origin, Records, batch, event_or_rejected, told_time
from automation.sources.source import Item, Rejected, SourceContext

if TYPE_CHECKING:
    from redis.asyncio import Redis

_BLOCK_SECONDS = 5.0
_GRACE_SECONDS = 10.0

Entry = tuple[bytes, bytes, Mapping[bytes, bytes] | None]
"""The stream, the id, and the fields; None where the entry was deleted from the stream before it was taken."""


class RedisStreams(Records):
    """Which streams, and as whom."""

    url: str = "redis://127.0.0.1:6379/0"
    """The server: `redis://`, `rediss://` or `unix://`, with user and password if it wants them."""
    streams: Annotated[tuple[str, ...], Field(min_length=1)]
    """The streams; one that is not there is made."""
    group: str = "automation"
    """The consumer group. Processes with the same group share the entries."""
    consumer: str | None = None
    """The name of this process in the group; by default that of the host. It first takes what it left unfinished."""
    begin: Literal["first", "new"] = "first"
    """Where a new group begins: at the first entry that there is, or with those to come."""
    field: str = "event"
    """The field of an entry that holds a record as JSON. Where it is missing, all fields together are the record."""
    batch: Annotated[int, Field(ge=1, le=500)] = 100
    """How many entries of a stream are taken at a time, and are in flight."""
    claim_seconds: Annotated[float, Field(ge=1)] = 60.0
    """After how long without an acknowledgement an entry of another consumer is taken over: it has died."""


@source("redis_streams", library="redis", extra="redis")
async def redis_streams(settings: RedisStreams, context: SourceContext) -> AsyncIterator[Item]:
    """Take entries of Redis Streams in a consumer group; each is acknowledged after its event is on disk."""
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(
        settings.url, socket_connect_timeout=_GRACE_SECONDS, socket_timeout=_BLOCK_SECONDS + _GRACE_SECONDS
    )
    member = _Member(client, settings)
    try:
        await member.join()
        context.listening()
        while True:
            entries = await member.next(context.clock.monotonic())
            items = [_item(entry, settings, context) for entry in entries if entry[2] is not None]
            for item in batch(items, lag=await member.lag() if entries else None):
                yield item
            if entries:
                # Only here: what was yielded is on disk.
                await member.acknowledge(entries)
    finally:
        await client.aclose()


class _Member:
    """This process as a member of the group."""

    def __init__(self, client: Redis, settings: RedisStreams) -> None:
        self._client = client
        self._settings = settings
        self._me = settings.consumer or platform.node() or "automation"
        self._mine: dict[str, str] | None = dict.fromkeys(settings.streams, "0")
        """Where to go on with what this consumer left unfinished, while there is any."""
        self._claimed_at = float("-inf")
        self._claim_from = dict.fromkeys(settings.streams, "0-0")

    async def join(self) -> None:
        """Make the groups that are not there."""
        from redis.exceptions import ResponseError

        first = "0" if self._settings.begin == "first" else "$"
        for stream in self._settings.streams:
            try:
                await self._client.xgroup_create(stream, self._settings.group, id=first, mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def next(self, now: float) -> list[Entry]:
        """The next entries: first what this consumer left, then what dead ones left, then new ones."""
        if self._mine is not None:
            found = await self._read(self._mine)
            if found:
                for stream, entry_id, _ in found:
                    self._mine[stream.decode()] = entry_id.decode()
                return found
            self._mine = None
        if now - self._claimed_at >= self._settings.claim_seconds / 2:
            found = await self._claim()
            if found:
                return found
            self._claimed_at = now
        return await self._read(dict.fromkeys(self._settings.streams, ">"), block=True)

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Tell the group that these are done with."""
        by_stream: dict[bytes, list[bytes]] = {}
        for stream, entry_id, _ in entries:
            by_stream.setdefault(stream, []).append(entry_id)
        for stream, ids in by_stream.items():
            await self._client.xack(stream, self._settings.group, *ids)

    async def lag(self) -> int | None:
        """How many entries the group has not been given yet; None from a Redis before 7.0, which does not say."""
        total = 0
        for stream in self._settings.streams:
            for group in await self._client.xinfo_groups(stream):
                if _text(group["name"]) == self._settings.group:
                    if group.get("lag") is None:
                        return None
                    total += int(group["lag"])
        return total

    async def _read(self, places: Mapping[str, str], *, block: bool = False) -> list[Entry]:
        wanted: Any = dict(places)
        found: Any = await self._client.xreadgroup(
            self._settings.group,
            self._me,
            wanted,
            count=self._settings.batch,
            block=round(_BLOCK_SECONDS * 1000) if block else None,
        )
        streams = found.items() if isinstance(found, Mapping) else found or ()
        return [
            (_bytes(stream), entry_id, fields or None) for stream, rows in streams for entry_id, fields in _flat(rows)
        ]

    async def _claim(self) -> list[Entry]:
        found: list[Entry] = []
        for stream, place in self._claim_from.items():
            answer: Any = await self._client.xautoclaim(
                stream,
                self._settings.group,
                self._me,
                min_idle_time=round(self._settings.claim_seconds * 1000),
                start_id=place,
                count=self._settings.batch,
            )
            self._claim_from[stream] = _text(answer[0])
            found += [(stream.encode(), entry_id, fields) for entry_id, fields in answer[1] if entry_id is not None]
        return found


def _flat(rows: Any) -> list[tuple[bytes, Mapping[bytes, bytes] | None]]:
    # The newer protocol wraps the rows of each stream once more.
    if len(rows) == 1 and isinstance(rows[0], list):
        rows = rows[0]
    return list(rows)


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _item(entry: Entry, settings: RedisStreams, context: SourceContext) -> Event | Rejected:
    stream, entry_id, fields = entry[0].decode(errors="replace"), entry[1].decode(), entry[2] or {}
    raw = fields.get(settings.field.encode())
    if raw is None:
        whole = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in fields.items()}
        raw = json.dumps(whole).encode()
    # Whoever adds an entry may choose its id, which then is no time.
    time = told_time(int(entry_id.partition("-")[0]) / 1000, context.clock.now())
    origin = Origin(f"redis_streams:{context.name}", f"{stream}/{entry_id}", time)
    return event_or_rejected(raw, settings, origin, f"{stream}, entry {entry_id}")
