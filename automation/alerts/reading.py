"""What the conditions of a rule say of one series at one moment. Nothing here remembers or writes anything."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, Protocol

from automation.alerts.life import Reading
from automation.conditions import Condition, View, Window, compile_condition, seconds_of
from automation.conditions.mistakes import located
from automation.conditions.syntax import Mistake, Name
from automation.errors import ConditionError, DefinitionError, Problem
from automation.model.alert import Alert, AlertRule, AlertState
from automation.model.event import Event
from automation.model.metric import LONGEST_WINDOW, UNITS, Sample
from automation.store.store import encode

_DASHED = re.compile(r"[A-Za-z_]\w*(?:-[A-Za-z_]\w*)+", re.ASCII)
OWN = frozenset({"duration", "labels", "subject"})
"""Names in a condition that are no metrics."""


class Latest(Protocol):
    """Where the other metrics of a condition come from."""

    def __call__(self, name: str, subject: str) -> float | None: ...


class Look(Protocol):
    """Where the windows of a condition come from, for the series of a sample."""

    def __call__(self, window: Window, sample: Sample, now: float) -> View: ...


@dataclass(slots=True, eq=False)
class Watched:
    """A rule and its compiled conditions."""

    rule: AlertRule
    condition: Condition
    resolve: Condition | None
    cooldown: float
    """Seconds after a start of its actions in which they are not started again."""
    windows: frozenset[Window] = field(init=False)
    names: frozenset[str] = field(init=False)
    """The metrics that it reads."""

    def __post_init__(self) -> None:
        self.windows = self.condition.windows | (self.resolve.windows if self.resolve else frozenset())
        names = self.condition.names | (self.resolve.names if self.resolve else frozenset())
        self.names = names - OWN

    @property
    def awaited(self) -> frozenset[str]:
        """The metrics of which it says how long there may be none."""
        return frozenset(window.metric for window in self.windows if window.function == "absent")


def watched_of(rule: AlertRule) -> Watched:
    """A rule, compiled; raises DefinitionError."""
    condition = of_metrics(rule.condition)
    resolve = of_metrics(rule.resolve_when) if rule.resolve_when else None
    return Watched(rule, condition, resolve, cooldown_of(rule))


def cooldown_of(rule: AlertRule) -> float:
    """The seconds of its `cooldown_period`; raises DefinitionError."""
    try:
        return seconds_of(rule.cooldown_period)
    except ValueError as error:
        raise DefinitionError([Problem("cooldown_period", str(error))], what="alert") from None


def of_metrics(text: str) -> Condition:
    """A condition of a rule, compiled. A part of a metric is refused: it has none, so this would never be true."""
    condition = compile_condition(text, units=UNITS, kept=LONGEST_WINDOW)
    for name in condition.reads:
        if len(name.parts) > 1 and name.root not in OWN:
            raise located(text, Mistake(name.column, _no_part(name)))
    return condition


def _no_part(name: Name) -> str:
    """Why a path that begins with a metric says nothing."""
    if name.root == "event":
        return "an alert rule is about metrics: events start workflows by triggers"
    metric, meant = ".".join(map(str, name.parts)), _own_near(name.root)
    hint = f"did you mean {meant!r}?" if meant else f"the metric {metric} is written `{metric}`"
    return f"a metric has no parts: {hint}"


def _own_near(name: str) -> str | None:
    """The name that a condition knows by itself of which this is nearly one."""
    near = get_close_matches(name, sorted(OWN), n=1, cutoff=0.8)
    return near[0] if near and abs(len(near[0]) - len(name)) < 2 else None


def doubts(rule: AlertRule) -> Iterator[tuple[str, str]]:
    """Names that may be none of a metric, each with its key: such a condition is never true, and says nothing."""
    for key, text in (("condition", rule.condition), ("resolve_when", rule.resolve_when or "")):
        try:
            condition = of_metrics(text)
        except ConditionError:
            # Who refuses the rule says so.
            continue
        for read in condition.reads:
            dashed = _DASHED.match(text, read.column - 1)
            if dashed and text[read.column - 2 : read.column - 1] != "-":
                spaced = dashed[0].replace("-", " - ")
                yield key, f"{dashed[0]} is {spaced}; a metric of this name is written `{dashed[0]}`"
        for name in sorted(condition.names - OWN - UNITS.keys()):
            near = _own_near(name)
            if near:
                yield key, f"{name!r} is taken for a metric; did you mean {near!r}?"


def names_of(watched: Watched, sample: Sample, latest: Latest) -> dict[str, Any]:
    """What the conditions read, but for windows."""
    names: dict[str, Any] = {"subject": sample.subject, "labels": sample.labels}
    for name in watched.names:
        value = sample.value if name == sample.name else latest(name, sample.subject)
        if value is not None:
            names[name] = value
    return names


def look_through(watched: Watched, names: dict[str, Any], sample: Sample, look: Look, now: float) -> list[float]:
    """Add the windows to the names; the times at which they may say something else although no sample comes."""
    again: list[float] = []
    for window in watched.windows:
        view = look(window, sample, now)
        names[window.text] = view.value
        if view.until is not None:
            again.append(view.until)
    return again


def read(watched: Watched, names: dict[str, Any], alert: Alert, sample: Sample, now: float) -> Reading:
    """What the conditions say now, given what is known of the alert."""
    condition = watched.condition
    since: tuple[float | None, ...] = ()
    if condition.has_duration:
        # A rule that was changed may have another number of groups than the stored alert.
        known = alert.since if len(alert.since) == len(condition.initial_since) else condition.initial_since
        held = condition.hold(names, known, now)
        value_now, since = held.value, held.since
    else:
        value_now = condition.evaluate(names)
    resolve = watched.resolve.evaluate(names) if watched.resolve else None
    return Reading(now, value_now, since, resolve, None if math.isnan(sample.value) else sample.value)


def begins_nothing(watched: Watched, sample: Sample, latest: Latest, now: float) -> bool:
    """Whether this is nothing to a series without an alert: neither firing, nor pending, nor to be looked at later."""
    if watched.windows:
        return False
    names = names_of(watched, sample, latest)
    condition = watched.condition
    if not condition.has_duration:
        return not condition(names)
    held = condition.hold(names, condition.initial_since, now)
    return held.value is not True and all(moment is None for moment in held.since)


def new_alert(watched: Watched, sample: Sample, fingerprint: str) -> Alert:
    """The alert of a series that has none."""
    rule = watched.rule
    return Alert(
        fingerprint=fingerprint,
        name=rule.name,
        state=AlertState.RESOLVED,
        severity=rule.severity.value,
        source="alerts",
        subject=sample.subject,
        starts_at=sample.time,
        updated_at=sample.time,
        labels={**rule.labels, **sample.labels},
        annotations=dict(rule.annotations),
        since=watched.condition.initial_since,
    )


def fingerprint_of(rule: AlertRule, sample: Sample) -> str:
    """What names the alert of a rule for one series: 16 hexadecimal digits."""
    text = encode([rule.name, sample.subject, sorted(sample.labels.items())])
    return sha256(text).hexdigest()[:16]


def event_of(rule: AlertRule, alert: Alert, transition: AlertState, now: float) -> Event:
    """The event that tells of an alert that has begun to fire, or is resolved."""
    return Event(
        type=f"alert.{transition.value}",
        subject=alert.subject,
        source="alerts",
        severity=alert.severity,
        labels=alert.labels,
        id=f"{alert.fingerprint}:{transition.value}:{alert.fired_at!r}",
        time=now,
        data={
            "alert": alert.name,
            "status": transition.value,
            "fingerprint": alert.fingerprint,
            "severity": alert.severity,
            "condition": rule.condition,
            "value": alert.value,
            "starts_at": alert.starts_at,
            "labels": alert.labels,
            "annotations": alert.annotations,
        },
    )
