"""Which executions wait for an event, and what happens when it comes.

A wait is a row, written with the journal entry that says so. Its fulfilment is a write of the event's own transaction,
so an event that was acknowledged wakes whoever waited for it, whatever dies in between. What the rows say is kept in
memory by the type of event: an event that nobody waits for costs one look into a dictionary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automation.clock import Clock
from automation.conditions import Condition, Gap, Measure, Window, compile_measured
from automation.model.event import Event, as_mapping
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.store import waits
from automation.store.statement import Op
from automation.store.store import Store
from automation.store.waits import Met, Wait
from automation.workflows.state import State

GAP_SECONDS = 10.0
"""How long after its beginning a wait may still be unknown to other nodes, at most."""

_EXPLICIT = ("actions", "context")


@dataclass(eq=False, slots=True)
class Awaiting:
    """A wait in memory."""

    wait: Wait
    condition: Condition | None
    stored: asyncio.Future[None] | None = None
    """Done when the wait is on disk; None where it is."""

    def fits(self, event: Mapping[str, Any], measure: Measure | None = None) -> bool:
        """Whether the event meets it; `measure` tells what windows of its condition show now."""
        return self.condition is None or self.condition(ArrivingScope(self.wait.names, event, measure))


class ArrivingScope:
    """The names of a wait's condition: the usual ones, but the event is the arriving one.

    With `measure`, windows over metrics as they are now, for the subject of the arriving event.
    """

    __slots__ = ("_event", "_measure", "_names")

    def __init__(self, names: Mapping[str, Any], event: Mapping[str, Any], measure: Measure | None = None) -> None:
        self._names = names
        self._event = event
        self._measure = measure

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or `default`."""
        if name == "event":
            return self._event
        if name in self._names:
            return self._names[name]
        data = self._event["data"]
        if name in data:
            return data[name]
        return True if name == self._event["type"] else default

    def window(self, window: Window) -> float | bool | Gap:
        """What a window shows now."""
        if self._measure is None:
            return Gap("no samples are kept here")
        return self._measure(window, self._event["subject"])


def names_for(condition: Condition, state: State, own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an execution that a wait's condition names: as they are now, and no more than it names."""
    found: dict[str, Any] = {}
    for name in condition.names - {"event", *_EXPLICIT}:
        for place in (own, state.outputs, state.variables):
            if name in place:
                found[name] = place[name]
                break
    for root, values in (("actions", _outputs(state)), ("context", state.variables)):
        wanted = {path.split(".")[1] for path in condition.paths if path.startswith(f"{root}.")}
        if wanted:
            found[root] = {key: values[key] for key in wanted if key in values}
    return found


def _outputs(state: State) -> dict[str, Any]:
    return {name: state.actions[name].outputs for name in state.names}


class Waits:
    """All waits for events on this database, by the type of event."""

    def __init__(self, store: Store, clock: Clock, measure: Measure | None = None) -> None:
        self._store = store
        self._clock = clock
        self._measure = measure
        self._by_type: dict[str, dict[str, Awaiting]] = {}
        self._types: dict[str, str] = {}
        self.deliver: Callable[[Met], None] = lambda met: None
        """Tells whoever waits that it has come."""

    def __bool__(self) -> bool:
        """Whether anybody waits for an event, as far as this node knows."""
        return bool(self._types)

    async def load(self) -> None:
        """Read what earlier engines have left: an event may come before the execution is taken up."""
        known = set(self._types)
        # One that is just being written may come to the disk after this has looked, and before it goes on.
        settled = {wait_id for wait_id in known if (found := self._find(wait_id)) and found.stored is None}
        stored = {wait.id: wait for wait in await waits.for_events(self._store)}
        for wait_id, wait in stored.items():
            if wait_id not in known and wait_id not in self._types:
                self._keep(Awaiting(wait, _compiled(wait)))
        for wait_id in settled - set(stored):
            self.discard(wait_id)

    def add(self, wait: Wait) -> Awaiting:
        """Begin to look for it; `settle` says that it is on disk."""
        awaiting = Awaiting(wait, _compiled(wait), asyncio.get_running_loop().create_future())
        self._keep(awaiting)
        return awaiting

    @staticmethod
    def settle(awaiting: Awaiting) -> None:
        """The wait is on disk."""
        stored, awaiting.stored = awaiting.stored, None
        if stored is not None and not stored.done():
            stored.set_result(None)

    def discard(self, wait_id: str) -> None:
        """Nobody waits for it any more."""
        event_type = self._types.pop(wait_id, None)
        if event_type is not None:
            of_type = self._by_type[event_type]
            of_type.pop(wait_id, None)
            if not of_type:
                del self._by_type[event_type]

    def match(self, event: Event) -> Sequence[Awaiting]:
        """The waits that the event meets."""
        of_type = self._by_type.get(event.type)
        if of_type is None:
            return ()
        seen = as_mapping(event)
        return [awaiting for awaiting in of_type.values() if awaiting.fits(seen, self._measure)]

    async def writes(self, met: Sequence[Awaiting], event: Event) -> list[Op]:
        """What is committed with the event; each wait itself is on disk when this returns."""
        for awaiting in met:
            if awaiting.stored is not None:
                await asyncio.shield(awaiting.stored)
        seen, now = as_mapping(event), self._clock.now()
        return [awaiting.wait.met(seen, now) for awaiting in met]

    def tell(self, met: Sequence[Awaiting], event: Event) -> tuple[str, ...]:
        """The event is on disk: wake who waited for it. Returns the executions."""
        seen = as_mapping(event)
        for awaiting in met:
            wait = awaiting.wait
            self.discard(wait.id)
            self.deliver(Met(wait.id, wait.execution_id, wait.action, seen))
        return tuple(dict.fromkeys(awaiting.wait.execution_id for awaiting in met))

    async def refresh(self, node: str) -> None:
        """What other nodes have done since: new waits, and events that they took in."""
        await self.load()
        since = self._clock.now() - GAP_SECONDS
        for wait, event in await waits.overlooked(self._store, since):
            # An event of a node that did not know of the wait yet.
            awaiting = self._find(wait.id)
            if awaiting is not None and awaiting.fits(as_mapping(event), self._measure):
                await self._store.commit([wait.met(as_mapping(event), self._clock.now())])
                self.tell([awaiting], event)
        for met in await waits.met_for(self._store, node):
            self.discard(met.id)
            self.deliver(met)

    def _find(self, wait_id: str) -> Awaiting | None:
        event_type = self._types.get(wait_id)
        return None if event_type is None else self._by_type[event_type].get(wait_id)

    def _keep(self, awaiting: Awaiting) -> None:
        wait = awaiting.wait
        assert wait.event_type is not None
        self._types[wait.id] = wait.event_type
        self._by_type.setdefault(wait.event_type, {})[wait.id] = awaiting


def _compiled(wait: Wait) -> Condition | None:
    return None if wait.condition is None else compile_measured(wait.condition, units=UNITS, kept=KEPT_SECONDS)
