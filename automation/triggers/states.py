"""What triggers remember, in memory as it is on disk, and the writes that change both.

A change is seen at once by the next event, which is committed after it: a row names the revision that it follows, so
that an event whose forerunner was refused is refused as well and decided again. What was only looked at is looked at
again by the commit: another node may know more. What became of a change is not known when its commit fails; such places
are read again before anything else is decided.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Any

from automation.clock import Clock
from automation.store import trigger_states
from automation.store.statement import Op
from automation.store.store import Store
from automation.store.trigger_states import Place, TriggerState, write

SLACK_SECONDS = 30.0
"""How far clocks of nodes may differ, and a commit may take, for what they write to be seen by the others."""


class Draft:
    """What is decided together and committed together: changes, and what they were decided on."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._before: dict[Place, str | None] = {}
        self._changed: set[Place] = set()
        self.looks = 0
        """How often something remembered was asked for."""

    def get(self, place: Place, digest: str) -> dict[str, Any] | None:
        """What is remembered there, by the same definition of the trigger."""
        state = self._look(place)
        return state.body if state is not None and state.digest == digest else None

    def put(self, place: Place, body: dict[str, Any] | None, digest: str = "", due_at: float | None = None) -> None:
        """Remember something else there, or nothing."""
        if self._look(place) is None and body is None:
            return
        self._changed.add(place)
        self._states.set(place, None if body is None else TriggerState.new(body, digest, due_at))

    def count(self, trigger: str, part: str) -> int:
        """How many keys are open."""
        return self._states.count(trigger, part)

    @property
    def touched(self) -> tuple[Place, ...]:
        """The places that it depends on."""
        return tuple(self._before)

    def ops(self, now: float) -> list[Op]:
        """The writes, one a place."""
        ops: list[Op] = []
        for place, before in self._before.items():
            if place not in self._changed:
                ops.append(trigger_states.same(place, before))
            elif (op := write(place, before, self._states.get(place), now)) is not None:
                ops.append(op)
        return ops

    def _look(self, place: Place) -> TriggerState | None:
        self.looks += 1
        known = self._states.get(place)
        self._before.setdefault(place, known.revision if known is not None else None)
        return known


class States:
    """All that triggers on this database remember."""

    def __init__(self, clock: Clock, store: Store | None) -> None:
        """Without a store, they are only tried and not kept."""
        self._store = store
        self._clock = clock
        self._known: dict[Place, TriggerState] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._due: list[tuple[float, Place]] = []
        self._doubtful: set[Place] = set()
        self._looked_at = 0.0
        self.sooner = asyncio.Event()
        """Set when something is due sooner than anything before."""

    async def refresh(self) -> None:
        """Read what is new: at the start everything, later what other nodes have written since."""
        if self._store is None:
            return
        since, self._looked_at = self._looked_at - SLACK_SECONDS, self._clock.now()
        for place, state in (await trigger_states.changed(self._store, since)).items():
            # Of what is known here a change may be on its way. What is wrong is found out by the commit that needs it.
            if place not in self._known:
                self.set(place, state)

    def draft(self) -> Draft:
        """Begin to decide something."""
        return Draft(self)

    def doubt(self, draft: Draft) -> None:
        """Nobody knows what became of these changes."""
        self._doubtful.update(draft.touched)

    async def settle(self) -> None:
        """Read again what is in doubt."""
        while self._doubtful and self._store is not None:
            places = list(self._doubtful)
            found = await trigger_states.at(self._store, places)
            for place in places:
                self.set(place, found.get(place))
            self._doubtful.difference_update(places)

    def get(self, place: Place) -> TriggerState | None:
        """What is remembered at a place."""
        return self._known.get(place)

    def set(self, place: Place, state: TriggerState | None) -> None:
        """Take something for what is remembered there."""
        known = self._known.pop(place, None)
        self._counts[place[:2]] += (state is not None) - (known is not None)
        if state is None:
            if not self._counts[place[:2]]:
                del self._counts[place[:2]]
            return
        self._known[place] = state
        if state.due_at is not None:
            if not self._due or state.due_at < self._due[0][0]:
                self.sooner.set()
            heapq.heappush(self._due, (state.due_at, place))

    def count(self, trigger: str, part: str) -> int:
        """How many keys of a trigger are open."""
        return self._counts[trigger, part]

    @property
    def next_due(self) -> float | None:
        """When the first of them is due."""
        while self._due:
            at, place = self._due[0]
            known = self._known.get(place)
            if known is not None and known.due_at == at:
                return at
            heapq.heappop(self._due)
        return None

    def pop_due(self, now: float) -> Iterator[Place]:
        """The places that are due, each once; `again` puts one back."""
        while (at := self.next_due) is not None and at <= now:
            yield heapq.heappop(self._due)[1]

    def again(self, place: Place) -> None:
        """It was not dealt with."""
        state = self._known.get(place)
        if state is not None and state.due_at is not None:
            heapq.heappush(self._due, (state.due_at, place))

    def of(self, trigger: str) -> dict[Place, TriggerState]:
        """All that one trigger remembers."""
        return {place: state for place, state in self._known.items() if place[0] == trigger}
