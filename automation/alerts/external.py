"""Alerts of other systems, as events tell of them."""

from __future__ import annotations

from collections.abc import Mapping

from automation.clock import FIRST_MOMENT, LAST_MOMENT
from automation.errors import InputError
from automation.model.alert import Alert, AlertState
from automation.model.event import Event

LONGEST = 500
"""Characters of a name or fingerprint."""
TYPES = ("alert.firing", "alert.resolved")
"""Of the events that may tell of them."""


def tells(event: Event) -> bool:
    """Whether an event tells of an alert of another system."""
    if event.type not in TYPES or event.source == "alerts":
        return False
    return bool(event.data.get("alert") and event.data.get("fingerprint"))


def check(event: Event) -> None:
    """Refuse an event that tells of what cannot be an alert; raises InputError.

    Anybody who may publish can send such an event. Failed on, it would fail its source again and again.
    """
    if not tells(event):
        return
    starts_at = event.data.get("starts_at") or event.time
    if not isinstance(event.data["fingerprint"], str):
        raise InputError("event.data.fingerprint: must be text")
    for key in ("fingerprint", "alert"):
        text = str(event.data[key])
        if len(text) > LONGEST or "\0" in text:
            raise InputError(f"event.data.{key}: must be text of at most {LONGEST} characters, without NUL")
    if not isinstance(starts_at, int | float) or not FIRST_MOMENT <= starts_at <= LAST_MOMENT:
        raise InputError("event.data.starts_at: must be seconds since 1970, within the years 1 to 9999")
    if not isinstance(event.data.get("annotations") or {}, Mapping):
        raise InputError("event.data.annotations: must be a mapping")


def alert_of(event: Event, known: Alert | None, now: float) -> Alert:
    """The alert after an event that `check` has let pass; it stays acknowledged while it is told of again."""
    firing, starts_at = event.type == "alert.firing", event.data.get("starts_at") or event.time
    acknowledged = known is not None and known.state is AlertState.ACKNOWLEDGED and known.starts_at == starts_at
    return Alert(
        fingerprint=event.data["fingerprint"],
        name=str(event.data["alert"]),
        state=(AlertState.ACKNOWLEDGED if acknowledged else AlertState.FIRING) if firing else AlertState.RESOLVED,
        severity=event.severity or "medium",
        source=event.source,
        subject=event.subject,
        starts_at=float(starts_at),
        updated_at=now,
        labels=event.labels,
        annotations=event.data.get("annotations") or {},
        fired_at=float(starts_at),
        resolved_at=None if firing else now,
        reason=f"told by {event.source}",
    )
