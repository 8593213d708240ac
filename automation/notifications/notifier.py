"""Delivers messages: finds the channel, keeps a record of each message, and tells nobody twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from pydantic import BaseModel

from automation.clock import Clock
from automation.config import Notifications, Section
from automation.config_sources import PREFIX
from automation.errors import DefinitionError, EngineStopped, Problem, Refused
from automation.infrastructure.outgoing import HttpLimits
from automation.model.notification import Message
from automation.notifications.channel import ChannelContext
from automation.plugins import Plugin, read_settings, registry
from automation.store import alerts
from automation.store.alerts import Notification
from automation.store.store import Store

_MAX_TEXT = 10_000

Outlet = Callable[[str, Mapping[str, Any], Message], Awaitable[None]]
"""Hands a message over: by this channel, with these settings over its configured ones. Raises TryLater or Refused."""

OnSent = Callable[[str, str], object]
"""Called with the channel and `sent` or `failed`, for each attempt."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered."""

    key: str
    channel: str
    to: str
    sent_at: float
    attempts: int
    repeated: bool = False
    """Whether it was delivered before, under the same key, and not again now."""


class Notifier:
    """Delivers messages by channels."""

    def __init__(
        self,
        store: Store,
        configured: Notifications,
        clock: Clock,
        limits: HttpLimits | None = None,
        on_sent: OnSent | None = None,
    ) -> None:
        self._store = store
        self._configured = configured
        self._clock = clock
        self._context = ChannelContext(clock, limits or HttpLimits())
        self._on_sent = on_sent or (lambda channel, status: None)
        self.outlet: Outlet = self._hand_over
        """Where messages leave; a test puts something of its own here."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def deliver(self, channel: str, settings: Mapping[str, Any], message: Message, *, key: str) -> Delivery:
        """Have `message` delivered by `channel`, with `settings` over its configured ones.

        What was delivered under the same `key` before is not delivered again. Raises TryLater or Refused; trying again
        is up to the caller. Killed between the delivery and its record, the engine delivers it once more.
        """
        # Two at once under one key would both find nothing sent yet.
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = await alerts.notification(self._store, key)
            if known is not None and known.status == "sent":
                sent_at = known.sent_at if known.sent_at is not None else known.created_at
                return Delivery(key, known.channel, known.recipient, sent_at, known.attempts, repeated=True)
            row = Notification(
                id=key,
                channel=channel,
                recipient=message.to,
                text=_shown(message),
                status="pending",
                attempts=known.attempts + 1 if known else 1,
                created_at=known.created_at if known else self._clock.now(),
            )
            await self._store.commit([row.op()])
            await self._send(row, settings, message)
            sent_at = self._clock.now()
            await self._store.commit_patiently([replace(row, status="sent", sent_at=sent_at).op()])
            self._on_sent(channel, "sent")
            return Delivery(key, channel, message.to, sent_at, row.attempts)

    async def _send(self, row: Notification, settings: Mapping[str, Any], message: Message) -> None:
        try:
            await self.outlet(row.channel, settings, message)
        except asyncio.CancelledError:
            # It may have been delivered or not; the attempt's limit leaves no time to wait for this to be on disk.
            error = "interrupted before the answer came"
            with suppress(EngineStopped):
                self._store.writer.post([replace(row, status="failed", error=error).op()]).add_done_callback(_seen)
            self._on_sent(row.channel, "failed")
            raise
        except Exception as error:
            await self._store.commit_patiently([replace(row, status="failed", error=str(error)).op()])
            self._on_sent(row.channel, "failed")
            raise

    async def _hand_over(self, channel: str, settings: Mapping[str, Any], message: Message) -> None:
        plugin = find_channel(channel)
        read = channel_settings(plugin, self._configured, settings)
        await plugin.call(read, message, self._context)


def find_channel(name: str) -> Plugin:
    """The channel of this name; raises Refused that says which there are."""
    found = registry.find("channel", name)
    if found is None:
        raise Refused(registry.unknown("channel", name))
    return found


def channel_settings(plugin: Plugin, configured: Notifications, given: Mapping[str, Any]) -> BaseModel:
    """The settings of a channel: those given over those configured; raises Refused that says what to set."""
    section = getattr(configured, plugin.name, None)
    defaults = section.model_dump(exclude_none=True) if isinstance(section, Section) else {}
    try:
        return read_settings(plugin.settings, {**defaults, **given})
    except DefinitionError as error:
        raise Refused("; ".join(_advice(plugin.name, section, problem) for problem in error.problems)) from None


def _advice(channel: str, section: object, problem: Problem) -> str:
    if problem.message == "is required" and hasattr(section, problem.path):
        variable = f"{PREFIX}NOTIFICATIONS__{channel}__{problem.path}_FILE".upper()
        return f"the channel {channel!r} is not configured: set notifications.{channel}.{problem.path}, or {variable}"
    return f"the channel {channel!r} cannot be used: {problem}"


def _shown(message: Message) -> str:
    text = f"{message.title}: {message.text}" if message.title else message.text
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _seen(future: asyncio.Future[None]) -> None:
    # Nobody waits for this write; asked for its error, the future does not complain that nobody did.
    if not future.cancelled():
        future.exception()
