"""Where metric samples come in: kept in recent windows, then passed to the rules that they mean something to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, MutableMapping
from typing import Protocol

from automation.clock import Clock
from automation.errors import InputError
from automation.model.metric import Sample, is_plain, plain
from automation.monitoring.metrics import MetricStore
from automation.telemetry.metrics import Metrics

log = logging.getLogger("automation.monitoring")

AHEAD_SECONDS = 300.0
"""How far a clock elsewhere may be ahead: after a sample of a later time, all true ones would be out of order."""
MOST_TOLD = 1000
TURN = 500
"""After how many samples of one call others get their turn."""


class Alerts(Protocol):
    """The rules of alerts."""

    def observe(self, sample: Sample) -> Awaitable[None] | None:
        """What is left to wait for, if the sample means something to a rule."""
        ...


class Thresholds(Protocol):
    """The thresholds of triggers."""

    async def observe(self, sample: Sample) -> None:
        """Return when what it changes is on disk."""
        ...


class Intake:
    """Takes samples in."""

    def __init__(
        self, store: MetricStore, clock: Clock, metrics: Metrics, alerts: Alerts, thresholds: Thresholds
    ) -> None:
        self._store = store
        self._clock = clock
        self._refused = metrics.samples_refused
        self._taken = metrics.samples
        self._alerts = alerts
        self._thresholds = thresholds
        self._told: set[str] = set()

    async def take(self, sample: Sample) -> bool:
        """Take in one sample; returns when all that it leads to is on disk. False if it was refused and counted.

        Raises InputError for what is no sample.
        """
        if not is_plain(sample):
            sample = plain(sample)
        self._taken.inc()
        if self._refuse(sample, self._clock.now()) is not None:
            return False
        waiting = self._alerts.observe(sample)
        if waiting is not None:
            await waiting
        await self._thresholds.observe(sample)
        return True

    async def take_many(self, samples: Iterable[Sample], refused: MutableMapping[str, int] | None = None) -> int:
        """Take in samples, in their order; how many were not refused. `refused` counts the others by their reason.

        Raises InputError for what is no sample, and says which it was: those before it are taken in.
        """
        taken = seen = 0
        now = self._clock.now()
        for given in samples:
            sample = given if is_plain(given) else self._plain(given, seen)
            seen += 1
            reason = self._refuse(sample, now)
            if reason is None:
                taken += 1
                waiting = self._alerts.observe(sample)
                if waiting is not None:
                    await waiting
                await self._thresholds.observe(sample)
            elif refused is not None:
                refused[reason] = refused.get(reason, 0) + 1
            if not seen % TURN:
                await asyncio.sleep(0)
                now = self._clock.now()
        self._taken.inc(seen)
        return taken

    def _plain(self, given: object, place: int) -> Sample:
        try:
            return plain(given)
        except InputError as error:
            self._taken.inc(place)
            raise InputError(f"samples[{place}]: {error.message}") from None

    def _refuse(self, sample: Sample, now: float) -> str | None:
        """Keep a sample; the reason if it was refused and counted."""
        reason = "future" if sample.time > now + AHEAD_SECONDS else self._store.take(sample)
        if reason is not None:
            self._refused.labels(reason).inc()
            if reason.endswith("_limit"):
                self._warn(sample)
        return reason

    def _warn(self, sample: Sample) -> None:
        """Once for each metric: labels that are new with each sample would fill the log as well."""
        if sample.name not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(sample.name)
            log.warning(
                "samples of %s are refused: there are too many series of it, or in all. Give it fewer labels; "
                "automation_samples_refused_total counts them",
                sample.name,
            )
