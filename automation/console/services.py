"""What the overview says of services: replicas, health, availability. None of them may hold the page up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from automation.engine import AutomationEngine
from automation.model.service import ServiceDefinition
from automation.monitoring.checks import CheckState

log = logging.getLogger("automation.console")

PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service; what is None is not known."""

    name: str
    platform: str
    wanted: int
    alive: int | None
    failing: int
    availability: float | None
    problem: str = ""

    @property
    def health(self) -> str:
        """How it is, in a word that has an icon."""
        if self.alive is None:
            return "pending"
        if self.failing or self.alive < self.wanted:
            return "failed"
        return "succeeded" if self.alive else "pending"

    @property
    def word(self) -> str:
        """The same for people."""
        if self.alive is None:
            return "unknown"
        if self.failing:
            return "unhealthy"
        if self.alive < self.wanted:
            return "replicas missing"
        return "healthy" if self.alive else "not running"


async def service_rows(engine: AutomationEngine) -> list[ServiceRow]:
    """All services, by name."""
    monitor = engine.watching.monitor
    failing, availability = _failing(monitor.checks), monitor.availability()
    definitions = engine.services.all()
    return list(await asyncio.gather(*(_row(engine, each, failing, availability) for each in definitions)))


async def _row(
    engine: AutomationEngine,
    service: ServiceDefinition,
    failing: Mapping[str, int],
    availability: Mapping[str, float],
) -> ServiceRow:
    alive, problem = None, ""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            replicas = await engine.services.platform(service).replicas(service)
        alive = sum(replica.alive for replica in replicas)
        wanted = len(replicas)
    except Exception as error:
        # One platform that does not answer must not take the overview with it.
        log.debug("service %s", service.name, exc_info=True)
        problem, wanted = f"{type(error).__name__}: {error}", service.replicas
    bad, share = failing.get(service.name, 0), availability.get(service.name)
    return ServiceRow(service.name, service.platform, wanted, alive, bad, share, problem)


def _failing(checks: Mapping[str, CheckState]) -> dict[str, int]:
    """How many checks of each service fail."""
    found: dict[str, int] = {}
    for key, state in checks.items():
        if not state.ok:
            subject = json.loads(key)[2]
            found[subject] = found.get(subject, 0) + 1
    return found
