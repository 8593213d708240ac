"""Who is dead, told by silence: a node that has not been heard of for as long as its lease.

The lease in a node's row is never compared with our own clock: clocks differ, and are set. What counts is whether the
row changes while we look. Time in which we did not look ourselves (a process that was stopped, a machine that slept)
says nothing about the others, and does not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Heard(Protocol):
    """What is read of a node."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def lease_until(self) -> float:
        """Different after each heartbeat."""
        ...


@dataclass(slots=True)
class _Last:
    lease_until: float
    heard_at: float


class Silence:
    """Watches the heartbeats of the other nodes."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease = lease_seconds
        self._watched = 0.0
        """Seconds for which we have looked."""
        self._looked_at: float | None = None
        self._nodes: dict[str, _Last] = {}

    def look(self, nodes: Iterable[Heard], monotonic: float) -> frozenset[str]:
        """Take in what the rows say now; returns those that have been silent for a whole lease."""
        if self._looked_at is not None:
            self._watched += min(max(monotonic - self._looked_at, 0.0), self._lease / 3)
        self._looked_at = monotonic
        known = self._nodes
        self._nodes = {}
        for node in nodes:
            last = known.get(node.id)
            if last is None or last.lease_until != node.lease_until:
                last = _Last(node.lease_until, self._watched)
            self._nodes[node.id] = last
        return frozenset(id for id, last in self._nodes.items() if self._watched - last.heard_at >= self._lease)
