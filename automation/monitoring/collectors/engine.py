"""The `engine` collector: how the engine itself is doing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from automation.model.metric import Sample
from automation.monitoring.collector import Observations, Probe
from automation.plugins import collector


class EngineCollector(BaseModel):
    """How the samples are named."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    subject: str = "automation"
    """The subject of the samples."""


@collector("engine")
async def engine(settings: EngineCollector, probe: Probe) -> Observations:
    """Measure the engine that runs this: `engine_executions` (label `status`), `engine_oldest_unfinished_seconds`,
    `engine_pending_writes`, and `engine_source_lag` (label `source`).

    Raises StoreError when the database cannot be read.
    """
    if probe.figures is None:
        return Observations(problems=["there is no engine here to measure"])
    figures = await probe.figures()
    now = probe.clock.now()
    found = Observations()

    def sample(name: str, value: float, **labels: str) -> None:
        found.samples.append(Sample(name=name, value=value, subject=settings.subject, labels=labels, time=now))

    for status, count in figures.executions.items():
        sample("engine_executions", count, status=status)
    oldest = figures.oldest_unfinished
    # The clock may have been set back since.
    sample("engine_oldest_unfinished_seconds", 0.0 if oldest is None else max(0.0, now - oldest))
    sample("engine_pending_writes", figures.pending_writes)
    for source, lag in figures.source_lag.items():
        sample("engine_source_lag", lag, source=source)
    return found
