"""The recent past of each metric, in memory: enough for conditions with windows, not an archive."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

from automation.model.metric import KEPT_SECONDS, Sample

Labels = tuple[tuple[str, str], ...]


class Series:
    """The latest samples of one metric of one subject with one set of labels, oldest first."""

    __slots__ = ("_limit", "_start", "_times", "_values", "forgotten", "labels", "name", "subject")

    def __init__(self, name: str, subject: str, labels: Labels, limit: int) -> None:
        self.name = name
        self.subject = subject
        self.labels = labels
        self.forgotten = -math.inf
        """The time of the newest sample that had to make room."""
        self._limit = limit
        self._start = 0
        # Grown as needed: most series of a large fleet are short.
        self._times = array("d")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._times)

    @property
    def last_time(self) -> float:
        """When the newest sample was taken."""
        return self._times[self._start - 1]

    def add(self, time: float, value: float) -> bool:
        """Add a sample, forgetting the oldest of a full series; False if it is older than the newest.

        One of the same time replaces it.
        """
        if self._times and time <= self.last_time:
            if time < self.last_time:
                return False
            self._values[self._start - 1] = value
        elif len(self._times) < self._limit:
            self._times.append(time)
            self._values.append(value)
        else:
            self.forgotten = self._times[self._start]
            self._times[self._start] = time
            self._values[self._start] = value
            self._start = (self._start + 1) % self._limit
        return True

    def points(self, since: float = -math.inf) -> list[tuple[float, float]]:
        """(time, value) of each sample from `since` on, oldest first."""
        return [point for point in self._walk() if point[0] >= since]

    def since(self, time: float) -> tuple[array[float], array[float]]:
        """The times and the values of the samples from `time` on, oldest first."""
        # The ring is two ordered runs; copying a run costs far less than a step of Python for each sample.
        times = self._times[self._start :] + self._times[: self._start]
        values = self._values[self._start :] + self._values[: self._start]
        first = bisect_left(times, time)
        return times[first:], values[first:]

    def last(self) -> Sample:
        """The newest sample."""
        return Sample(
            name=self.name,
            value=self._values[self._start - 1],
            subject=self.subject,
            labels=dict(self.labels),
            time=self.last_time,
        )

    def _walk(self) -> Iterator[tuple[float, float]]:
        for index in range(self._start, self._start + len(self._times)):
            place = index % len(self._times)
            yield self._times[place], self._values[place]


class MetricStore:
    """Windows of recent samples by metric, subject and labels, all bounded.

    What is refused is counted in `dropped` by its reason: `not_finite`, `out_of_order`, `series_limit` (too many
    series of one metric), `total_limit` (too many in all).
    """

    def __init__(
        self,
        samples: int = 512,
        window_seconds: float = KEPT_SECONDS,
        series_per_metric: int = 10_000,
        total_series: int = 100_000,
        kept_from: float = -math.inf,
    ) -> None:
        self.kept_from = kept_from
        """The time before which nothing is known: when the process that keeps the samples began."""
        self._samples = samples
        self._window = window_seconds
        self._per_metric = series_per_metric
        self._total_limit = total_series
        self._metrics: dict[str, dict[tuple[str, Labels], Series]] = {}
        self._total = 0
        self.dropped: Counter[str] = Counter()

    def record(self, sample: Sample) -> bool:
        """Add a sample; False if it was refused and counted."""
        if not (math.isfinite(sample.value) and math.isfinite(sample.time)):
            return self._drop("not_finite")
        known = self._metrics.get(sample.name, {})
        key = (sample.subject, tuple(sorted(sample.labels.items())))
        series = known.get(key)
        if series is None:
            reason = self._no_room(sample.name, sample.time)
            if reason is not None:
                return self._drop(reason)
            series = Series(sample.name, *key, self._samples)
            self._metrics.setdefault(sample.name, {})[key] = series
            self._total += 1
        return series.add(sample.time, sample.value) or self._drop("out_of_order")

    def latest(self, name: str, subject: str | None = None) -> Sample | None:
        """The newest sample of a metric, of any subject or of this one."""
        newest = self.newest(name, subject)
        return newest.last() if newest else None

    def latest_value(self, name: str, subject: str) -> float | None:
        """The newest value of a metric of this subject."""
        sample = self.latest(name, subject)
        return sample.value if sample else None

    def one(self, name: str, subject: str, labels: Mapping[str, str]) -> Series | None:
        """The series of a metric with exactly this subject and these labels."""
        return self._metrics.get(name, {}).get((subject, tuple(sorted(labels.items()))))

    def newest(self, name: str, subject: str | None = None) -> Series | None:
        """The series of a metric, of any subject or of this one, that has the newest sample."""
        return max(self._of(name, subject), key=lambda series: series.last_time, default=None)

    def series(self, name: str, subject: str | None = None) -> list[Series]:
        """The series of a metric, of all subjects or of this one."""
        return list(self._of(name, subject))

    def window(self, series: Series) -> list[tuple[float, float]]:
        """The samples of a series within the window before its newest one, oldest first."""
        return series.points(series.last_time - self._window)

    def names(self) -> list[str]:
        """The metrics that have samples, sorted."""
        return sorted(self._metrics)

    def __len__(self) -> int:
        return self._total

    def _of(self, name: str, subject: str | None) -> Iterator[Series]:
        for series in self._metrics.get(name, {}).values():
            if subject is None or series.subject == subject:
                yield series

    def _no_room(self, name: str, now: float) -> str | None:
        if len(self._metrics.get(name, {})) >= self._per_metric:
            self._forget_silent(name, now)
            if len(self._metrics.get(name, {})) >= self._per_metric:
                return "series_limit"
        if self._total >= self._total_limit:
            for each in list(self._metrics):
                self._forget_silent(each, now)
            if self._total >= self._total_limit:
                return "total_limit"
        return None

    def _forget_silent(self, name: str, now: float) -> None:
        # Replicas come and go: series that have been silent for a window make room for new ones.
        known = self._metrics.get(name, {})
        for key in [key for key, series in known.items() if series.last_time < now - self._window]:
            del known[key]
            self._total -= 1
        if not known:
            self._metrics.pop(name, None)

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False
