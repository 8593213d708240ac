"""The `promql` collector: what a query gives on a Prometheus, as samples of ours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from automation.infrastructure.promql import MaxSeries, Query, evaluate
from automation.infrastructure.web import Web
from automation.model.metric import Sample
from automation.monitoring.collector import Observations, Probe
from automation.plugins import collector

SUBJECT_LABELS = ("service", "service_name", "job", "instance")
MetricName = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=200)]


class PromqlCollector(Web):
    """Which Prometheus, and what it is asked."""

    query: Query
    """PromQL whose answer is a vector or a scalar, such as `sum by (service) (rate(errors_total[5m]))`."""
    metric: MetricName
    """The name that the samples get; conditions of alerts and triggers know them by it."""
    mode: Literal["value", "active"] = "value"
    """`value`: each series of the answer is a sample with its value. `active`: for queries that filter, such as
    `errors > 5`: a series that is in the answer is 1, whatever its value, and one that has left it is 0."""
    subject: str = ""
    """The subject of the samples; by default the value of the label `service`, `service_name`, `job` or `instance`."""
    subject_label: str | None = None
    """The label whose value is the subject instead."""
    look_back_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400
    """In mode `active`, when the engine has started: series that were in the answer so long ago at most, and are not
    now, are 0. Longer ago, what they had made fire stays as it is."""
    max_series: MaxSeries = 1000
    """With more series than that in one answer the round fails: narrow the query."""

    @model_validator(mode="after")
    def _one_subject(self) -> PromqlCollector:
        if self.subject and self.subject_label is not None:
            raise ValueError("give subject or subject_label, not both")
        return self


@collector("promql")
async def promql(settings: PromqlCollector, probe: Probe) -> Observations:
    """Evaluate a query on a Prometheus; each series of the answer becomes a sample, with its labels.

    Raises TryLater when Prometheus cannot be asked or refuses the query, InputError for an answer that does not fit.
    """
    now = probe.clock.now()
    rows = await evaluate(settings, settings.query, now, settings.max_series)
    samples = [_sample(settings, labels, 1.0 if settings.mode == "active" else value, now) for labels, value in rows]
    if settings.mode == "active":
        samples += await _gone(settings, probe, samples, now)
    return Observations(samples=samples)


async def _gone(settings: PromqlCollector, probe: Probe, samples: list[Sample], now: float) -> list[Sample]:
    """Zeros for the series that have left the answer since the round before."""
    present = {_key(sample): sample for sample in samples}
    before: dict[tuple[str, ...], Sample] | None = probe.previous.get("present")
    if before is None:
        # The engine has started: what left while it was away, Prometheus still knows.
        past = f"present_over_time(({settings.query}\n)[{settings.look_back_seconds}s:{_step(settings)}s])"
        rows = await evaluate(settings, past, now, settings.max_series)
        before = {_key(sample): sample for sample in (_sample(settings, labels, 1.0, now) for labels, _ in rows)}
    probe.previous["present"] = present
    return [
        Sample(name=settings.metric, value=0.0, subject=sample.subject, labels=sample.labels, time=now)
        for key, sample in before.items()
        if key not in present
    ]


def _step(settings: PromqlCollector) -> int:
    # Prometheus refuses more than 11,000 points; a series that came and went between two of them never was an alert.
    return max(15, settings.look_back_seconds // 1000)


def _sample(settings: PromqlCollector, labels: dict[str, str], value: float, now: float) -> Sample:
    kept = {name: text for name, text in labels.items() if name != "__name__"}
    names = SUBJECT_LABELS if settings.subject_label is None else (settings.subject_label,)
    subject = settings.subject or next((kept[name] for name in names if kept.get(name)), "")
    return Sample(name=settings.metric, value=value, subject=subject, labels=kept, time=now)


def _key(sample: Sample) -> tuple[str, ...]:
    return (sample.subject, *(f"{name}={text}" for name, text in sorted(sample.labels.items())))
