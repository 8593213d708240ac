"""The room's parts, joined: what the engine has of triggers."""

from __future__ import annotations

from typing import Generic

from automation.clock import Clock
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.triggers.deciding import P
from automation.triggers.dispatcher import Dispatcher, Workflows
from automation.triggers.index import Index
from automation.triggers.thresholds import Thresholds
from automation.triggers.timers import Timers


class Triggers(Generic[P]):
    """All triggers of an engine, and what they remember."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, changes: Changes, workflows: Workflows[P]) -> None:
        self.index = index = Index()
        self.dispatcher: Dispatcher[P] = Dispatcher(store, clock, metrics, changes, workflows, index)
        self._states = states = self.dispatcher.states
        self.switches = self.dispatcher.switches
        self.thresholds = Thresholds(index, states, clock, self.dispatcher.fire)
        self._timers = Timers(states, clock, self.dispatcher.decider, self.thresholds, self.dispatcher.fire)
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
