"""The `process` collector: what the replicas of services use."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from automation.errors import AutomationError
from automation.model.metric import Sample
from automation.model.service import ServiceDefinition
from automation.monitoring.collector import Observations, Probe
from automation.plugins import collector


class ProcessCollector(BaseModel):
    """Which services are measured."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    services: tuple[str, ...] = ()
    """By default all that are defined."""


@collector("process")
async def process(settings: ProcessCollector, probe: Probe) -> Observations:
    """Measure CPU and memory of the replicas of services.

    `cpu_usage`: percent of the cores that a replica may use (`cpu` of the service), mean of the living replicas that
    were seen before; with the label `replica`, `replica_cpu_usage`: the same of one, and `memory_bytes`: resident
    memory. `replicas`: how many are alive. The subject is the service.
    """
    found = Observations()
    names = settings.services or probe.services.names()
    seen: dict[str, tuple[float, float]] = {}
    for name in names:
        try:
            await _measure(probe.services.get(name), probe, seen, found)
        except AutomationError as error:
            found.problems.append(f"{name}: {error.message}")
    probe.previous["readings"] = seen
    return found


async def _measure(
    service: ServiceDefinition, probe: Probe, seen: dict[str, tuple[float, float]], found: Observations
) -> None:
    platform = probe.services.platform(service)
    alive = sum(replica.alive for replica in await platform.replicas(service))
    usages = await platform.usage(service)
    now, tick = probe.clock.now(), probe.clock.monotonic()
    earlier: dict[str, tuple[float, float]] = probe.previous.get("readings", {})
    percents = []

    def sample(name: str, value: float, replica: str | None = None) -> None:
        labels = {"replica": replica} if replica else {}
        found.samples.append(Sample(name=name, value=value, subject=service.name, labels=labels, time=now))

    for usage in usages:
        seen[usage.replica] = (tick, usage.cpu_seconds)
        sample("memory_bytes", usage.memory_bytes, usage.replica)
        before = earlier.get(usage.replica)
        if before is not None and tick > before[0]:
            # A process below the replica that ends unseen takes its time with it: never below zero.
            used = max(0.0, usage.cpu_seconds - before[1])
            percents.append(100.0 * used / ((tick - before[0]) * service.cpu))
            sample("replica_cpu_usage", percents[-1], usage.replica)
    if percents:
        sample("cpu_usage", sum(percents) / len(percents))
    sample("replicas", alive)
