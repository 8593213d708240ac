"""How available each service was: the share of good probes in a rolling window."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class _Slot:
    start: float
    good: int = 0
    total: int = 0


class Availability:
    """Counts of good and of all probes by service, in slots of a minute, for a day."""

    def __init__(self, window_seconds: float = 86_400.0, slot_seconds: float = 60.0) -> None:
        self._window = window_seconds
        self._slot = slot_seconds
        self._slots: dict[str, deque[_Slot]] = {}

    def count(self, service: str, ok: bool, time: float) -> None:
        """Count one probe."""
        slots = self._slots.setdefault(service, deque())
        start = time - time % self._slot
        if not slots or slots[-1].start < start:
            slots.append(_Slot(start))
        slots[-1].total += 1
        slots[-1].good += ok
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
