"""Looks after what triggers remember when its time is over, although nothing comes.

Every node looks. The write that ends a row names its revision, so that one of them ends it, and what that leads to is
committed with it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from automation.clock import Clock, rest
from automation.store.trigger_states import Place
from automation.triggers import thresholds
from automation.triggers.deciding import Decider, Verdict
from automation.triggers.states import Draft, States
from automation.triggers.thresholds import Fire, Thresholds

log = logging.getLogger("automation.triggers")

LOOK_SECONDS = 1.0
"""The clock may be set meanwhile."""
LONGEST_PAUSE = 30.0
FORGET_SECONDS = 7 * 86_400.0
"""How long what is due waits for its trigger to be defined again; then nobody will."""


class Timers:
    """One task for all that is due."""

    def __init__(self, states: States, clock: Clock, decider: Decider[Any], thresholds: Thresholds, fire: Fire) -> None:
        self._states = states
        self._clock = clock
        self._decider = decider
        self._thresholds = thresholds
        self._fire = fire
        self._waiting: set[Place] = set()
        """What is due of triggers that nobody has defined yet: a program defines them after the start."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="automation-triggers")

    async def stop(self) -> None:
        """Look no more; what becomes due meanwhile is dealt with after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def defined(self) -> None:
        """Triggers were defined: perhaps those of which something is due."""
        for place in [place for place in self._waiting if self._decider.knows(place[0])]:
            self._waiting.discard(place)
            self._states.again(place)
            self._states.sooner.set()

    async def _run(self) -> None:
        pause = 0.0
        while True:
            if pause:
                await self._clock.sleep(pause)
            else:
                self._states.sooner.clear()
                await rest(self._clock, self._states.next_due, LOOK_SECONDS, self._states.sooner)
            pause = 0.0 if await self._look() else min(max(1.0, pause * 2), LONGEST_PAUSE)

    async def _look(self) -> bool:
        """Deal with all that is due; False if something could not be."""
        well = True
        for place in list(self._states.pop_due(self._clock.now())):
            expire = self._thresholds.expire if place[1] == thresholds.PART else self._decider.expire
            if not self._decider.knows(place[0]):
                state = self._states.get(place)
                if state is None or (state.due_at or 0.0) > self._clock.now() - FORGET_SECONDS:
                    self._waiting.add(place)
                    continue
                expire = _forget
            try:
                await self._fire(lambda draft, e=expire, p=place: e(draft, p))  # type: ignore[misc]
            except Exception as error:
                # The other triggers must not wait for this one; it is tried again, and nothing of it is lost.
                well = False
                self._states.again(place)
                log.warning("trigger %s: what is due is tried again: %s", place[0], error, exc_info=error)
            else:
                left = self._states.get(place)
                if left is not None and (left.due_at or 0.0) > self._clock.now():
                    # Another node has put it off, or the clock was set back.
                    self._states.again(place)
        return well


def _forget(draft: Draft, place: Place) -> Verdict[Any]:
    draft.put(place, None)
    return Verdict()
