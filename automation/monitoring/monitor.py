"""The monitor: runs each collector at its interval, and passes on what it finds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from automation.clock import Clock
from automation.errors import DefinitionError, NotFound, Problem
from automation.infrastructure.cancelling import end, is_ending
from automation.infrastructure.services import Services
from automation.model.metric import Sample
from automation.monitoring.announcer import Announcer, CheckStates, Publish
from automation.monitoring.availability import METRIC, Availability, shares
from automation.monitoring.checks import CheckState
from automation.monitoring.collector import Figures, Observations, Probe
from automation.plugins import Plugin, no_secret, read_settings, registry, revealed

log = logging.getLogger("automation.monitoring")

Observe = Callable[[Sample], Awaitable[object]]
LONGEST_BACK_OFF = 300.0
"""Seconds; a collector that keeps failing is called at least this often (or at its interval, if that is longer)."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One collector that is called again and again."""

    name: str
    collector: str
    interval_seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WatchState:
    """How a watch is doing."""

    collector: str
    interval_seconds: float
    rounds: int = 0
    errors: int = 0
    """Rounds that failed, in all."""
    errors_in_a_row: int = 0
    last_run: float | None = None
    duration_seconds: float | None = None
    error: str | None = None
    """What the last round could not do."""
    next_run: float | None = None


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where what is found goes to."""

    observe: Observe
    publish: Publish
    states: CheckStates
    availability: Availability = field(default_factory=Availability)


@dataclass(slots=True)
class _Running:
    watch: Watch
    plugin: Plugin
    settings: BaseModel
    probe: Probe
    state: WatchState
    # A round by hand and one of the loop must not run at the same time: they share the collector's notes.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Monitor:
    """Runs collectors as supervised tasks; one that fails is tried again later and does not touch the others."""

    def __init__(
        self,
        watches: Sequence[Watch],
        services: Services,
        clock: Clock,
        outlets: Outlets,
        figures: Figures | None = None,
    ) -> None:
        """Raises DefinitionError with all problems: names used twice, unknown collectors, wrong settings."""
        self._clock = clock
        self._outlets = outlets
        self._announcer = Announcer(outlets.states, outlets.publish)
        self._availability = outlets.availability
        self._running: dict[str, _Running] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.confide(no_secret, str)
        problems: list[Problem] = []
        for watch in watches:
            if watch.name in self._running:
                problems.append(Problem(f"monitors.{watch.name}", "there is already a monitor of this name"))
                continue
            try:
                self._running[watch.name] = _prepare(watch, services, clock, figures)
            except NotFound as error:
                problems.append(Problem(f"monitors.{watch.name}.collector", error.message))
            except DefinitionError as error:
                problems += error.problems
        if problems:
            raise DefinitionError(problems, what="monitors")

    def confide(self, secret: Callable[[str], str], redact: Callable[[str], str]) -> None:
        """Use `secret` for what stands for `${secret:NAME}` in settings, asked at each round, and `redact` to hide
        secrets in what a round could not do, and in the details of checks."""
        self._secret, self._redact = secret, redact

    async def start(self) -> None:
        """Load the states of checks and start all watches; the first round of each begins at once."""
        if self._tasks:
            return
        await self._announcer.load()
        self._tasks = [
            asyncio.create_task(self._supervise(name), name=f"monitor {name}") for name in sorted(self._running)
        ]

    async def stop(self) -> None:
        """Stop all watches; a round that is under way is cancelled."""
        await asyncio.gather(*map(end, self._tasks))
        self._tasks = []

    async def round(self, name: str) -> Observations:
        """Run one round now and pass on what it finds; raises what the collector or an outlet raises."""
        running = self._running.get(name)
        if running is None:
            raise NotFound(kind="monitor", name=name)
        async with running.lock:
            began, at = self._clock.monotonic(), self._clock.now()
            try:
                found = await self._collect(running)
            except Exception as error:
                self._note(running, at, began, self._redact(f"{type(error).__name__}: {error}"), failed=True)
                raise
            self._note(running, at, began, "; ".join(found.problems) or None, failed=False)
            return found

    @property
    def states(self) -> dict[str, WatchState]:
        """How each watch is doing, by name."""
        return {name: running.state for name, running in self._running.items()}

    @property
    def checks(self) -> dict[str, CheckState]:
        """What is held true of each target, by key: a JSON list of watch, check, subject and target."""
        return self._announcer.states

    def availability(self) -> dict[str, float]:
        """Percent of good health probes of each service over the last day."""
        return self._availability.percentages(self._clock.now())

    async def _collect(self, running: _Running) -> Observations:
        given: Observations = await running.plugin.call(self._settings(running), running.probe)
        found = self._hidden(given)
        now = self._clock.now()
        # Checks first: that a service is down matters more than its latency.
        await self._announcer.take(running.watch.name, found, now)
        for sample in found.samples:
            await self._outlets.observe(sample)
        for service, share in shares(found.checks).items():
            self._availability.count(service, share, now)
            labels = {"monitor": running.watch.name}
            await self._outlets.observe(Sample(name=METRIC, value=share, subject=service, labels=labels, time=now))
        return found

    def _settings(self, running: _Running) -> BaseModel:
        written = running.watch.settings
        found = revealed(written, self._secret)
        return running.settings if found == written else read_settings(running.plugin.settings, found, "settings")

    def _hidden(self, found: Observations) -> Observations:
        checks = [replace(check, detail=self._redact(check.detail)) for check in found.checks]
        return replace(found, checks=checks, problems=[self._redact(problem) for problem in found.problems])

    async def _supervise(self, name: str) -> None:
        running = self._running[name]
        while True:
            pause = running.watch.interval_seconds
            try:
                found = await self.round(name)
                if found.next_seconds is not None:
                    pause = min(pause, max(0.0, found.next_seconds))
                for problem in found.problems:
                    log.warning("monitor %s: %s", name, problem)
            except Exception:
                if is_ending():
                    return
                pause = self._back_off(running)
                log.warning("monitor %s failed, next try in %g s: %s", name, pause, running.state.error)
                log.debug("monitor %s", name, exc_info=True)
            running.state = replace(running.state, next_run=self._clock.now() + pause)
            await self._clock.sleep(pause)

    def _back_off(self, running: _Running) -> float:
        interval = running.watch.interval_seconds
        doubled: float = interval * 2.0 ** min(16, running.state.errors_in_a_row - 1)
        return max(interval, min(doubled, LONGEST_BACK_OFF))

    def _note(self, running: _Running, at: float, began: float, error: str | None, *, failed: bool) -> None:
        state = running.state
        running.state = replace(
            state,
            rounds=state.rounds + 1,
            errors=state.errors + failed,
            errors_in_a_row=state.errors_in_a_row + 1 if failed else 0,
            last_run=at,
            duration_seconds=self._clock.monotonic() - began,
            error=error,
        )


def _prepare(watch: Watch, services: Services, clock: Clock, figures: Figures | None) -> _Running:
    plugin = registry.get("collector", watch.collector)
    settings = read_settings(plugin.settings, watch.settings, f"monitors.{watch.name}.settings")
    probe = Probe(services, clock, watch.interval_seconds, figures=figures)
    return _Running(watch, plugin, settings, probe, WatchState(watch.collector, watch.interval_seconds))
