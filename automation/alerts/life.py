"""The life of an alert, decided purely: a value goes in, the next state and its reason come out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from automation.clock import iso
from automation.model.alert import Alert, AlertState

OPEN = frozenset({AlertState.FIRING, AlertState.ACKNOWLEDGED})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule's conditions say of one series at one moment."""

    at: float
    value: bool | None
    """Whether the condition holds; None when that is unknown."""
    since: tuple[float | None, ...] = ()
    """For each AND group with `duration`: since when the rest of it has held."""
    resolve: bool | None = None
    """What `resolve_when` says, or None without one."""
    measured: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of an alert: its next state, whether it has to be stored, and whether it changed for others."""

    alert: Alert
    changed: bool = False
    transition: AlertState | None = None
    """FIRING or RESOLVED when the alert has just become so."""


def follow(alert: Alert, reading: Reading, *, has_resolve: bool) -> Step:
    """The next state of an alert after a reading."""
    moved = replace(alert, since=reading.since, value=reading.measured)
    if alert.state in OPEN:
        ended = reading.resolve is True if has_resolve else reading.value is False
        if ended:
            reason = "resolve_when holds" if has_resolve else "the condition no longer holds"
            return _become(moved, AlertState.RESOLVED, reading.at, reason)
        return Step(moved, changed=reading.since != alert.since)
    if reading.value is True:
        return _become(moved, AlertState.FIRING, reading.at, "the condition holds")
    held = [moment for moment in reading.since if moment is not None]
    if alert.state is AlertState.PENDING:
        if not held:
            reason = "the condition stopped before it had held long enough"
            return Step(replace(moved, state=AlertState.RESOLVED, updated_at=reading.at, reason=reason), changed=True)
        return Step(moved, changed=reading.since != alert.since)
    if held:
        reason = f"has held since {iso(min(held))}"
        begun = replace(
            moved, state=AlertState.PENDING, starts_at=min(held), updated_at=reading.at, reason=reason, resolved_at=None
        )
        return Step(begun, changed=True)
    return Step(moved)


def _become(alert: Alert, state: AlertState, at: float, reason: str) -> Step:
    if state is AlertState.FIRING:
        starts_at = alert.starts_at if alert.state is AlertState.PENDING else at
        alert = replace(
            alert, state=state, starts_at=starts_at, updated_at=at, fired_at=at, resolved_at=None, reason=reason
        )
    else:
        alert = replace(alert, state=state, updated_at=at, resolved_at=at, reason=reason)
    return Step(alert, changed=True, transition=state)
