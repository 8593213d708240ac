"""All alerts: evaluates the rules that name a metric when a sample of it comes, and keeps what becomes of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from automation.alerts import external
from automation.alerts.explain import RuleReading, explain_series
from automation.alerts.life import OPEN, follow
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
    watched_of,
)
from automation.clock import Clock, iso, rest
from automation.conditions import Gap, View
from automation.errors import Conflict, NotFound
from automation.model.alert import Alert, AlertRule, AlertState
from automation.model.event import Event, EventReceipt
from automation.model.metric import Sample
from automation.store import alerts
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store, to_json
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics

log = logging.getLogger("automation.alerts")


class Publish(Protocol):
    """How a change of an alert becomes an event."""

    def __call__(self, event: Event, *, also: list[Op], hold: Mapping[str, str]) -> Awaitable[EventReceipt]: ...


class Newest(Protocol):
    """The newest sample of each series of a metric, of any subject or of one."""

    def __call__(self, name: str, subject: str | None) -> list[Sample]: ...


class Measured(Protocol):
    """What was measured."""

    @property
    def latest_value(self) -> Latest: ...

    @property
    def view(self) -> Look: ...

    @property
    def newest(self) -> Newest: ...


@dataclass(slots=True)
class _Turn:
    """Of one series: one reading after the other, in the order in which they come."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class AlertBook:
    """Our rules and all alerts, ours and others'."""

    types = external.TYPES
    """Of the events with which more than they themselves is written."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, changes: Changes, publish: Publish) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._changes = changes
        self._publish = publish
        self._rules: dict[str, Watched] = {}
        self._by_metric: dict[str, dict[str | None, list[Watched]]] = {}
        self._alerts: dict[str, Alert] = {}
        self._due: dict[str, tuple[float, Watched, Sample]] = {}
        self._next_due = math.inf
        self._sooner = asyncio.Event()
        self._turns: dict[str, dict[str, _Turn]] = {}
        """By rule, and by fingerprint: the series that have an alert, or a reading under way."""
        self._task: asyncio.Task[None] | None = None
        self.latest: Latest = lambda name, subject: None
        self.view: Look = lambda window, sample, now: View(Gap("no samples are kept"))
        self.newest: Newest = lambda name, subject: []

    def look_at(self, measured: Measured) -> None:
        """Take other metrics, windows and series from here."""
        self.latest, self.view, self.newest = measured.latest_value, measured.view, measured.newest

    async def start(self) -> None:
        """Read what an earlier engine knew, so that nothing is decided from an empty state."""
        for alert in await alerts.open_alerts(self._store):
            self._alerts[alert.fingerprint] = alert
            self._turns.setdefault(alert.name, {})[alert.fingerprint] = _Turn()
        self._task = asyncio.get_running_loop().create_task(self._tick(), name="automation-alerts")

    async def stop(self) -> None:
        """End the watching of durations."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def define(self, rule: AlertRule) -> None:
        """Add or replace a rule; raises DefinitionError."""
        watched, before = watched_of(rule), self._rules.get(rule.name)
        self.forget(rule.name)
        self._rules[rule.name] = watched
        for name in watched.names:
            self._by_metric.setdefault(name, {}).setdefault(rule.subject, []).append(watched)
        self._await(watched, before)

    def forget(self, name: str) -> None:
        """Remove a rule; its alerts stay as they are."""
        watched = self._rules.pop(name, None)
        if watched is not None:
            for metric in watched.names:
                subjects = self._by_metric[metric]
                subjects[watched.rule.subject].remove(watched)
                if not subjects[watched.rule.subject]:
                    del subjects[watched.rule.subject]
                if not subjects:
                    del self._by_metric[metric]

    def rules(self) -> list[AlertRule]:
        """All rules, by name."""
        return [self._rules[name].rule for name in sorted(self._rules)]

    def observe(self, sample: Sample) -> Awaitable[None] | None:
        """Evaluate the rules that name this metric, for this series: None if it means nothing to any of them, else
        what has to be awaited."""
        concerned = self._concerned(sample)
        return self._evaluate_all(concerned, sample) if concerned else None

    def explain(self, name: str, limit: int = 50) -> RuleReading:
        """What a rule says of each series now, and why it fires or does not; raises NotFound."""
        watched = self._rules.get(name)
        if watched is None:
            raise NotFound(kind="alert rule", name=name)
        rule, found = watched.rule, self._series_of(watched)
        order = sorted(found, key=lambda each: (each not in self._alerts, found[each].subject, each))
        seen = (self.latest, self.view, self._clock.now())
        told = [explain_series(watched, found[each], each, self._alerts.get(each), seen) for each in order[:limit]]
        reason = "" if rule.enabled else "the rule is disabled"
        if rule.enabled and not found:
            of = f" of {rule.subject}" if rule.subject else ""
            reason = f"there are no samples{of} of {', '.join(sorted(watched.names)) or 'any metric'}"
        return RuleReading(rule, reason, tuple(told), len(order) - len(told))

    def states_of(self, name: str) -> dict[str, int]:
        """How many alerts of a rule are not resolved, by state."""
        states = [alert.state for alert in self._alerts.values() if alert.name == name and alert.source == "alerts"]
        return {state.value: states.count(state) for state in (AlertState.PENDING, *OPEN) if state in states}

    def _series_of(self, watched: Watched) -> dict[str, Sample]:
        """The newest sample of each series that a rule looks at, by fingerprint; those with an alert in any case."""
        rule, found = watched.rule, dict[str, Sample]()
        for fingerprint, alert in self._alerts.items():
            if alert.name == rule.name and alert.source == "alerts":
                labels = {key: text for key, text in alert.labels.items() if rule.labels.get(key) != text}
                found[fingerprint] = Sample(
                    name="", value=math.nan, subject=alert.subject, labels=labels, time=alert.updated_at
                )
        for metric in watched.names:
            for sample in self.newest(metric, rule.subject):
                fingerprint = fingerprint_of(rule, sample)
                known = found.get(fingerprint)
                if known is None or not known.name or known.time < sample.time:
                    found[fingerprint] = sample
        return found

    def _concerned(self, sample: Sample) -> list[Watched]:
        """The rules that a sample means something to: all that name its metric, but for those which it does not
        fulfil and that know nothing of its series."""
        subjects = self._by_metric.get(sample.name)
        if subjects is None:
            return []
        found = subjects.get(sample.subject, ())
        rules = [*subjects.get(None, ()), *found] if found else subjects.get(None, ())
        return [watched for watched in rules if watched.rule.enabled and not self._means_nothing(watched, sample)]

    async def _evaluate_all(self, rules: list[Watched], sample: Sample) -> None:
        for watched in rules:
            await self._evaluate(watched, sample)
            if watched.windows and sample.name in watched.awaited:
                await self._has_come(watched, sample)

    def _means_nothing(self, watched: Watched, sample: Sample) -> bool:
        if not begins_nothing(watched, sample, self.latest, self._clock.now()):
            return False
        known = self._turns.get(watched.rule.name)
        return not known or fingerprint_of(watched.rule, sample) not in known

    async def acknowledge(self, fingerprint: str, actor: str) -> Alert:
        """Note that a person takes care of a firing alert; raises NotFound, Conflict when it does not fire."""
        alert = self._alerts.get(fingerprint) or await alerts.get(self._store, fingerprint)
        if alert is None:
            raise NotFound(kind="alert", name=fingerprint)
        if alert.state is not AlertState.FIRING:
            raise Conflict(f"alert {alert.name} is {alert.state.value}, not firing")
        now = self._clock.now()
        changed = replace(alert, state=AlertState.ACKNOWLEDGED, updated_at=now, reason=f"acknowledged by {actor}")
        fact = Fact(
            now, "system_modification", actor, "alert.acknowledge", fingerprint, "ok", to_json({"alert": alert.name})
        )
        await self._store.commit([alerts.save(changed)], [fact])
        self._alerts[fingerprint] = changed
        self._turns.setdefault(changed.name, {}).setdefault(fingerprint, _Turn())
        self._changes.tell("alert", fingerprint, changed.state.value)
        return changed

    def check(self, event: Event) -> None:
        """Refuse an event that tells of an alert of another system in a way that cannot be one; raises InputError."""
        external.check(event)

    def writes(self, event: Event) -> tuple[Sequence[Op], Callable[[], None]] | None:
        """The row for an alert that another system fires or resolves: it is committed with its event, and then kept."""
        if not external.tells(event):
            return None
        known = self._alerts.get(event.data["fingerprint"])
        alert = external.alert_of(event, known, self._clock.now())
        return [alerts.save(alert)], lambda: self._keep(alert)

    def _await(self, watched: Watched, before: Watched | None) -> None:
        """Look at a rule again by time: at series that another version of it looked at, and at what never comes."""
        # Later than any look that is under way, which would take what is due now for what it could not evaluate.
        now = math.nextafter(self._clock.now(), math.inf)
        rule = watched.rule
        for fingerprint, (_, known, sample) in list(self._due.items()):
            # What is left of the version before is dropped when it is due.
            if known is before and rule.enabled and sample.name and rule.subject in (None, sample.subject):
                self._due[fingerprint] = (now, watched, sample)
        if watched.awaited and rule.enabled:
            nothing = _nothing(rule, now)
            fingerprint = fingerprint_of(rule, nothing)
            if fingerprint not in self._due or self._due[fingerprint][1] is not watched:
                self._due[fingerprint] = (now, watched, nothing)
        self._sooner.set()

    async def _has_come(self, watched: Watched, sample: Sample) -> None:
        """From its first sample on, a series is waited for as itself."""
        nothing = _nothing(watched.rule, sample.time)
        fingerprint = fingerprint_of(watched.rule, nothing)
        if fingerprint != fingerprint_of(watched.rule, sample):
            self._due.pop(fingerprint, None)
            if fingerprint in self._alerts:
                await self._evaluate(watched, nothing)
                self._due.pop(fingerprint, None)

    def _knows_series(self, watched: Watched, nothing: str) -> bool:
        """Whether a rule waits for a series, or has missed one, so that `nothing` is not what it is about."""
        waits = any(known is watched and sample.name for _, known, sample in self._due.values())
        return waits or any(
            alert.name == watched.rule.name and fingerprint != nothing and alert.state in OPEN
            for fingerprint, alert in self._alerts.items()
        )

    async def _evaluate(self, watched: Watched, sample: Sample) -> None:
        fingerprint = fingerprint_of(watched.rule, sample)
        turns = self._turns.setdefault(watched.rule.name, {})
        turn = turns.setdefault(fingerprint, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                await self._step(watched, sample, fingerprint)
        finally:
            turn.users -= 1
            if not turn.users and fingerprint not in self._alerts:
                turns.pop(fingerprint, None)

    async def _step(self, watched: Watched, sample: Sample, fingerprint: str) -> None:
        alert = self._alerts.get(fingerprint) or new_alert(watched, sample, fingerprint)
        names, now = names_of(watched, sample, self.latest), self._clock.now()
        again = look_through(watched, names, sample, self.view, now)
        reading = read(watched, names, alert, sample, now)
        step = follow(alert, reading, has_resolve=watched.resolve is not None)
        due = watched.condition.next_check(reading.since, reading.at) if reading.since else None
        if step.alert.state is AlertState.PENDING and due is not None:
            again.append(due)
        if again:
            due = min(again)
            self._due[fingerprint] = (due, watched, sample)
            if due < self._next_due:
                self._sooner.set()
        if step.transition is not None:
            await self._tell(watched, step.alert, step.transition)
        elif step.changed:
            await self._store.commit([alerts.save(step.alert)])
            self._keep(step.alert)
            self._changes.tell("alert", fingerprint, step.alert.state.value)
        elif fingerprint in self._alerts:
            self._alerts[fingerprint] = step.alert
        if not again:
            # Only now: what could not be stored is tried again, and after silence no sample would do that.
            self._due.pop(fingerprint, None)

    async def _tell(self, watched: Watched, alert: Alert, transition: AlertState) -> None:
        rule, now = watched.rule, self._clock.now()
        hold: dict[str, str] = {}
        if transition is AlertState.FIRING and watched.cooldown:
            if alert.cooldown_until is not None and now < alert.cooldown_until:
                hold[rule.name] = f"in cooldown until {iso(alert.cooldown_until)}"
            else:
                alert = replace(alert, cooldown_until=now + watched.cooldown)
        event = event_of(rule, alert, transition, now)
        log.info("alert %s of %s is %s: %s", alert.name, alert.subject or "-", alert.state.value, alert.reason)
        await self._publish(event, also=[alerts.save(alert)], hold=hold)
        self._keep(alert)
        self._changes.tell("alert", alert.fingerprint, alert.state.value)

    def _keep(self, alert: Alert) -> None:
        cooling = alert.cooldown_until is not None and alert.cooldown_until > self._clock.now()
        if alert.state is AlertState.RESOLVED and not cooling:
            self._alerts.pop(alert.fingerprint, None)
        else:
            self._alerts[alert.fingerprint] = alert
        counted = [known.state for known in self._alerts.values()]
        for state in (AlertState.PENDING, *OPEN):
            self._metrics.alerts.labels(state.value).set(counted.count(state))

    async def _tick(self) -> None:
        """A duration runs out between samples too, and silence begins between them."""
        now = -math.inf
        while True:
            self._sooner.clear()
            # What was due at the last look and could not be evaluated then has to wait for the next.
            self._next_due = min((due for due, _, _ in self._due.values() if due > now), default=math.inf)
            # Looked at once a second all the same: the clock may be set meanwhile.
            await rest(self._clock, self._next_due, 1.0, self._sooner)
            now = self._clock.now()
            for fingerprint in list(self._due):
                if fingerprint not in self._due:
                    continue
                # As it is now: while another was evaluated, a newer sample may have come.
                due, watched, sample = self._due[fingerprint]
                if self._rules.get(watched.rule.name) is not watched:
                    self._due.pop(fingerprint, None)
                    continue
                if due > now:
                    continue
                if not sample.name and self._knows_series(watched, fingerprint):
                    self._due.pop(fingerprint, None)
                    continue
                try:
                    await self._evaluate(watched, sample)
                except Exception:
                    log.exception("alert %s could not be evaluated", watched.rule.name)


def _nothing(rule: AlertRule, now: float) -> Sample:
    """Stands for the series of a rule while there is none."""
    return Sample(name="", value=math.nan, subject=rule.subject or "", time=now)
