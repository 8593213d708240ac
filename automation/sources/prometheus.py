"""`prometheus`: asks a Prometheus a query again and again, and makes events of what it answers."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from automation.infrastructure.promql import MaxSeries, Query, evaluate
from automation.infrastructure.web import Web
from automation.model.event import Event
from automation.plugins import source
from automation.sources.alertmanager import SUBJECT_LABELS, fingerprint_of
from automation.sources.record import TypeName
from automation.sources.source import Delivery, SourceContext


class PrometheusQuery(Web):
    """Which Prometheus, what it is asked, and which answers are events."""

    query: Query
    """PromQL whose answer is a vector or a scalar, such as `rate(errors_total[5m]) > 1`."""
    interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """How often it is evaluated, at multiples of this in Prometheus' time."""
    emit: Literal["changes", "every"] = "changes"
    """`changes`: an event when a series comes into the answer (`data.state` is `began`) and when it leaves it
    (`ended`), as with an alert. `every`: an event for each series at each evaluation."""
    type: TypeName = "prometheus.query"
    """The type of the events."""
    subject_label: str | None = None
    """The label that holds the subject; by default the first of `service`, `service_name`, `job`, `instance`."""
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long after a moment it is evaluated for it: for samples that come late to Prometheus."""
    catch_up: Annotated[int, Field(ge=1, le=10_000)] = 60
    """How many moments that were missed, because the engine or Prometheus was down, are evaluated afterwards."""
    max_series: MaxSeries = 1000
    """With more series than that in one answer the source fails: narrow the query."""


@source("prometheus")
async def prometheus(settings: PrometheusQuery, context: SourceContext) -> AsyncIterator[Delivery]:
    """Evaluate a PromQL query at an interval; what comes into its answer, and leaves it, are events."""
    interval = settings.interval_seconds
    done, active = _stored(context.position, settings)
    while True:
        latest = math.floor((context.clock.now() - settings.delay_seconds) / interval)
        if done is None or done > latest:
            # At the first start; and after the clock was set back, which must not silence it for as long.
            done = latest - 1
        done = max(done, latest - settings.catch_up)
        while done < latest:
            done += 1
            at = done * interval
            found = await _evaluated(settings, at)
            if settings.emit == "every":
                events = [_event(settings, context.name, labels, value, at, "") for labels, value in found.values()]
            else:
                events, active = _changes(settings, context.name, at, found, active)
            position = {"query": settings.query, "at": at, "active": active}
            yield Delivery(tuple(events), position, lag=latest - done)
        context.listening()
        due = (latest + 1) * interval + settings.delay_seconds
        await context.clock.sleep(max(0.0, due - context.clock.now()))


Found = dict[str, tuple[dict[str, str], float]]
"""The labels and the value of each series, by its fingerprint."""
Active = dict[str, dict[str, str]]
"""The labels of the series that were in the last answer, by fingerprint."""


def _stored(position: Any, settings: PrometheusQuery) -> tuple[int | None, Active]:
    """How many intervals since the epoch are done with, and what was in the last answer."""
    # Another query has other series: what the old one had says nothing of them.
    if not isinstance(position, Mapping) or position.get("query") != settings.query:
        return None, {}
    # The interval may be another than before; and a product that was divided again may be a hair too small.
    return math.floor(position["at"] / settings.interval_seconds + 1e-6), dict(position["active"])


async def _evaluated(settings: PrometheusQuery, at: float) -> Found:
    rows = await evaluate(settings, settings.query, at, settings.max_series)
    return {fingerprint_of(labels): (labels, value) for labels, value in rows}


def _changes(
    settings: PrometheusQuery, name: str, at: float, found: Found, active: Active
) -> tuple[list[Event], Active]:
    began = [
        _event(settings, name, labels, value, at, "began")
        for key, (labels, value) in found.items()
        if key not in active
    ]
    ended = [_event(settings, name, labels, None, at, "ended") for key, labels in active.items() if key not in found]
    return began + ended, {key: labels for key, (labels, _) in found.items()}


def _event(
    settings: PrometheusQuery, name: str, labels: Mapping[str, str], value: float | None, at: float, state: str
) -> Event:
    keys = SUBJECT_LABELS if settings.subject_label is None else (settings.subject_label,)
    # JSON has no NaN and no infinity: what a rule compares is unknown then.
    finite = value is not None and math.isfinite(value)
    data: dict[str, Any] = {"value": value if finite else None, "query": settings.query, "metric": dict(labels)}
    if value is not None and not finite:
        data["not_a_number"] = str(value)
    if state:
        data["state"] = state
    return Event(
        type=settings.type,
        source=f"prometheus:{name}",
        subject=next((labels[key] for key in keys if labels.get(key)), ""),
        labels=dict(labels),
        id=f"{fingerprint_of(labels)}:{at:.3f}:{state}".removesuffix(":"),
        time=at,
        data=data,
    )
