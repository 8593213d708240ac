"""Events from Alertmanager's webhook, version 4 of its format.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from automation.errors import InputError
from automation.model.event import Event
from automation.sources import payload

SOURCE = "alertmanager"
SUBJECT_LABELS = ("service", "service_name", "job", "instance")

_NO_TIME = "0001-01-01T00:00:00Z"


class Notified(NamedTuple):
    """The events of one notification, and how many alerts Alertmanager left out of it (its `max_alerts`)."""

    events: list[Event]
    truncated: int


def events_from_alertmanager(body: bytes, max_depth: int) -> Notified:
    """One event an alert: `alert.firing` or `alert.resolved`. Raises InputError that says where the body is wrong.

    An alert that is repeated in the same state has the same id, so that a repetition starts nothing.
    """
    value = payload.parse_json(body, max_depth=max_depth)
    if not isinstance(value, dict):
        raise InputError(f"must be a webhook of Alertmanager, an object, not {payload.kind_of(value)}")
    version = payload.require(value, "version", str)
    if version != "4":
        raise payload.wrong("version", f"must be '4', as Alertmanager 0.16 and later send it, not {version[:20]!r}")
    group = {
        "receiver": payload.optional(value, "receiver", ""),
        "group_key": payload.optional(value, "groupKey", ""),
        "external_url": payload.optional(value, "externalURL", ""),
    }
    alerts = payload.require(value, "alerts", list)
    events = [alert_event(alert, group, f"alerts[{index}]", SOURCE) for index, alert in enumerate(alerts)]
    return Notified(events, max(0, payload.optional(value, "truncatedAlerts", 0)))


def alert_event(value: Any, group: Mapping[str, str], path: str, source: str) -> Event:
    """The event of one alert, in the form that Alertmanager and Grafana share; raises InputError with its path."""
    alert = payload.check(value, dict, path)
    status = payload.require(alert, "status", str, path)
    if status not in ("firing", "resolved"):
        raise payload.wrong(f"{path}.status", f"must be 'firing' or 'resolved', not {status[:20]!r}")
    payload.require(alert, "labels", dict, path)
    labels = payload.texts(alert, "labels", path)
    started = payload.require(alert, "startsAt", str, path)
    starts_at = payload.moment(started, f"{path}.startsAt")
    ends_at = _end(alert, path)
    fingerprint = payload.optional(alert, "fingerprint", "", path) or fingerprint_of(labels)
    subject = next((labels[key] for key in SUBJECT_LABELS if labels.get(key)), "")
    return Event(
        type=f"alert.{status}",
        source=source,
        subject=payload.name_or_empty(subject, f"{path}.labels"),
        severity=labels.get("severity"),
        labels=labels,
        id=payload.name(f"{fingerprint}:{status}:{started}", f"{path}.fingerprint"),
        time=ends_at if status == "resolved" and ends_at is not None else starts_at,
        data={
            "alert": labels.get("alertname", ""),
            "status": status,
            "fingerprint": fingerprint,
            "severity": labels.get("severity"),
            "labels": labels,
            "annotations": payload.texts(alert, "annotations", path),
            "starts_at": starts_at,
            "ends_at": ends_at,
            "generator_url": payload.optional(alert, "generatorURL", "", path),
            **group,
        },
    )


def _end(alert: Mapping[str, Any], path: str) -> float | None:
    text = payload.optional(alert, "endsAt", _NO_TIME, path)
    return None if text == _NO_TIME else payload.moment(text, f"{path}.endsAt")


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """What names an alert whose sender gave it no fingerprint: a hash of its labels, in whatever order they came."""
    # No label and no value holds these two bytes in UTF-8, so that no two sets of labels read the same.
    text = b"\xff".join(key.encode() + b"\xfe" + labels[key].encode() for key in sorted(labels))
    return sha256(text).hexdigest()[:16]
