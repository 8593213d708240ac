"""Metrics: which there are, and what they were."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives
from automation.api.render import Json
from automation.engine import AutomationEngine
from automation.errors import InputError, NotFound
from automation.model.identity import Identity
from automation.model.metric import CATALOGUE, Bucket

router = APIRouter(prefix="/api/v1", tags=["metrics"])

Viewer = Annotated[Identity, Depends(needs("metrics:view"))]
MOST_POINTS = 11_000
"""How many buckets of one series one answer may hold, as Prometheus has it."""
USUAL_POINTS = 250
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class MetricView:
    """A metric that has samples."""

    name: str
    series: int
    """How many series it has, in memory or in the history."""
    unit: str | None = None
    """Of the metrics of the built-in collectors."""
    meaning: str | None = None


@dataclass(frozen=True, slots=True)
class MetricList:
    """All metrics that have samples, by name."""

    items: tuple[MetricView, ...]


@dataclass(frozen=True, slots=True)
class PointView:
    """The samples of one bucket."""

    at: float
    """When the bucket begins."""
    count: int
    avg: float
    min: float
    max: float
    first: float
    last: float
    increase: float
    """What a counter has gone up by, from the last sample before the bucket on."""


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series, oldest bucket first; a bucket without samples is left out."""

    subject: str
    labels: Mapping[str, str]
    points: tuple[PointView, ...]


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """What a metric was."""

    name: str
    step: int
    """How long each bucket is, in seconds."""
    since: float
    until: float
    series: tuple[SeriesView, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Which part of the history of a metric is asked for."""

    since: float | None = None
    """By default an hour ago."""
    step: int | None = None
    """The length of buckets; by default the shortest that do not give too many."""
    subject: str | None = None
    limit: int = 100
    """How many series at most."""


@router.get("/metrics", responses=gives(MetricList))
async def list_metrics(request: Request, caller: Viewer) -> Response:
    """The metrics that have samples."""
    return Json(await metrics_of(engine_of(request)))


@router.get("/metrics/{name}", responses=gives(MetricHistory))
async def get_metric(
    request: Request,
    name: Annotated[str, Path(max_length=200)],
    caller: Viewer,
    since: Annotated[datetime.datetime | None, Query(description="By default an hour ago; without a zone UTC.")] = None,
    step: Annotated[
        int | None, Query(ge=1, description="The length of buckets in seconds, one of those that are kept.")
    ] = None,
    subject: Annotated[str | None, Query(max_length=1000)] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many series at most.")] = 100,
) -> Response:
    """What a metric was, in buckets of the history; without `step` the shortest that make no more than 250 a series."""
    excerpt = Excerpt(_seconds(since), step, subject, limit)
    return Json(await history_of(engine_of(request), name, excerpt))


async def metrics_of(engine: AutomationEngine) -> MetricList:
    """All metrics."""
    found = await engine.samples.history.names()
    return MetricList(
        tuple(
            MetricView(name, series, known.unit, known.meaning) if known else MetricView(name, series)
            for name, series in found.items()
            for known in (CATALOGUE.get(name),)
        )
    )


async def history_of(engine: AutomationEngine, name: str, excerpt: Excerpt) -> MetricHistory:
    """Part of the history of a metric; raises NotFound, InputError."""
    history = engine.samples.history
    until = engine.clock.now()
    since = excerpt.since if excerpt.since is not None else until - HOUR
    if since >= until:
        raise InputError("since: is in the future", path="since")
    step = excerpt.step if excerpt.step is not None else history.step_for(since, until, USUAL_POINTS)
    since = max(since, until - history.kept(step))
    if (until - since) / step > MOST_POINTS:
        raise InputError(
            f"step: that is more than {MOST_POINTS} buckets of each series; ask for longer ones, or less time",
            path="step",
        )
    if name not in await history.names():
        raise NotFound(kind="metric", name=name)
    lines = await history.read(name, step, since, until, excerpt.subject, excerpt.limit)
    series = tuple(SeriesView(line.subject, line.labels, tuple(map(_point, line.buckets))) for line in lines)
    return MetricHistory(name, step, since, until, series)


def _point(bucket: Bucket) -> PointView:
    mean = bucket.total / bucket.count
    return PointView(
        bucket.start, bucket.count, mean, bucket.least, bucket.most, bucket.first, bucket.last, bucket.rise
    )


def _seconds(moment: datetime.datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
