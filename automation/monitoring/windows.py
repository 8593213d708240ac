"""The windows of conditions over the recent samples of a series: what `avg(latency, 10m)` is now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from automation.conditions import Gap, View, Window
from automation.model.metric import Sample
from automation.monitoring.history import History
from automation.monitoring.metrics import MetricStore, Series
from automation.monitoring.trends import LEAST_BEFORE, line_at, score

Numbers = Sequence[float]


class Windows:
    """Answers for a store of samples: with the newest, and with what windows show."""

    def __init__(self, store: MetricStore, history: History | None = None) -> None:
        self._store = store
        self._history = history

    def latest(self, name: str, subject: str | None = None) -> Sample | None:
        """The newest sample of a metric, of any subject or of this one."""
        return self._store.latest(name, subject)

    def latest_value(self, name: str, subject: str) -> float | None:
        """The newest value of a metric of a subject."""
        return self._store.latest_value(name, subject)

    def newest(self, name: str, subject: str | None = None) -> list[Sample]:
        """The newest sample of each series of a metric, of all subjects or of this one."""
        return [series.last() for series in self._store.series(name, subject)]

    def view(self, window: Window, sample: Sample, now: float) -> View:
        """What a window shows at `now` for the series of a sample.

        Of the metric of the sample, that is its own series. Of another metric, it is the series with the same subject
        and labels, or else the one of the subject with the newest sample. A sample without a name stands for a rule
        that has no series yet: all of the subject count, or, without a subject, all. What memory does not reach is
        answered from the history, in whole buckets.
        """
        series = self._series(window.metric, sample)
        since = now - window.seconds
        times, values = series.since(since) if series else ((), ())
        known_from = self._store.kept_from
        if series is not None:
            known_from = max(known_from, math.nextafter(series.forgotten, math.inf))
        missing = None
        if known_from > since:
            found = self._history.view(window, series, now) if self._history and series else None
            if found is not None:
                return found
            missing = Gap(f"only the last {max(0.0, now - known_from):.0f} of {window.seconds:g} seconds are known")
        if window.function == "absent":
            return _absence(window, times, missing, known_from)
        if window.function == "count":
            return _count(window, times, missing, known_from)
        return View(_value(window, times, values, missing, now))

    def _series(self, metric: str, sample: Sample) -> Series | None:
        if not sample.name:
            return self._store.newest(metric, sample.subject or None)
        own = self._store.one(metric, sample.subject, sample.labels)
        if own is None and metric != sample.name:
            return self._store.newest(metric, sample.subject)
        return own


def _absence(window: Window, times: Numbers, missing: Gap | None, known_from: float) -> View:
    if times:
        return View(False, _left(times[-1], window.seconds))
    return View(True) if missing is None else View(missing, known_from + window.seconds)


def _count(window: Window, times: Numbers, missing: Gap | None, known_from: float) -> View:
    if missing is not None:
        return View(missing, known_from + window.seconds)
    # Once a second is enough for what leaves: a busy series would be looked at twice for each sample.
    return View(len(times), _left(times[0], window.seconds) // 1 + 1 if times else None)


def _left(time: float, seconds: float) -> float:
    """The earliest time at which a sample has left the window."""
    left = time + seconds
    # The sum is rounded: the timer must not fire one rounding step early and find the sample still there.
    while not left - seconds > time and math.isfinite(left):
        left = math.nextafter(left, math.inf)
    return left


def _value(window: Window, times: Numbers, values: Numbers, missing: Gap | None, now: float) -> float | bool | Gap:
    function = window.function
    if not values:
        return missing or Gap(f"no sample of {window.metric} in the window")
    if function == "last":
        return values[-1]
    if function == "changed" and min(values) != max(values):
        return True
    if missing is not None:
        return missing
    if function == "changed":
        return False
    if function in _OF_TWO and len(values) < 2:
        return Gap(f"{function} needs two samples in the window")
    if function == "anomaly" and len(values) <= LEAST_BEFORE:
        return Gap(f"anomaly needs {LEAST_BEFORE} samples in the window before the newest")
    try:
        match function:
            case "rate":
                result = _increase(values) / (times[-1] - times[0])
            case "forecast":
                expected = line_at(times, values, now + window.ahead)
                if expected is None:
                    return Gap("forecast needs samples of two moments")
                result = expected
            case _:
                result = _COMPUTE[function](values)
    except OverflowError:
        result = math.inf
    return result if math.isfinite(result) else Gap("too large for a number")


def _mean(values: Numbers) -> float:
    return math.fsum(values) / len(values)


def _stddev(values: Numbers) -> float:
    """Of the samples themselves, not an estimate for what they are taken from."""
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) * (value - mean) for value in values) / len(values))


def _increase(values: Numbers) -> float:
    """What a counter has gone up by; where it is less than before, it has started again from 0."""
    return math.fsum(new - old if new >= old else new for old, new in pairwise(values))


def _quantile(share: float) -> Callable[[Numbers], float]:
    """Between the two nearest of the sorted samples, in proportion: rank `share * (n - 1)`, counted from 0."""

    def quantile(values: Numbers) -> float:
        ordered = sorted(values)
        rank = share * (len(ordered) - 1)
        low = math.floor(rank)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low)

    return quantile


_OF_TWO = frozenset({"rate", "increase", "delta", "forecast"})
_COMPUTE: dict[str, Callable[[Numbers], float]] = {
    "avg": _mean,
    "min": min,
    "max": max,
    "sum": math.fsum,
    "stddev": _stddev,
    "increase": _increase,
    "anomaly": score,
    "delta": lambda values: values[-1] - values[0],
    "p50": _quantile(0.5),
    "p75": _quantile(0.75),
    "p90": _quantile(0.9),
    "p95": _quantile(0.95),
    "p99": _quantile(0.99),
}
