"""Buckets: samples of a stretch of time in a few numbers, which two neighbours or two parts of one stretch add up to.

Count, sum, least, most, first, last and increase of a whole follow exactly from those of its parts, so that nothing is
lost by making longer buckets of shorter ones (Gray et al., "Data Cube", 1997: distributive and algebraic aggregates).
Quantiles and standard deviations do not, and are not answered.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from automation.model.metric import Bucket

_LARGEST = 1e300
"""Small enough for many of them to be added in a database that refuses what is too large for a number."""


def fold(times: Sequence[float], values: Sequence[float], before: float | None, resolution: float) -> list[Bucket]:
    """The buckets of samples, oldest first; `before` is the value before the first of them, if there is one."""
    found: list[Bucket] = []
    at = 0
    while at < len(times):
        start = times[at] // resolution * resolution
        end = bisect_left(times, start + resolution, at)
        part = values[at:end]
        steps = part if before is None else [before, *part]
        rise = total_of(new - old if new >= old else new for old, new in pairwise(steps))
        found.append(Bucket(start, len(part), total_of(part), min(part), max(part), part[0], part[-1], rise))
        at, before = end, part[-1]
    return found


def merged(one: Bucket, other: Bucket) -> Bucket:
    """Two buckets as one, the later last."""
    return Bucket(
        one.start,
        one.count + other.count,
        total_of((one.total, other.total)),
        min(one.least, other.least),
        max(one.most, other.most),
        one.first,
        other.last,
        total_of((one.rise, other.rise)),
    )


def coarser(buckets: Iterable[Bucket], resolution: float) -> list[Bucket]:
    """Longer buckets made of shorter ones, oldest first."""
    found: list[Bucket] = []
    for bucket in buckets:
        start = bucket.start // resolution * resolution
        if found and found[-1].start == start:
            found[-1] = merged(found[-1], bucket)
        else:
            found.append(
                Bucket(
                    start, bucket.count, bucket.total, bucket.least, bucket.most, bucket.first, bucket.last, bucket.rise
                )
            )
    return found


def total_of(values: Iterable[float]) -> float:
    """The sum, rounded once, and never beyond what many can be added of."""
    numbers = list(values)
    try:
        return max(-_LARGEST, min(_LARGEST, math.fsum(numbers)))
    except OverflowError:
        return math.copysign(_LARGEST, max(numbers, key=abs))
