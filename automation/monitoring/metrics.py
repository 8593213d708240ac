"""The recent past of each metric, in memory: enough for conditions with windows, not an archive.

Samples lie in two plain arrays a series, 16 bytes each, oldest first; those that had to make room stand before them for
a while and are cut off many at a time. What the history has not taken yet is gathered in buckets before it is cut off.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

from automation.model.metric import KEPT_SECONDS, Bucket, Sample
from automation.monitoring.buckets import fold, merged

Labels = tuple[tuple[str, str], ...]

MOST_PENDING = 1440
"""How many buckets of a series wait for the history while it cannot be written; after that, the oldest are lost."""


_NO_BUCKETS: list[Bucket] = []


class Series:
    """The latest samples of one metric of one subject with one set of labels, oldest first."""

    __slots__ = (
        "_first",
        "_given",
        "_limit",
        "_pending",
        "_saved",
        "_times",
        "_values",
        "forgotten",
        "labels",
        "lost",
        "name",
        "number",
        "resolution",
        "subject",
    )

    def __init__(self, name: str, subject: str, labels: Labels, limit: int, resolution: float | None = None) -> None:
        self.name = name
        self.subject = subject
        self.labels = labels
        self.forgotten = -math.inf
        """The time of the newest sample that had to make room."""
        self.resolution = resolution
        """The seconds of a bucket for the history; None where there is none."""
        self.number: int | None = None
        """What the history knows it by."""
        self._pending: list[Bucket] = _NO_BUCKETS if resolution is None else []
        self._given: list[Bucket] = _NO_BUCKETS
        self.lost = 0
        """How many buckets the history has not got because it could not be written for too long."""
        self._limit = limit
        self._first = 0
        # The first sample that is in no bucket yet.
        self._saved = 0
        # Grown as needed: most series of a large fleet are short.
        self._times = array("d")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._times) - self._first

    @property
    def last_time(self) -> float:
        """When the newest sample was taken."""
        return self._times[-1]

    @property
    def last_value(self) -> float:
        """The newest value."""
        return self._values[-1]

    def add(self, time: float, value: float) -> bool:
        """Add a sample, forgetting the oldest of a full series; False if it is older than the newest.

        One of the same time replaces it.
        """
        times = self._times
        if times and time <= times[-1]:
            if time < times[-1]:
                return False
            self._values[-1] = value
            return True
        times.append(time)
        self._values.append(value)
        if len(times) - self._first > self._limit:
            self.forgotten = times[self._first]
            self._first += 1
            if self._first > self._limit // 4:
                self._cut()
        return True

    def points(self, since: float = -math.inf) -> list[tuple[float, float]]:
        """(time, value) of each sample from `since` on, oldest first."""
        return list(zip(*self.since(since), strict=True))

    def since(self, time: float) -> tuple[array[float], array[float]]:
        """The times and the values of the samples from `time` on, oldest first."""
        first = bisect_left(self._times, time, self._first)
        return self._times[first:], self._values[first:]

    def last(self) -> Sample:
        """The newest sample."""
        return Sample(
            name=self.name,
            value=self._values[-1],
            subject=self.subject,
            labels=dict(self.labels),
            time=self._times[-1],
        )

    def settle(self) -> None:
        """Gather what is in no bucket yet."""
        if self.resolution is None or self._saved == len(self._times):
            return
        found = self._loose(self.resolution)
        self._saved = len(self._times)
        pending = self._pending
        if pending and pending[-1].start == found[0].start:
            found[0] = merged(pending.pop(), found[0])
        pending += found
        if len(pending) > MOST_PENDING:
            self.lost += len(pending) - MOST_PENDING
            del pending[:-MOST_PENDING]

    def hand_over(self) -> list[Bucket]:
        """All buckets that the history does not have, oldest first; `handed_over` says what became of them."""
        if not self._given:
            self.settle()
            self._given, self._pending = self._pending, []
        return self._given

    def handed_over(self, taken: bool) -> None:
        """The history has what it was given, or has it not and will be given it again."""
        if not taken:
            self._pending = [*self._given, *self._pending]
        self._given = _NO_BUCKETS

    def without_history(self) -> None:
        """Gather nothing from now on."""
        self.resolution = None
        self._pending = self._given = _NO_BUCKETS

    def unsaved(self) -> list[Bucket]:
        """What the history does not have yet, without giving it over; buckets of one start may follow one another."""
        if self.resolution is None:
            return []
        loose = self._loose(self.resolution) if self._saved < len(self._times) else []
        return [*self._given, *self._pending, *loose]

    def _loose(self, resolution: float) -> list[Bucket]:
        before = self._values[self._saved - 1] if self._saved else None
        return fold(self._times[self._saved :], self._values[self._saved :], before, resolution)

    def _cut(self) -> None:
        """Cut off what had to make room, many at a time: moving the rest costs as much as copying it."""
        if self.resolution is not None and self._saved < self._first:
            self.settle()
        # The last one before the first that is in no bucket: a counter goes up from there.
        first = self._first if self.resolution is None else min(self._first, max(0, self._saved - 1))
        del self._times[:first]
        del self._values[:first]
        self._first -= first
        self._saved = max(0, self._saved - first)


class _Family:
    """The series of one metric, by subject and labels."""

    __slots__ = ("size", "subjects")

    def __init__(self) -> None:
        self.subjects: dict[str, dict[Labels, Series]] = {}
        self.size = 0

    def all(self) -> Iterator[Series]:
        for series in self.subjects.values():
            yield from series.values()

    def of(self, subject: str | None) -> Iterator[Series]:
        if subject is None:
            return self.all()
        return iter(self.subjects.get(subject, {}).values())


_NONE = _Family()


class MetricStore:
    """Windows of recent samples by metric, subject and labels, all bounded.

    What is refused is counted in `dropped` by its reason: `not_finite`, `out_of_order`, `not_text` and `too_long` (a
    name, subject or label that no database takes), `series_limit` (too many series of one metric), `total_limit` (too
    many in all).
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
        self.resolution: float | None = None
        """The seconds of a bucket in which new series gather what a history takes from them; None without one."""
        self._samples = samples
        self._window = window_seconds
        self._per_metric = series_per_metric
        self._total_limit = total_series
        self._metrics: dict[str, _Family] = {}
        self._total = 0
        self._full_until: dict[str, float] = {}
        self.dropped: Counter[str] = Counter()

    def record(self, sample: Sample) -> bool:
        """Add a sample; False if it was refused and counted."""
        return self.take(sample) is None

    def take(self, sample: Sample) -> str | None:
        """Add a sample; the reason if it was refused and counted."""
        time, value = sample.time, sample.value
        # Of what is not finite, the difference to itself is not 0.
        if value - value != 0.0 or time - time != 0.0:
            return self._drop("not_finite")
        labels: Labels = tuple(sample.labels.items())
        if len(labels) > 1:
            labels = tuple(sorted(labels))
        family = self._metrics.get(sample.name, _NONE)
        series = family.subjects.get(sample.subject, _NOTHING).get(labels)
        if series is None:
            reason = _unfit(sample) or self._no_room(sample.name, time)
            if reason is not None:
                return self._drop(reason)
            series = self._new(sample.name, sample.subject, labels, time)
        return None if series.add(time, value) else self._drop("out_of_order")

    def latest(self, name: str, subject: str | None = None) -> Sample | None:
        """The newest sample of a metric, of any subject or of this one."""
        newest = self.newest(name, subject)
        return newest.last() if newest else None

    def latest_value(self, name: str, subject: str) -> float | None:
        """The newest value of a metric of this subject."""
        newest = self.newest(name, subject)
        return newest.last_value if newest else None

    def one(self, name: str, subject: str, labels: Mapping[str, str]) -> Series | None:
        """The series of a metric with exactly this subject and these labels."""
        return self._metrics.get(name, _NONE).subjects.get(subject, _NOTHING).get(tuple(sorted(labels.items())))

    def newest(self, name: str, subject: str | None = None) -> Series | None:
        """The series of a metric, of any subject or of this one, that has the newest sample."""
        known = self._metrics.get(name, _NONE).of(subject)
        return max(known, key=lambda series: series.last_time, default=None)

    def series(self, name: str, subject: str | None = None) -> list[Series]:
        """The series of a metric, of all subjects or of this one."""
        return list(self._metrics.get(name, _NONE).of(subject))

    def all(self) -> list[Series]:
        """All series."""
        return [series for family in self._metrics.values() for series in family.all()]

    def window(self, series: Series) -> list[tuple[float, float]]:
        """The samples of a series within the window before its newest one, oldest first."""
        return series.points(series.last_time - self._window)

    def names(self) -> list[str]:
        """The metrics that have samples, sorted."""
        return sorted(self._metrics)

    def __len__(self) -> int:
        return self._total

    def _new(self, name: str, subject: str, labels: Labels, time: float) -> Series:
        for place in (name, ""):
            if time < self._full_until.get(place, -math.inf):
                self._full_until[place] = time
        family = self._metrics.setdefault(name, _Family())
        series = Series(name, subject, labels, self._samples, self.resolution)
        family.subjects.setdefault(subject, {})[labels] = series
        family.size += 1
        self._total += 1
        return series

    def _no_room(self, name: str, now: float) -> str | None:
        if self._metrics.get(name, _NONE).size >= self._per_metric:
            self._make_room(name, [name], now)
            if self._metrics.get(name, _NONE).size >= self._per_metric:
                return "series_limit"
        if self._total >= self._total_limit:
            self._make_room("", list(self._metrics), now)
            if self._total >= self._total_limit:
                return "total_limit"
        return None

    def _make_room(self, place: str, names: list[str], now: float) -> None:
        # Replicas come and go: series that have been silent for a window make room for new ones. It is known when the
        # first of the others can be, and not looked at before: labels that explode must not cost a walk each.
        if now - self._window > self._full_until.get(place, -math.inf):
            self._full_until[place] = min((self._forget_silent(name, now) for name in names), default=math.inf)

    def _forget_silent(self, name: str, now: float) -> float:
        """Forget the silent series of a metric; since when the first of the others may be silent."""
        family = self._metrics.get(name, _NONE)
        for series in [series for series in family.all() if series.last_time < now - self._window]:
            of_subject = family.subjects[series.subject]
            del of_subject[series.labels]
            if not of_subject:
                del family.subjects[series.subject]
            family.size -= 1
            self._total -= 1
        first = min((series.last_time for series in family.all()), default=math.inf)
        if not family.size:
            self._metrics.pop(name, None)
        return first

    def _drop(self, reason: str) -> str:
        self.dropped[reason] += 1
        return reason


LONGEST_NAME = 200
"""Characters of a metric's name."""
LONGEST_SUBJECT = 500
"""Characters of a subject, as of an event's."""


def _unfit(sample: Sample) -> str | None:
    """Why a series cannot be one: written with all others, one that no database takes would keep them from the disk."""
    texts = (sample.name, sample.subject, *sample.labels, *sample.labels.values())
    if not sample.name or not all(isinstance(text, str) for text in texts):
        return "not_text"
    if len(sample.name) > LONGEST_NAME or len(sample.subject) > LONGEST_SUBJECT:
        return "too_long"
    whole = "".join(texts)
    if "\0" in whole:
        return "not_text"
    try:
        whole.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        return "not_text"
    return None


_NOTHING: dict[Labels, Series] = {}
