"""Alerts and notifications, as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.engine import Row

from automation.errors import InputError
from automation.model.alert import Alert, AlertState
from automation.store import statements
from automation.store.pages import LIMIT, Page, limited
from automation.store.statement import Op
from automation.store.store import Store, decode, to_json
from automation.store.tables import alerts, notifications


def save(alert: Alert) -> Op:
    """The write that stores an alert as it is now."""
    return statements.ALERT(
        fingerprint=alert.fingerprint,
        name=alert.name,
        state=alert.state.value,
        severity=alert.severity,
        source=alert.source,
        subject=alert.subject,
        labels=to_json(alert.labels),
        annotations=to_json(alert.annotations),
        starts_at=alert.starts_at,
        updated_at=alert.updated_at,
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        value=alert.value,
        since=to_json(alert.since),
        cooldown_until=alert.cooldown_until,
        reason=alert.reason,
    )


def _from_row(row: Row[Any]) -> Alert:
    return Alert(
        fingerprint=row.fingerprint,
        name=row.name,
        state=AlertState(row.state),
        severity=row.severity,
        source=row.source,
        subject=row.subject,
        starts_at=row.starts_at,
        updated_at=row.updated_at,
        labels=decode(row.labels),
        annotations=decode(row.annotations),
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        value=row.value,
        since=tuple(decode(row.since)),
        cooldown_until=row.cooldown_until,
        reason=row.reason,
    )


async def get(store: Store, fingerprint: str) -> Alert | None:
    """The alert with this fingerprint, or None."""
    row = await store.first(select(alerts).where(alerts.c.fingerprint == fingerprint))
    return _from_row(row) if row else None


async def open_alerts(store: Store) -> tuple[Alert, ...]:
    """All alerts that are not resolved, and those in their cooldown: what a starting engine must know."""
    query = select(alerts).where(or_(alerts.c.state != AlertState.RESOLVED.value, alerts.c.cooldown_until.is_not(None)))
    return tuple(_from_row(row) for row in await store.fetch(query))


async def page(
    store: Store, *, state: AlertState | None = None, cursor: str | None = None, limit: int = LIMIT
) -> Page[Alert]:
    """Alerts, the last changed first."""
    order = (alerts.c.updated_at.desc(), alerts.c.fingerprint.desc())
    query = select(alerts).order_by(*order).limit(limited(limit) + 1)
    if state is not None:
        query = query.where(alerts.c.state == state.value)
    if cursor is not None:
        moment, _, fingerprint = cursor.partition("~")
        try:
            before = float(moment)
        except ValueError:
            raise InputError(f"cursor: {cursor[:50]!r} is not a cursor of this list") from None
        same = and_(alerts.c.updated_at == before, alerts.c.fingerprint < fingerprint)
        query = query.where(or_(alerts.c.updated_at < before, same))
    found = [_from_row(row) for row in await store.fetch(query)]
    last = found[limit - 1] if len(found) > limit else None
    return Page(tuple(found[:limit]), f"{last.updated_at!r}~{last.fingerprint}" if last else None)


async def counts(store: Store) -> dict[AlertState, int]:
    """How many alerts there are in each state."""
    query = select(alerts.c.state, func.count().label("total")).group_by(alerts.c.state)
    return {AlertState(row.state): row.total for row in await store.fetch(query)}


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to people, and what became of it."""

    id: str
    channel: str
    recipient: str
    text: str
    status: str
    attempts: int
    created_at: float
    error: str | None = None
    sent_at: float | None = None

    def op(self) -> Op:
        """The write that stores it as it is now."""
        return statements.NOTIFICATION(
            id=self.id,
            channel=self.channel,
            recipient=self.recipient,
            text=self.text,
            status=self.status,
            attempts=self.attempts,
            error=self.error,
            created_at=self.created_at,
            sent_at=self.sent_at,
        )


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        row.id,
        row.channel,
        row.recipient,
        row.text,
        row.status,
        row.attempts,
        row.created_at,
        row.error,
        row.sent_at,
    )


async def notification(store: Store, key: str) -> Notification | None:
    """The notification with this id, or None."""
    row = await store.first(select(notifications).where(notifications.c.id == key))
    return _notification(row) if row else None


async def newest_notifications(store: Store, limit: int = LIMIT) -> tuple[Notification, ...]:
    """The newest notifications."""
    query = select(notifications).order_by(notifications.c.created_at.desc()).limit(limited(limit))
    return tuple(_notification(row) for row in await store.fetch(query))
