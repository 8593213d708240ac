"""Heartbeats of long actions: a sign of life now and then, and how far it has come for whoever goes on after it."""

from __future__ import annotations

from typing import Any, Protocol

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


class Pulse(Protocol):
    """The heartbeats of one attempt."""

    last: float
    """When the last one came, by the clock's `monotonic`."""
    used: bool
    """Whether any has come."""

    @property
    def clock(self) -> Clock:
        """By which `last` is told."""
        ...

    def note(self) -> None:
        """Keep what was said last, if it is not kept yet."""
        ...

    async def close(self) -> None:
        """The attempt is over: whatever it says from now on does not count."""
        ...
