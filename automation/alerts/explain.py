"""Why an alert rule fires, or does not: what its conditions say of each series now, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from automation.alerts.life import OPEN
from automation.alerts.reading import Latest, Look, Watched, look_through, names_of, new_alert, read
from automation.clock import iso
from automation.conditions import Explanation
from automation.model.alert import Alert, AlertRule, AlertState
from automation.model.metric import Sample

INACTIVE = "inactive"
"""The state of a series that has no alert."""


@dataclass(frozen=True, slots=True)
class SeriesReading:
    """What a rule says of one series."""

    subject: str
    labels: Mapping[str, str]
    state: str
    """`inactive`, `pending`, `firing` or `acknowledged`."""
    holds: bool | None
    """Whether the condition holds now; None when that is unknown."""
    since: float | None
    """Since when it is in that state; None if it is inactive."""
    reason: str
    """Why it is in that state, and what would have to come for it to fire."""
    fingerprint: str
    condition: Explanation
    resolve: Explanation | None


@dataclass(frozen=True, slots=True)
class RuleReading:
    """What a rule says of the series that it looks at."""

    rule: AlertRule
    reason: str
    """Why it fires for none of them, where that has one reason."""
    series: tuple[SeriesReading, ...]
    """Those with an alert first, then by subject."""
    more: int
    """How many series are left out."""


def explain_series(
    watched: Watched, sample: Sample, fingerprint: str, known: Alert | None, seen: tuple[Latest, Look, float]
) -> SeriesReading:
    """What a rule says of the series of a sample, given its alert, if it has one; `seen` is at that time."""
    latest, look, now = seen
    alert = known or new_alert(watched, sample, fingerprint)
    names = names_of(watched, sample, latest)
    look_through(watched, names, sample, look, now)
    reading = read(watched, names, alert, sample, now)
    held = [moment for moment in reading.since if moment is not None]
    if len(reading.since) == 1 and held:
        names["duration"] = now - held[0]
    condition = watched.condition.explain(names)
    state = INACTIVE if alert.state is AlertState.RESOLVED else alert.state.value
    since = None
    if state != INACTIVE:
        since = alert.starts_at if alert.state is AlertState.PENDING else alert.fired_at or alert.starts_at
    due = watched.condition.next_check(reading.since, now) if held else None
    return SeriesReading(
        sample.subject,
        sample.labels,
        state,
        reading.value,
        since,
        _reason(watched.rule, alert, reading.value, condition, (min(held, default=None), due, now)),
        fingerprint,
        condition,
        watched.resolve.explain(names) if watched.resolve else None,
    )


def _reason(
    rule: AlertRule,
    alert: Alert,
    holds: bool | None,
    condition: Explanation,
    times: tuple[float | None, float | None, float],
) -> str:
    since, due, now = times
    if not rule.enabled:
        return "the rule is disabled"
    if alert.state in OPEN:
        said = alert.reason or "the condition holds"
    elif since is not None and holds is not True:
        said = f"has held since {iso(since)}"
        said += f"; fires at {iso(due)} unless it ends before" if due is not None else ", not for long enough"
    elif holds is None:
        said = f"unknown: {'; '.join(dict.fromkeys(_unknowns(condition))) or 'a part of it is'}"
    elif holds:
        said = "the condition holds; it fires with the next sample"
    else:
        said = "the condition is false"
    if alert.cooldown_until is not None and alert.cooldown_until > now:
        said += f"; its actions are in cooldown until {iso(alert.cooldown_until)}"
    return said


def _unknowns(part: Explanation) -> Iterator[str]:
    if part.value is not None:
        return
    if part.reason:
        yield f"{part.text}: {part.reason}"
    elif not part.children:
        yield f"there is no {part.text}"
    for child in part.children:
        yield from _unknowns(child)
