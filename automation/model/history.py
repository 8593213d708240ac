"""What is kept of metrics beyond memory: the section `metrics` of the configuration."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from automation.model.base import Definition


class Resolution(Definition):
    """Buckets of one length, and how long they are kept."""

    seconds: Annotated[int, Field(ge=1, le=86_400)]
    """How long the stretch of time is of which the samples are kept in a few numbers."""
    days: Annotated[float, Field(gt=0, le=36_500)]
    """How long such a bucket is kept."""


class History(Definition):
    """The history of metrics: count, sum, least, most, first, last and increase of the samples in each bucket."""

    enabled: bool = True
    """Whether a history is kept."""
    resolutions: Annotated[tuple[Resolution, ...], Field(min_length=1, max_length=10)] = (
        Resolution(seconds=60, days=2),
        Resolution(seconds=600, days=14),
        Resolution(seconds=3600, days=90),
    )
    """The lengths of buckets and how long each is kept, the shortest first; each is a multiple of the one before and is
    kept for longer. At most the shortest is lost when the process is killed."""
    max_series: Annotated[int, Field(ge=1)] = 10_000
    """How many series have a history; further ones have none, which is counted and logged. The last tenth is for
    metrics with few of them. With the default resolutions a series takes about half a megabyte of disk in the end."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for shorter, longer in pairwise(self.resolutions):
            if longer.seconds <= shorter.seconds or longer.seconds % shorter.seconds:
                raise ValueError(f"{longer.seconds} seconds are not a multiple of the {shorter.seconds} before")
            if longer.days <= shorter.days:
                raise ValueError(f"buckets of {longer.seconds} seconds are kept no longer than shorter ones")
        return self


class MetricSettings(Definition):
    """What is kept of metrics."""

    history: History = History()
    """The history of metrics: count, sum, least, most, first, last and increase of the samples in each bucket."""
