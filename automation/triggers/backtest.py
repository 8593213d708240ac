"""What a workflow's triggers would have done with the events of the past: nothing is written and nothing started.

The same code decides as in life, with the times of the past and a memory that is thrown away. What is not known of the
past is left out: metric samples, inputs that would not have fitted, what was switched off by hand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automation.clock import Clock
from automation.errors import InputError
from automation.model.event import Event
from automation.model.ids import new_id
from automation.store import events
from automation.store.audit import Fact
from automation.store.events import Span
from automation.store.statement import Op
from automation.store.store import Store
from automation.triggers.deciding import SOURCE, Claim, Decider, Verdict
from automation.triggers.index import Index
from automation.triggers.rules import Startable, rules_of
from automation.triggers.states import States
from automation.triggers.switches import Switches

PAGE = 500
MOST_EVENTS = 200_000
MOST_STARTS = 1_000
"""How many starts are told one by one."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start that would have been."""

    at: float
    reason: str
    source: str
    event_id: str
    type: str
    subject: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What one version of a workflow would have done."""

    count: int
    """How often it would have started."""
    held_back: Mapping[str, int]
    """How often it would not have, by the outcome of the decision."""
    starts: tuple[Start, ...]
    """The first of them."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a version of a workflow would have done, beside what the one in force would have."""

    workflow: str
    since: float
    until: float
    events: int
    """How many were looked at."""
    complete: bool
    """False where there were more events than are looked at."""
    tried: Tried
    current: Tried | None
    """None where there is no version in force."""
    gained: tuple[Start, ...]
    """Starts that the one in force would not have had."""
    lost: tuple[Start, ...]
    """Starts that only the one in force would have had."""


class _Past:
    """A clock that shows what it is told."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        """The time that was told."""
        return self.at

    def monotonic(self) -> float:
        """The same."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Be later by that much."""
        self.at += seconds

    async def idle(self, seconds: float) -> None:
        """The same."""
        self.at += seconds


@dataclass(slots=True)
class _Prepared:
    """A start that stays one on paper."""

    workflow: str
    event: Mapping[str, Any]
    reason: str
    id: str = field(default_factory=new_id)
    ops: list[Op] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    events: list[Event] | None = None
    claim: Claim | None = None
    exclusive: bool = False


class _OnPaper:
    def prepare(self, workflow: str, event: Mapping[str, Any], reason: str, key: str | None = None) -> _Prepared:
        """What would have been written."""
        return _Prepared(workflow, event, reason)


class _Trial:
    """One version of a workflow in the past."""

    def __init__(self, plan: Startable, store: Store, since: float) -> None:
        self._clock = _Past(since)
        index = Index()
        index.put(plan.definition.name, rules_of(plan))
        self._states = States(self._clock, None)
        # Nothing is read by it that was not refreshed before: what is off by hand now says nothing of the past.
        switches = Switches(store, self._clock)
        self._decider: Decider[_Prepared] = Decider(index, self._clock, _OnPaper(), switches)
        self._count = 0
        self._held_back: Counter[str] = Counter()
        self.starts: dict[tuple[str, str], Start] = {}

    def take(self, event: Event, at: float) -> None:
        """Take in an event at its time, and before that all that was due."""
        self.wait(at)
        self._clock.at = max(self._clock.at, at)
        self._follow(self._decider.decide(event, self._states.draft(), {}, {}))

    def wait(self, until: float) -> None:
        """Deal with all that is due until then."""
        while (due := self._states.next_due) is not None and due <= until:
            place = next(self._states.pop_due(due))
            self._clock.at = max(self._clock.at, due)
            self._follow(self._decider.expire(self._states.draft(), place))

    @property
    def tried(self) -> Tried:
        """What it has done so far."""
        return Tried(self._count, dict(self._held_back), tuple(self.starts.values())[:MOST_STARTS])

    def _follow(self, verdict: Verdict[_Prepared]) -> None:
        for prepared in verdict.starts:
            seen = prepared.event
            self._count += 1
            self.starts[seen["source"], seen["id"]] = Start(
                self._clock.at, prepared.reason, seen["source"], seen["id"], seen["type"], seen["subject"]
            )
        self._held_back.update(decision.outcome for decision in verdict.decisions)
        for event in verdict.made:
            self._follow(self._decider.decide(event, self._states.draft(), {}, {}, made=True))


async def backtest(store: Store, clock: Clock, plan: Startable, current: Startable | None, since: float) -> Backtest:
    """What a version of a workflow, and the one in force, would have done with all stored events from a time on."""
    until = clock.now()
    if since > until:
        raise InputError("since: is in the future", path="since")
    new = _Trial(plan, store, since)
    old = _Trial(current, store, since) if current is not None else None
    trials = [new] if old is None else [new, old]
    count, after = 0, 0
    while count < MOST_EVENTS and (found := await events.received(store, Span(since, until), after, PAGE)):
        for _, stored in found:
            # What triggers have made in life they make again; only of metrics is the past not known otherwise.
            if stored.event.source == SOURCE and stored.event.type != "trigger.metric_threshold":
                continue
            count += 1
            for trial in trials:
                trial.take(stored.event, stored.received_at)
        after = found[-1][0]
        # Others have to get their turn.
        await asyncio.sleep(0)
    complete = count < MOST_EVENTS
    for trial in trials:
        trial.wait(until)
    gained = [start for key, start in new.starts.items() if old is not None and key not in old.starts]
    lost = [start for key, start in old.starts.items() if key not in new.starts] if old is not None else []
    return Backtest(
        plan.definition.name,
        since,
        until,
        count,
        complete,
        new.tried,
        old.tried if old is not None else None,
        tuple(gained[:MOST_STARTS]),
        tuple(lost[:MOST_STARTS]),
    )
