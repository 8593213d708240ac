"""What an event leads to, decided before anything is written: workflows that start, partial matches that go on, and
for each that does not start, why."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, Protocol, TypeVar

from automation.clock import Clock, iso
from automation.conditions import Gap, Measure, Window
from automation.errors import InputError, NotFound
from automation.model.event import Event, as_mapping
from automation.store.audit import Fact
from automation.store.events import Decision
from automation.store.statement import Op
from automation.store.store import encode
from automation.store.trigger_states import Place
from automation.triggers import patterns, throttles
from automation.triggers.compiled import STEPS, Compiled, key_text
from automation.triggers.index import Index
from automation.triggers.patterns import Arrival
from automation.triggers.rules import GATHERED, EventScope, Rule
from automation.triggers.states import Draft
from automation.triggers.switches import Switches
from automation.triggers.throttles import Passage

log = logging.getLogger("automation.triggers")

Claim = tuple[str, str]

SOURCE = "triggers"
"""The source of the events that triggers make."""
COOLDOWN = "cooldown"
"""What of a trigger is remembered: until when it starts nothing."""
_FINAL = frozenset(("refused", "concurrency"))
"""Outcomes that are about the workflow, whichever trigger would start it."""
LARGEST_STATE = 4_000_000
"""Bytes of JSON that a trigger may remember of one key."""


class Prepared(Protocol):
    """An execution that is ready to be written and launched."""

    id: str
    ops: list[Op]
    facts: list[Fact]
    events: list[Event] | None
    """What is to be told together with it."""

    @property
    def claim(self) -> Claim | None:
        """The workflow and concurrency key of which it needs a seat, if it needs one."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether it starts only if there is a seat for it; its writes are refused together if there is none."""
        ...


P = TypeVar("P", bound=Prepared)
P_co = TypeVar("P_co", bound=Prepared, covariant=True)

Taken = Mapping[Claim, str]
"""For concurrency keys without a free seat: why nothing starts for them."""


class Prepares(Protocol[P_co]):
    """Makes executions."""

    def prepare(self, workflow: str, event: Mapping[str, Any], reason: str, key: str | None = None) -> P_co:
        """A new execution, not yet written; raises NotFound, InputError when its inputs do not fit.

        With a key, its writes are refused together where another execution has that key.
        """
        ...


@dataclass(slots=True)
class Verdict(Generic[P]):
    """What an event leads to, before anything is written."""

    starts: list[P] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    made: list[Event] = field(default_factory=list)
    """Events that triggers make of it, to be taken in with it."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One event while it is decided about."""

    event: Event
    mapping: Mapping[str, Any]
    scope: EventScope
    draft: Draft
    hold: Mapping[str, str]
    taken: Taken


class _Steps:
    """The names of a sequence's condition: those of the event, and `steps`."""

    __slots__ = ("_scope", "_steps")

    def __init__(self, scope: EventScope, steps: Mapping[str, Any]) -> None:
        self._scope = scope
        self._steps = steps

    def get(self, name: str, default: Any = None) -> Any:
        return self._steps if name == STEPS else self._scope.get(name, default)

    def window(self, window: Window) -> float | bool | Gap:
        """As the event has it."""
        return self._scope.window(window)


class Decider(Generic[P]):
    """Decides about events. Nothing but `draft` is changed."""

    def __init__(self, index: Index, clock: Clock, workflows: Prepares[P], switches: Switches) -> None:
        self._index = index
        self._clock = clock
        self._workflows = workflows
        self._switches = switches
        self.measure: Measure | None = None
        """Where windows over metrics come from; without it they are unknown."""
        self.nothing: Verdict[P] = Verdict()
        """What an event leads to that no rule fits, as nearly all do; nobody changes it."""
        self._warned: set[str] = set()
        """Triggers of which it was said that they have too many keys: once is enough for the log."""

    def decide(
        self, event: Event, draft: Draft, hold: Mapping[str, str], taken: Taken, *, made: bool = False
    ) -> Verdict[P]:
        """What an event leads to. One that was made by a trigger is no part of patterns: it could be one of its own."""
        mapping = as_mapping(event)
        scope = EventScope(mapping, self.measure)
        candidates = self._index.candidates(event, scope)
        if not candidates:
            return self.nothing
        fitting: list[Rule] = []
        for rule in candidates:
            if rule.fits(event, scope):
                fitting.append(rule)  # noqa: PERF401 - for the one that most events have, less than a comprehension
        if not fitting:
            return self.nothing
        verdict: Verdict[P] = Verdict()
        seen = _Seen(event, mapping, scope, draft, hold, taken)
        fed: dict[Compiled, list[int]] = {}
        started: set[str] = set()
        stopper: Rule | None = None
        for rule in fitting:
            if (rule.part is None and rule.workflow in started) or (made and rule.part is not None):
                continue
            if rule.part is not None and rule.trigger is not None:
                fed.setdefault(rule.trigger, []).append(rule.part)
                continue
            if stopper is not None and _priority(rule) < _priority(stopper):
                why = f"{stopper.about} of {stopper.workflow} has priority {_priority(stopper)} and stops others"
                self._refuse(verdict, seen, rule.workflow, "stopped", why)
                continue
            starts = self._start(rule, seen, verdict)
            if starts is not False:
                started.add(rule.workflow)
            if starts and rule.trigger is not None and rule.trigger.stop and stopper is None:
                stopper = rule
        for trigger, parts in fed.items():
            self._feed(trigger, parts, seen, verdict)
        return verdict

    def expire(self, draft: Draft, place: Place) -> Verdict[P]:
        """What it leads to that the time of something remembered is over."""
        name, part, key = place
        verdict: Verdict[P] = Verdict()
        trigger, now = self._index.trigger(name), self._clock.now()
        if trigger is None:
            return verdict
        body = draft.get(place, trigger.digest)
        if body is not None and now < body["until"]:
            return verdict
        draft.put(place, None)
        if body is None:
            return verdict
        if part == patterns.PART and trigger.pattern is not None:
            last = _last(body)
            found = patterns.expire(trigger.pattern, body).matches
            verdict.made += [_matched(trigger, key, match, last, body["until"], now) for match in found]
        elif part == throttles.PART and trigger.limit is not None:
            if trigger.limit.way == "once_after":
                verdict.made.append(_gathered(trigger, key, body, now))
            elif (reason := throttles.missed(trigger.limit, body)) is not None:
                verdict.decisions.append(
                    Decision(now, "start", trigger.workflow, "accumulated_too_few", f"{trigger.name}: {reason}")
                )
        return verdict

    def knows(self, trigger: str) -> bool:
        """Whether a trigger is defined."""
        return self._index.trigger(trigger) is not None

    def off(self, rule: Rule) -> str | None:
        """Why the rule starts nothing, whatever comes."""
        trigger = rule.trigger
        if trigger is None:
            return self._switches.off(rule.workflow, None) if rule.enabled else "the workflow is disabled"
        return trigger.off or self._switches.off(rule.workflow, trigger.name)

    def withheld(self, rule: Rule) -> str | None:
        """Why a rule that an event fits would start nothing now, for all that is known without that event."""
        if rule.part is not None:
            return f"{rule.about}: it is a part of a pattern, which starts the workflow when it is complete"
        if (reason := self.off(rule)) is not None:
            return reason
        hours = rule.trigger.hours if rule.trigger is not None else None
        return f"active only {hours.text}" if hours is not None and not hours.contains(self._clock.now()) else None

    def _start(self, rule: Rule, seen: _Seen, verdict: Verdict[P]) -> bool | None:
        """Whether the workflow starts; if not, the reason is among the decisions. None if nothing else starts it."""
        refusal = self._gate(rule, seen)
        passage = None
        if refusal is None:
            passage = self._throttle(rule, seen, verdict)
            if passage is not None and passage.outcome is not None:
                refusal = passage.outcome, passage.reason
        if refusal is None:
            try:
                why = f"{rule.about}: event {seen.event.type} of {seen.event.source}"
                prepared = self._workflows.prepare(rule.workflow, seen.mapping, why)
                if prepared.claim is None or prepared.claim not in seen.taken:
                    verdict.starts.append(prepared)
                    self._started(rule, seen, passage)
                    return True
                refusal = "concurrency", seen.taken[prepared.claim]
            except (InputError, NotFound) as error:
                refusal = "refused", error.message
        self._refuse(verdict, seen, rule.workflow, *refusal)
        # What other triggers of the workflow want would be refused for the same reason.
        return None if refusal[0] in _FINAL or rule.workflow in seen.hold else False

    def _gate(self, rule: Rule, seen: _Seen) -> tuple[str, str] | None:
        if rule.workflow in seen.hold:
            return COOLDOWN, seen.hold[rule.workflow]
        if (reason := self.off(rule)) is not None:
            return "disabled", reason
        trigger = rule.trigger
        if trigger is None:
            return None
        now = self._clock.now()
        if trigger.hours is not None and not trigger.hours.contains(now):
            return "outside_hours", f"active only {trigger.hours.text}"
        if trigger.cooldown:
            body = seen.draft.get((trigger.name, COOLDOWN, ""), trigger.digest)
            if body is not None and now < body["until"]:
                return COOLDOWN, f"in cooldown until {iso(body['until'])}"
        return None

    def _throttle(self, rule: Rule, seen: _Seen, verdict: Verdict[P]) -> Passage | None:
        trigger = rule.trigger
        if trigger is None or trigger.limit is None or rule.gathered:
            return None
        key = key_text(trigger.limit.key(seen.scope)) if trigger.limit.key is not None else ""
        if key is None:
            assert trigger.limit.key is not None
            return Passage(None, None, "no_key", f"the throttle's key {trigger.limit.key.text} is unknown")
        place = (trigger.name, throttles.PART, key)
        known = seen.draft.get(place, trigger.digest)
        if known is None and seen.draft.count(*place[:2]) >= trigger.limit.most_keys:
            return Passage(None, None, *self._too_many(trigger, trigger.limit.most_keys))
        passage = throttles.step(trigger.limit, known, seen.mapping, self._clock.now())
        if passage.ended is not None:
            verdict.made.append(_gathered(trigger, key, passage.ended, self._clock.now()))
        if passage.outcome is not None and passage.body is not known and trigger.limit.way != "once_within":
            seen.draft.put(place, passage.body, trigger.digest, passage.until)
        return passage

    def _started(self, rule: Rule, seen: _Seen, passage: Passage | None) -> None:
        trigger = rule.trigger
        if trigger is None:
            return
        if passage is not None and trigger.limit is not None:
            key = key_text(trigger.limit.key(seen.scope)) if trigger.limit.key is not None else ""
            place = (trigger.name, throttles.PART, key or "")
            seen.draft.put(place, passage.body, trigger.digest, passage.until)
        if trigger.cooldown:
            until = self._clock.now() + trigger.cooldown
            seen.draft.put((trigger.name, COOLDOWN, ""), {"until": until}, trigger.digest, until)

    def _feed(self, trigger: Compiled, parts: list[int], seen: _Seen, verdict: Verdict[P]) -> None:
        """Let an event go on with a pattern's partial match."""
        pattern = trigger.pattern
        assert pattern is not None
        if off := trigger.off or self._switches.off(trigger.workflow, trigger.name):
            return self._refuse(verdict, seen, trigger.workflow, "disabled", off)
        key = key_text(pattern.key(seen.scope)) if pattern.key is not None else ""
        if key is None:
            assert pattern.key is not None
            return self._refuse(verdict, seen, trigger.workflow, "no_key", f"the key {pattern.key.text} is unknown")

        def fits(place: int, steps: Mapping[str, Any]) -> bool:
            later = pattern.pieces[place].later
            return later is None or later(_Steps(seen.scope, steps))

        now = self._clock.now()
        place = (trigger.name, patterns.PART, key)
        known = seen.draft.get(place, trigger.digest)
        outcome = patterns.advance(pattern, known, Arrival(seen.mapping, now, parts, fits))
        opens = outcome.body is not None and known is None
        if opens and seen.draft.count(*place[:2]) >= pattern.most_keys:
            return self._refuse(verdict, seen, trigger.workflow, *self._too_many(trigger, pattern.most_keys))
        if outcome.body is not None and len(encode(outcome.body)) > LARGEST_STATE:
            why = f"{trigger.name}: what it would remember is larger than {LARGEST_STATE} bytes"
            return self._refuse(verdict, seen, trigger.workflow, "too_large", why)
        if outcome.body != known:
            seen.draft.put(place, outcome.body, trigger.digest, outcome.until)
        verdict.made += [_matched(trigger, key, match, seen.event, now, now) for match in outcome.matches]
        return None

    def _too_many(self, trigger: Compiled, most: int) -> tuple[str, str]:
        why = f"{trigger.name}: {most} keys are open, more are not followed; raise most_keys"
        if trigger.name not in self._warned:
            self._warned.add(trigger.name)
            log.warning("%s", why)
        return "too_many_keys", why

    def _refuse(self, verdict: Verdict[P], seen: _Seen, workflow: str, outcome: str, reason: str) -> None:
        event = seen.event
        verdict.decisions.append(
            Decision(self._clock.now(), "start", workflow, outcome, reason, event.source, event.id)
        )


def _priority(rule: Rule) -> int:
    return rule.trigger.priority if rule.trigger is not None else 0


def _last(body: Mapping[str, Any]) -> Event | None:
    """The newest event of a partial match."""
    if "last" in body:
        found = body["last"]
    else:
        steps = [step for step in body.get("steps", ()) if step is not None]
        found = max(steps, key=lambda step: float(step[0]))[1] if steps else None
    return None if found is None else Event(**found)


def _matched(trigger: Compiled, key: str, match: Mapping[str, Any], last: Event | None, at: float, now: float) -> Event:
    """The event that says that a pattern is complete."""
    number = sha256(encode([key, at, last.source if last else "", last.id if last else ""])).hexdigest()[:24]
    return Event(
        type=trigger.event_type,
        subject=last.subject if last is not None else "",
        severity=last.severity if last is not None else None,
        source=SOURCE,
        id=f"{trigger.name}:{number}",
        time=now,
        data={"trigger": trigger.name, "workflow": trigger.workflow, "key": key, **match},
    )


def _gathered(trigger: Compiled, key: str, body: Mapping[str, Any], now: float) -> Event:
    """The event that stands for those that a throttle has gathered."""
    last = Event(**body["last"])
    number = sha256(encode([key, body["until"], last.source, last.id])).hexdigest()[:24]
    gathered = {"count": body["count"], "first": body["first"], "last": body["last"]}
    return Event(
        type=GATHERED,
        subject=last.subject,
        severity=last.severity,
        labels=last.labels,
        source=SOURCE,
        id=f"{trigger.name}:{number}",
        time=now,
        data={**last.data, "trigger": trigger.name, "key": key, "gathered": gathered},
    )
