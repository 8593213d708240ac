"""From check results to events: each change of a check is published once, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Protocol

from automation.model.event import Event
from automation.monitoring.checks import CheckState, decide
from automation.monitoring.collector import CheckResult, Observations

Publish = Callable[[Event], Awaitable[object]]


class CheckStates(Protocol):
    """Keeps the states of checks over restarts."""

    async def load(self) -> dict[str, CheckState]:
        """All states, by key."""
        ...

    async def save(self, key: str, state: CheckState | None) -> None:
        """Durably store one state; None forgets it."""
        ...


class Announcer:
    """Holds the state of each check of each target and publishes its changes.

    A change is stored as not yet announced, published, and stored as announced. Killed in between, the next engine
    publishes it again, under the same id: a duplicate, which starts nothing.
    """

    def __init__(self, states: CheckStates, publish: Publish) -> None:
        self._store = states
        self._publish = publish
        self._states: dict[str, CheckState] | None = None

    async def load(self) -> None:
        """Read the states, and publish what an earlier engine decided and could not publish any more."""
        self._states = await self._store.load()
        for key, state in list(self._states.items()):
            if not state.announced:
                await self._announce(key, state, state.since)

    @property
    def states(self) -> dict[str, CheckState]:
        """The states by key, as a copy."""
        return dict(self._states or {})

    async def take(self, watch: str, observations: Observations, now: float) -> None:
        """Take the results of one round of `watch` into account."""
        if self._states is None:
            await self.load()
        for result in observations.checks:
            await self._take_one(key_of(watch, result.check, result.subject, result.target), result)
        await self._forget_gone(watch, observations, now)

    async def _take_one(self, key: str, result: CheckResult) -> None:
        states = self._known()
        before = states.get(key, CheckState())
        if not before.announced:
            # Publishing failed in an earlier round; a change on top of it must not overtake it.
            await self._announce(key, before, before.since)
            before = states[key]
        decision = decide(result.thresholds, before, result)
        if decision.transition is None:
            states[key] = decision.state
            return
        await self._store.save(key, decision.state)
        states[key] = decision.state
        await self._announce(key, decision.state, result.time)

    async def _announce(self, key: str, state: CheckState, time: float) -> None:
        await self._publish(_event(key, state, time))
        done = replace(state, announced=True)
        await self._store.save(key, done)
        self._known()[key] = done

    async def _forget_gone(self, watch: str, observations: Observations, now: float) -> None:
        """A target that no longer exists has no state; if it had failed, that is over."""
        asked = {key_of(watch, result.check, result.subject, result.target) for result in observations.checks}
        covered = set(observations.covered)
        for key in _gone(self._known(), watch, covered, asked):
            state = self._known()[key]
            if not state.ok:
                over = replace(state, ok=True, detail="it no longer exists", took=0)
                await self._publish(_event(key, over, now, gone=True))
            if not state.ok or state.since:
                await self._store.save(key, None)
            del self._known()[key]

    def _known(self) -> dict[str, CheckState]:
        assert self._states is not None, "loaded first"
        return self._states


def key_of(watch: str, check: str, subject: str, target: str) -> str:
    """The key of a state: the four names as a JSON list."""
    return json.dumps([watch, check, subject, target])


def _gone(keys: Iterable[str], watch: str, covered: set[tuple[str, str]], asked: set[str]) -> list[str]:
    found = []
    for key in keys:
        if key not in asked:
            owner, check, subject, _ = json.loads(key)
            if owner == watch and (check, subject) in covered:
                found.append(key)
    return found


def _event(key: str, state: CheckState, time: float, gone: bool = False) -> Event:
    _, check, subject, target = json.loads(key)
    kind = f"{check}_check_{'recovered' if state.ok else 'failed'}"
    # The same change has the same id whoever publishes it and however often.
    name = json.dumps([kind, check, subject, target, state.since, gone])
    return Event(
        type=kind,
        subject=subject,
        source="monitoring",
        id=hashlib.sha256(name.encode()).hexdigest()[:32],
        time=time,
        severity="info" if state.ok else "high",
        data={
            "service_name": subject,
            "target": target,
            "address": state.address,
            "error": "" if state.ok else state.detail,
            "reason": state.detail,
            "consecutive_failures": 0 if state.ok else state.took,
            "since": state.since,
        },
    )
