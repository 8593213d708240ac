"""An event: something happened."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from automation.model.ids import new_id


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Something happened, to `subject`, at `time`.

    `(source, id)` names an event once and for all: the same pair published again is a duplicate and starts nothing.
    """

    type: str
    subject: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    source: str = "api"
    severity: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    id: str = msgspec.field(default_factory=new_id)
    time: float = msgspec.field(default_factory=time.time)


def as_mapping(event: Event) -> dict[str, Any]:
    """An event as conditions and executions see it."""
    return msgspec.structs.asdict(event)


# Without the garbage collector, which has nothing to find in texts, and would look at each of a hundred thousand.
class EventReceipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What publishing an event led to, once that is durable."""

    event_id: str
    duplicate: bool = False
    executions: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Workflows that were triggered and did not start, each as `name: reason`."""
    woken: tuple[str, ...] = ()
    """Executions that had waited for it."""
