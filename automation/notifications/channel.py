"""What a channel is given beside its settings and the message.

A channel is a function: `@channel("slack") async def slack(settings: SlackSettings, message: Message, context:
ChannelContext)`; one that needs no context leaves it out. It returns when the message was taken over, raises TryLater
when it may go through later, Refused when it will not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from automation.clock import Clock, RealClock
from automation.infrastructure.outgoing import HttpLimits


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """What a channel may need of the engine."""

    clock: Clock = field(default_factory=RealClock)
    limits: HttpLimits = field(default_factory=HttpLimits)
    """Which addresses may be called."""
