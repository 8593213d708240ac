"""The `promql` collector: what a query gives on a Prometheus, as samples of ours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from automation.errors import InputError, TryLater
from automation.infrastructure.promql import MaxSeries, Query, evaluate
from automation.infrastructure.web import Web
from automation.model.metric import Sample
from automation.monitoring.collector import Observations, Probe
from automation.plugins import collector

SUBJECT_LABELS = ("service", "service_name", "job", "instance")
MetricName = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=200)]


_MORE = 10
"""How many times more series there may be in the past than at one moment."""

_ZEROS = 5
"""For how many rounds a series that has left the answer is 0."""

Series = dict[tuple[str, ...], Sample]


class PromqlCollector(Web):
    """Which Prometheus, and what it is asked."""

    query: Query
    """PromQL whose answer is a vector or a scalar, such as `sum by (service) (rate(errors_total[5m]))`."""
    metric: MetricName
    """The name that the samples get; conditions of alerts and triggers know them by it."""
    mode: Literal["value", "active"] = "value"
    """`value`: each series of the answer is a sample with its value. `active`: for queries that filter, such as
    `errors > 5`: a series that is in the answer is 1, whatever its value, and one that has left it is 0 for five
    rounds."""
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
    if settings.mode == "value":
        return Observations(samples=samples)
    present = {_key(sample): sample for sample in samples}
    before: Series = probe.previous.get("present", {})
    problems = []
    if not probe.previous.get("looked_back"):
        try:
            before = await _past(settings, now) | before
            probe.previous["looked_back"] = True
        except (TryLater, InputError) as error:
            # What is true now counts all the same; the next round looks back again.
            problems.append(f"what left the answer while the engine was away is not known yet: {error.message}")
    probe.previous["present"] = present
    # Said again for some rounds: what was made of a sample may not have come to the disk.
    left: dict[tuple[str, ...], tuple[Sample, int]] = probe.previous.get("left", {})
    left |= {key: (sample, _ZEROS) for key, sample in before.items()}
    left = {key: (sample, more - 1) for key, (sample, more) in left.items() if key not in present and more}
    probe.previous["left"] = left
    gone = [sample for sample, _ in left.values()]
    zeros = [Sample(name=one.name, value=0.0, subject=one.subject, labels=one.labels, time=now) for one in gone]
    return Observations(samples=samples + zeros, problems=problems)


async def _past(settings: PromqlCollector, now: float) -> Series:
    """The series that were in the answer before the engine has started: Prometheus still knows."""
    past = f"present_over_time(({settings.query}\n)[{settings.look_back_seconds}s:{_step(settings)}s])"
    rows = await evaluate(settings, past, now, _MORE * settings.max_series)
    return {_key(sample): sample for sample in (_sample(settings, labels, 1.0, now) for labels, _ in rows)}


def _step(settings: PromqlCollector) -> int:
    # Few enough points to be quick; what came and went between two of them is not found.
    return max(15, settings.look_back_seconds // 10_000)


def _sample(settings: PromqlCollector, labels: dict[str, str], value: float, now: float) -> Sample:
    subject, kept = series_of(settings, labels)
    return Sample(name=settings.metric, value=value, subject=subject, labels=kept, time=now)


def series_of(settings: PromqlCollector, labels: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The subject and the labels that a series of the answer gets here."""
    kept = {name: text for name, text in labels.items() if name != "__name__"}
    names = SUBJECT_LABELS if settings.subject_label is None else (settings.subject_label,)
    return settings.subject or next((kept[name] for name in names if kept.get(name)), ""), kept


def _key(sample: Sample) -> tuple[str, ...]:
    return (sample.subject, *(f"{name}={text}" for name, text in sorted(sample.labels.items())))
