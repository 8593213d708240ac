"""What an alert rule would have done with the metrics of the past: nothing is written and nothing started.

The same conditions and the same life of an alert decide, moment by moment, with a memory that is thrown away. It begins
with no alert: what was firing already when the past begins, fires anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from automation.alerts.life import follow
from automation.alerts.reading import (
    Latest,
    Look,
    Watched,
    begins_nothing,
    event_of,
    fingerprint_of,
    look_through,
    names_of,
    new_alert,
    read,
)
from automation.model.alert import Alert, AlertState
from automation.model.event import Event
from automation.model.metric import Sample

MOST_SAMPLES = 1_000_000
MOST_FIRINGS = 1_000
"""How many are told one by one."""
MOST_KEPT = 100_000
"""After how many firings it breaks off."""
_TURN = 500
"""After how many samples others get their turn."""

Starts = Callable[[Event], Sequence[str]]
"""The workflows that an event would start."""


class Tape(Protocol):
    """The metrics of the past, seen from one moment after the other."""

    @property
    def latest(self) -> Latest: ...

    @property
    def look(self) -> Look: ...

    @property
    def moments(self) -> Sequence[float]:
        """All moments at which there are samples, in their order."""
        ...

    def go_to(self, moment: float) -> Sequence[Sample]:
        """The samples of the next moment; from now on, all that was until then is what was."""
        ...


@dataclass(frozen=True, slots=True)
class Firing:
    """One time that an alert would have fired."""

    at: float
    until: float | None
    """When it would have been resolved; None if it would be firing still."""
    subject: str
    labels: Mapping[str, str]
    value: float | None
    """Of the sample with which it fired."""
    starts: tuple[str, ...]
    """The workflows that it would have started."""
    reason: str = ""
    """Why the rule's own actions would have been held back, if they would."""


@dataclass(frozen=True, slots=True)
class TriedRule:
    """What one version of a rule would have done."""

    condition: str
    count: int
    """How often it would have fired."""
    firing_seconds: float
    """For how long, all series together."""
    longest_seconds: float
    starts: Mapping[str, int]
    """How often each workflow would have been started."""
    pending_only: int
    """How often its condition held, but not for as long as it has to."""
    unknown: int
    """At how many samples the condition could not be decided."""
    firings: tuple[Firing, ...]
    """The first of them."""


@dataclass(slots=True)
class _Counts:
    count: int = 0
    firing_seconds: float = 0.0
    longest_seconds: float = 0.0
    pending_only: int = 0
    unknown: int = 0
    starts: dict[str, int] = field(default_factory=dict)


class Trial:
    """One version of a rule in the past."""

    def __init__(self, watched: Watched, tape: Tape, starts: Starts) -> None:
        self._watched = watched
        self._tape = tape
        self._starts = starts
        self._alerts: dict[str, Alert] = {}
        self._due: dict[str, tuple[float, Sample]] = {}
        self._counts = _Counts()
        self._open: dict[str, int] = {}
        self.firings: list[Firing] = []

    def take(self, sample: Sample, now: float) -> None:
        """Take in a sample at its moment."""
        rule = self._watched.rule
        if sample.name not in self._watched.names or rule.subject not in (None, sample.subject):
            return
        if not self._alerts and begins_nothing(self._watched, sample, self._tape.latest, now):
            self._note_unknown(sample)
            return
        self._step(sample, now)

    def wait(self, until: float) -> None:
        """Deal with all that is due before a time, in its order."""
        while self._due:
            fingerprint, (due, sample) = min(self._due.items(), key=lambda item: item[1][0])
            if due >= until:
                return
            del self._due[fingerprint]
            self._step(sample, due)

    def tried(self, until: float) -> TriedRule:
        """What it has done so far; until then, what is firing has fired."""
        counts = self._counts
        seconds, longest = counts.firing_seconds, counts.longest_seconds
        for at in self._open.values():
            length = until - self.firings[at].at
            seconds, longest = seconds + length, max(longest, length)
        return TriedRule(
            self._watched.rule.condition,
            counts.count,
            seconds,
            longest,
            counts.starts,
            counts.pending_only,
            counts.unknown,
            tuple(self.firings[:MOST_FIRINGS]),
        )

    def _note_unknown(self, sample: Sample) -> None:
        condition, names = self._watched.condition, names_of(self._watched, sample, self._tape.latest)
        held = condition.hold(names, condition.initial_since, 0.0) if condition.has_duration else None
        self._counts.unknown += (condition.evaluate(names) if held is None else held.value) is None

    def _step(self, sample: Sample, now: float) -> None:
        watched = self._watched
        fingerprint = fingerprint_of(watched.rule, sample)
        alert = self._alerts.get(fingerprint) or new_alert(watched, sample, fingerprint)
        names = names_of(watched, sample, self._tape.latest)
        again = look_through(watched, names, sample, self._tape.look, now)
        reading = read(watched, names, alert, sample, now)
        self._counts.unknown += reading.value is None
        step = follow(alert, reading, has_resolve=watched.resolve is not None)
        due = watched.condition.next_check(reading.since, reading.at) if reading.since else None
        if step.alert.state is AlertState.PENDING and due is not None:
            again.append(due)
        later = [moment for moment in again if moment > now]
        if later:
            self._due[fingerprint] = (min(later), sample)
        else:
            self._due.pop(fingerprint, None)
        after = step.alert
        if step.transition is AlertState.FIRING:
            after = self._fire(after, fingerprint, now)
        elif step.transition is AlertState.RESOLVED:
            self._resolve(fingerprint, now)
        elif alert.state is AlertState.PENDING and after.state is AlertState.RESOLVED:
            self._counts.pending_only += 1
        cooling = after.cooldown_until is not None and after.cooldown_until > now
        if after.state is AlertState.RESOLVED and not cooling:
            self._alerts.pop(fingerprint, None)
        else:
            self._alerts[fingerprint] = after

    def _fire(self, alert: Alert, fingerprint: str, now: float) -> Alert:
        rule, reason = self._watched.rule, ""
        started = list(self._starts(event_of(rule, alert, AlertState.FIRING, now)))
        if rule.actions:
            started.insert(0, rule.name)
        if self._watched.cooldown:
            if alert.cooldown_until is not None and now < alert.cooldown_until:
                reason = "in cooldown"
                started = [name for name in started if name != rule.name]
            else:
                alert = replace(alert, cooldown_until=now + self._watched.cooldown)
        for name in started:
            self._counts.starts[name] = self._counts.starts.get(name, 0) + 1
        self._counts.count += 1
        self._open[fingerprint] = len(self.firings)
        self.firings.append(Firing(now, None, alert.subject, alert.labels, alert.value, tuple(started), reason))
        return alert

    def _resolve(self, fingerprint: str, now: float) -> None:
        at = self._open.pop(fingerprint)
        self.firings[at] = replace(self.firings[at], until=now)
        length = now - self.firings[at].at
        self._counts.firing_seconds += length
        self._counts.longest_seconds = max(self._counts.longest_seconds, length)


@dataclass(frozen=True, slots=True)
class Played:
    """How far the tape was played."""

    until: float
    samples: int
    complete: bool
    """False where there were more samples, or firings, than are looked at."""


async def play(tape: Tape, trials: Sequence[Trial], since: float, until: float) -> Played:
    """Let versions of a rule see the past, from a time on; what was before is only remembered."""
    count = 0
    for moment in tape.moments:
        if moment > until:
            break
        if count >= MOST_SAMPLES or any(len(trial.firings) >= MOST_KEPT for trial in trials):
            return Played(moment, count, False)
        for trial in trials:
            trial.wait(moment)
        samples = tape.go_to(moment)
        if moment < since:
            continue
        for sample in samples:
            count += 1
            for trial in trials:
                trial.take(sample, moment)
            if not count % _TURN:
                await asyncio.sleep(0)
    for trial in trials:
        trial.wait(until)
    return Played(until, count, True)


def difference(one: Sequence[Firing], other: Sequence[Firing]) -> tuple[Firing, ...]:
    """The firings of one version during which the other has nothing firing for the same series."""
    found = []
    spans: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
    for firing in other:
        spans.setdefault(_series(firing), []).append((firing.at, _end(firing)))
    for firing in one:
        same = spans.get(_series(firing), ())
        if not any(begin < _end(firing) and firing.at < end for begin, end in same):
            found.append(firing)
    return tuple(found[:MOST_FIRINGS])


def _series(firing: Firing) -> tuple[str, frozenset[tuple[str, str]]]:
    return firing.subject, frozenset(firing.labels.items())


def _end(firing: Firing) -> float:
    return float("inf") if firing.until is None else firing.until


@dataclass(frozen=True, slots=True)
class AlertBacktest:
    """What a version of a rule would have done, beside what the one in force would have."""

    rule: str
    since: float
    until: float
    step: float
    """Seconds between two moments at which it was evaluated: what is shorter was not seen."""
    figure: str
    """What of the samples within a step stands for them: `last`, `avg`, `min` or `max`."""
    source: str
    """`history`, or the Prometheus that was asked."""
    series: int
    samples: int
    """How many values were looked at."""
    complete: bool
    """False where there were more than are looked at; `until` says how far it came."""
    notes: tuple[str, ...]
    """What could not be tried as it is written."""
    tried: TriedRule
    current: TriedRule | None
    """None where there is no version in force."""
    gained: tuple[Firing, ...]
    """Firings during which the one in force would not have fired."""
    lost: tuple[Firing, ...]
    """Firings of the one in force, during which this one would not."""


def metrics_of(rules: Sequence[Watched]) -> frozenset[str]:
    """The metrics that rules read."""
    return frozenset().union(*(watched.names for watched in rules))


def lead_of(rules: Sequence[Watched]) -> float:
    """How far the longest window of rules reaches back, in seconds."""
    return max((window.seconds for watched in rules for window in watched.windows), default=0.0)


def notes_on(rules: Sequence[Watched], step: float) -> tuple[str, ...]:
    """What of rules cannot be seen at this step."""
    found = []
    for watched in rules:
        for window in sorted(watched.windows, key=lambda window: window.text):
            if window.seconds < step:
                found.append(f"{window.text} is shorter than a step of {step:g} seconds: it is unknown")
            elif window.function in ("anomaly", "stddev") or window.function.startswith("p"):
                found.append(f"{window.text} needs single samples: it is unknown")
    return tuple(dict.fromkeys(found))
