"""What a source is given, and what it gives.

A source is an async generator: `@source("mqtt") async def mqtt(settings: Mqtt, context: SourceContext)`. It yields
what it found, and its supervisor stores that together with the position behind it before it asks for more: a source
that is started again at its last position gives again only what was not stored. So what follows a `yield` is the place
to acknowledge to a broker, and one delivery is all that is in flight: while the store is slow, the source waits. It may
also yield bare events, and leave `context` out, where there is no position to return to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from automation.clock import Clock, RealClock
from automation.model.event import Event


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given beside its settings."""

    name: str = "source"
    """The name of its definition."""
    clock: Clock = field(default_factory=RealClock)
    position: Any = None
    """What it yielded last as `position`, before a restart; None at the very first start."""
    listening: Callable[[], object] = lambda: None
    """Called by a source as soon as it takes in what comes: connected, subscribed, answered. Until then, or until its
    first item, it is `starting`, so that one that cannot reach its broker never looks as if it ran."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events, and where to go on after them. Without events, just the position is stored.

    `(source, id)` of an event must be the same when it is read again: that is how a repetition is known.
    """

    events: tuple[Event, ...]
    position: Any = None
    """Any JSON value; None leaves the stored position as it is."""
    lag: int | None = None
    """How many items wait behind these where they come from; None where the source does not know."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something that is not an event, with what is wrong with it: stored as a dead letter."""

    raw: str
    error: str
    position: Any = None


Item = Event | Delivery | Rejected
"""What a source may yield."""
