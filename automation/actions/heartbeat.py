"""Heartbeats of long actions: a sign of life now and then, and how far it has come for whoever goes on after it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec

from automation.clock import Clock
from automation.errors import Refused
from automation.store.values import unstorable

MOST_BYTES = 16_384
"""How much the details of a heartbeat may be: a position to go on from, not a result."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def checked(details: Any) -> Any:
    """A copy of the details as JSON holds them; raises Refused for what it cannot hold, and for too much."""
    if details is None:
        return None
    wrong = "; ".join(f"{place} {message}" for place, message in unstorable(details, "details"))
    if wrong:
        raise Refused(f"a heartbeat cannot be kept: {wrong}")
    text = _encode(details)
    if len(text) > MOST_BYTES:
        raise Refused(f"a heartbeat cannot be kept: its details are {len(text):,} bytes; at most {MOST_BYTES:,}")
    return _decode(text)


class Pulse:
    """When the last heartbeat of one attempt came. What it said goes to `take`, on the event loop."""

    __slots__ = ("_loop", "_thread", "clock", "last", "used")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.last = clock.monotonic()
        """By the clock's `monotonic`; at first, when the attempt began."""
        self.used = False
        """Whether any has come."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def beat(self, details: Any) -> None:
        """Take a heartbeat in, from any thread."""
        self.last = self.clock.monotonic()
        self.used = True
        if threading.get_ident() == self._thread:
            self.take(details)
            return
        try:
            self._loop.call_soon_threadsafe(self.take, details)
        except RuntimeError:
            # The loop was closed while the function ran: nobody listens any more.
            return

    def take(self, details: Any) -> None:
        """Take in what was said; here nobody keeps it."""

    def note(self) -> None:
        """Keep what was said last, if it is not kept yet."""

    async def close(self) -> None:
        """The attempt is over: whatever it says from now on does not count."""
