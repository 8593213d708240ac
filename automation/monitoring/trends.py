"""What the samples of a window say of the newest one, and of those to come: `anomaly(...)` and `forecast(...)`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

LEAST_BEFORE = 10
"""How many samples must come before the one of which it is asked how unusual it is."""

# Of what is normally distributed, these times the median and the mean deviation are its standard deviation.
_OF_MEDIAN_DEVIATION = 1.4826
_OF_MEAN_DEVIATION = math.sqrt(math.pi / 2)


def line_at(
    times: Sequence[float], values: Sequence[float], at: float, weights: Sequence[float] | None = None
) -> float | None:
    """The value at a time of the line through samples that fits them best, or None where all are of one moment.

    Least squares, as `predict_linear` of Prometheus; with weights, for means of so many samples.
    """
    counted = weights or [1.0] * len(times)
    # Since the first: in seconds since 1970 the squares of the times would be all that a double can hold.
    ages = [time - times[0] for time in times]
    middle, mean = statistics.fmean(ages, counted), statistics.fmean(values, counted)
    spread = math.fsum(weight * (age - middle) ** 2 for weight, age in zip(counted, ages, strict=True))
    if not spread:
        return None
    pairs = zip(counted, ages, values, strict=True)
    together = math.fsum(weight * (age - middle) * (value - mean) for weight, age, value in pairs)
    return mean + together / spread * (at - times[0] - middle)


def score(values: Sequence[float]) -> float:
    """How many standard deviations the last value lies above the median of those before it; below, it is negative.

    The standard deviation is estimated from the median deviation, which a few odd ones among them do not change: the
    modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993). Where more than half of them are
    equal that is 0, and the mean deviation of all takes its place: one that differs from n equal ones has 0.8 (n + 1).
    """
    before, last = values[:-1], values[-1]
    centre = statistics.median(before)
    deviation = statistics.median(abs(value - centre) for value in before) * _OF_MEDIAN_DEVIATION
    if not deviation:
        deviation = math.fsum(abs(value - centre) for value in values) / len(values) * _OF_MEAN_DEVIATION
    return (last - centre) / deviation if deviation else 0.0
