"""The interface of a platform: what the rest of the project may ask of whatever runs services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from automation.clock import Clock
from automation.model.service import Replica, ServiceDefinition


@dataclass(frozen=True, slots=True)
class Usage:
    """What one replica has used so far."""

    replica: str
    cpu_seconds: float
    """Processor time since it started; the difference between two readings gives the usage between them."""
    memory_bytes: int


class Platform(Protocol):
    """Runs replicas of services. An instance serves all services of its kind; it keeps its own durable records in
    `home`, so that a new engine finds what an earlier one started."""

    def __init__(self, home: Path, clock: Clock) -> None: ...

    async def replicas(self, service: ServiceDefinition) -> list[Replica]:
        """All replicas that should exist, dead ones (`alive=False`) included, oldest first.

        Not those that are on their way in or out: one that still starts has not failed its health check.
        """
        ...

    async def scale(self, service: ServiceDefinition, count: int, progress: Progress | None = None) -> list[Replica]:
        """Have exactly `count` healthy replicas: replace dead ones, start missing ones, stop the newest spare ones.

        Returns when the new ones are healthy. Raises ActionError if one does not become healthy.
        """
        ...

    async def restart(self, service: ServiceDefinition, options: RestartOptions) -> list[Replica]:
        """Replace every replica by a new one, one after the other, the dead ones first."""
        ...

    async def usage(self, service: ServiceDefinition) -> list[Usage]:
        """What each living replica has used."""
        ...


Progress = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class RestartOptions:
    """How to restart."""

    graceful: bool = True
    """Stop by asking first (SIGTERM and a wait), after the replacement is healthy; else kill at once."""
    wait_for_health: bool = True
    """Return only when the new replicas answer their health check."""
    progress: Progress | None = None
