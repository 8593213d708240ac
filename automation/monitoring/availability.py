"""How available each service was: the share of good probes, of the last day in memory and of longer in the history.

Each round of a monitor is one sample of `service_availability`, so rules may name it like any other metric, and it
outlives the process as they do. Rounds count alike, however many replicas were asked in each.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from automation.model.metric import Bucket
from automation.monitoring.collector import CheckResult

METRIC = "service_availability"
DAY = 86_400.0
WINDOWS = {"1h": 3600.0, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
"""Of which lengths the availability is told, in seconds."""
_POINTS = 2000
"""How many buckets of a series tell of one of them, at most."""


class Line(Protocol):
    """The history of one series."""

    @property
    def subject(self) -> str:
        """The service."""
        ...

    @property
    def buckets(self) -> Sequence[Bucket]:
        """Its buckets, oldest first."""
        ...


class History(Protocol):
    """What is known of the past of metrics."""

    def step_for(self, since: float, until: float, points: int) -> int:
        """The length of the buckets that tell of this time in no more than so many."""
        ...

    async def read(
        self, name: str, resolution: int, since: float, until: float, subject: str | None = None
    ) -> Sequence[Line]:
        """The series of a metric in this time."""
        ...


def shares(checks: Iterable[CheckResult]) -> dict[str, float]:
    """The share of good probes of each service in one round, where they say something of its availability."""
    found: dict[str, list[bool]] = defaultdict(list)
    for check in checks:
        if check.of_availability:
            found[check.subject].append(check.ok)
    return {service: sum(probes) / len(probes) for service, probes in found.items()}


@dataclass(slots=True)
class _Slot:
    start: float
    good: float = 0.0
    total: int = 0


class Availability:
    """Rounds and the sum of their shares by service, in slots of a minute, for a day."""

    def __init__(self, window_seconds: float = DAY, slot_seconds: float = 60.0) -> None:
        self._window = window_seconds
        self._slot = slot_seconds
        self._slots: dict[str, deque[_Slot]] = {}

    def count(self, service: str, share: float, time: float) -> None:
        """Count one round."""
        slots = self._slots.setdefault(service, deque())
        start = time - time % self._slot
        if not slots or slots[-1].start < start:
            slots.append(_Slot(start))
        slots[-1].total += 1
        slots[-1].good += share
        while slots[0].start < start - self._window:
            slots.popleft()

    def percentages(self, now: float) -> dict[str, float]:
        """Percent of good probes by service; a service without probes in the window is left out."""
        found = {}
        for service, slots in self._slots.items():
            recent = [slot for slot in slots if slot.start >= now - self._window]
            total = sum(slot.total for slot in recent)
            if total:
                found[service] = 100.0 * sum(slot.good for slot in recent) / total
        return found

    async def restore(self, history: History, now: float) -> None:
        """Count what earlier processes have counted, in place of what is known. Raises StoreError."""
        since = now - self._window
        found: dict[str, dict[float, _Slot]] = defaultdict(dict)
        for line in await history.read(METRIC, history.step_for(since, now, _POINTS), since, now):
            for bucket in line.buckets:
                slot = found[line.subject].setdefault(bucket.start, _Slot(bucket.start))
                slot.good += bucket.total
                slot.total += bucket.count
        self._slots = {service: deque(slots[start] for start in sorted(slots)) for service, slots in found.items()}


async def over(history: History, service: str, now: float) -> Mapping[str, float]:
    """Percent of good probes of a service over each of `WINDOWS`, without those in which there were none."""
    found = {}
    for name, seconds in WINDOWS.items():
        step = history.step_for(now - seconds, now, _POINTS)
        lines = await history.read(METRIC, step, now - seconds, now, service)
        total = sum(bucket.count for line in lines for bucket in line.buckets)
        if total:
            found[name] = 100.0 * sum(bucket.total for line in lines for bucket in line.buckets) / total
    return found
