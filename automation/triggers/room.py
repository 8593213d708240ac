"""The room's parts, joined: what the engine has of triggers."""

from __future__ import annotations

from typing import Generic

from automation.clock import Clock
from automation.conditions import Explanation, Gap, Measure, Window
from automation.model.event import Event, as_mapping
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.triggers.backtest import Backtest, backtest
from automation.triggers.deciding import P
from automation.triggers.dispatcher import Dispatcher
from automation.triggers.index import Index
from automation.triggers.partners import Workflows
from automation.triggers.replay import Replay
from automation.triggers.rules import EventScope, Rule, Startable
from automation.triggers.thresholds import Thresholds
from automation.triggers.timers import Timers

MOST_EXPLAINED = 500
"""How many rules are told of, those of highest priority first."""

Seen = tuple[Rule, str | None, tuple[Explanation, ...]]
"""A rule, why it starts nothing with an event (None if it does), and the values of its conditions."""


class Triggers(Generic[P]):
    """All triggers of an engine, and what they remember."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, changes: Changes, workflows: Workflows[P]) -> None:
        self._store = store
        self._clock = clock
        self.measure: Measure | None = None
        """Tells what the windows of conditions show; without it they are unknown."""
        self.index = index = Index()
        self.dispatcher: Dispatcher[P] = Dispatcher(store, clock, metrics, changes, workflows, index)
        self.dispatcher.decider.measure = self._measure
        self._states = states = self.dispatcher.states
        self.switches = self.dispatcher.switches
        self.thresholds = Thresholds(index, states, clock, self.dispatcher.fire)
        self._timers = Timers(states, clock, self.dispatcher.decider, self.thresholds, self.dispatcher.fire)
        self.replay = Replay(store, clock, index, self.dispatcher.publish, self.dispatcher.restart)
        index.on_change = self._timers.defined

    async def start(self) -> None:
        """Read what earlier engines remembered, and begin to look after it."""
        await self.refresh()
        self._timers.start()

    async def stop(self) -> None:
        """Look after nothing any more."""
        await self._timers.stop()

    async def refresh(self) -> None:
        """See what other nodes have remembered and switched since."""
        await self._states.refresh()
        await self.switches.refresh()

    async def backtest(self, plan: Startable, current: Startable | None, since: float) -> Backtest:
        """What a version of a workflow, and the one in force, would have done with stored events; raises InputError."""
        return await backtest(self._store, self._clock, plan, current, since)

    def explain(self, event: Event) -> list[Seen]:
        """How each rule that is about such events, or names something which it carries, sees it now."""
        scope = EventScope(as_mapping(event), self._measure)
        found: list[Seen] = []
        for rule in self.index.related(event)[:MOST_EXPLAINED]:
            told = tuple(condition.explain(scope) for condition in rule.conditions)
            reason = rule.refuses(event, scope)
            found.append((rule, reason if reason is not None else self.dispatcher.decider.withheld(rule), told))
        return found

    def _measure(self, window: Window, subject: str) -> float | bool | Gap:
        return Gap("no samples are kept") if self.measure is None else self.measure(window, subject)

    def remembered(self, trigger: str) -> tuple[int, float | None]:
        """How many keys a trigger remembers something of, and when the first of that is over."""
        found = self._states.of(trigger).values()
        return len(found), min((state.due_at for state in found if state.due_at is not None), default=None)
