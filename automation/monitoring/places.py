"""Which series have a history: so many in all, and the last tenth of the places is for metrics that have few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

RESERVED = 10
"""One place of so many is kept for metrics with few series: one whose labels explode must not take all."""
FEW = 100
"""With less than one of so many places, a metric has few series."""


class Places:
    """The series that have a history, with the time of the newest sample that is noted of each."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._noted: dict[int, float] = {}
        self._names: dict[int, str] = {}
        self._of_name: Counter[str] = Counter()

    def load(self, noted: Mapping[int, tuple[str, float]]) -> None:
        """What the disk knows: the name and the newest noted time of each series."""
        self._noted = {number: time for number, (_, time) in noted.items()}
        self._names = {number: name for number, (name, _) in noted.items()}
        self._of_name = Counter(self._names.values())

    def take(self, number: int, name: str) -> bool:
        """Whether the series has a place, or gets one now."""
        if number in self._noted:
            return True
        free, has = self.most - len(self._noted), self._of_name[name]
        if free <= (self.most // RESERVED if has >= max(1, self.most // FEW) else 0):
            return False
        self._noted[number] = 0.0
        self._names[number] = name
        self._of_name[name] += 1
        return True

    def noted(self, number: int) -> float:
        """The newest time that is noted of a series; 0 if none is."""
        return self._noted.get(number, 0.0)

    def note(self, number: int, time: float) -> None:
        """Its newest time is on disk."""
        self._noted[number] = time

    def free(self, before: float) -> None:
        """Give up the places of those that have had no sample since: nothing is left of them on the disk."""
        for number in [number for number, noted in self._noted.items() if 0.0 < noted < before]:
            del self._noted[number]
            self._of_name[self._names.pop(number)] -= 1
