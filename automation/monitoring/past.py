"""The past of one series at one resolution, in memory: for the windows of conditions, which cannot wait for a disk."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from automation.conditions import Gap, Window
from automation.model.metric import Bucket
from automation.monitoring.buckets import merged
from automation.monitoring.trends import line_at

ANSWERED = frozenset({"avg", "changed", "count", "delta", "forecast", "increase", "max", "min", "rate", "sum"})
"""The functions whose value follows from buckets."""

_COLUMNS = ("start", "count", "total", "least", "most", "first", "last", "rise")


class Past:
    """Buckets in plain arrays, oldest first: 64 bytes each."""

    __slots__ = ("_columns", "resolution", "seconds", "used_at")

    def __init__(self, buckets: Iterable[Bucket], resolution: int, seconds: float, now: float) -> None:
        """Of `seconds` before the newest bucket, those further back are dropped."""
        self.resolution = resolution
        self.used_at = now
        self.seconds = seconds
        self._columns = {name: array("d") for name in _COLUMNS}
        for bucket in buckets:
            self._append(bucket)

    def add(self, bucket: Bucket) -> None:
        """Add what the history was given: a part of a bucket, or a new one."""
        starts = self._columns["start"]
        start = bucket.start // self.resolution * self.resolution
        at = bisect_right(starts, start) - 1
        if at >= 0 and starts[at] == start:
            known = merged(self._at(at), bucket)
            for name, column in self._columns.items():
                column[at] = getattr(known, name)
        elif at == len(starts) - 1:
            self._append(bucket, start)
            first = bisect_right(starts, start - self.seconds - self.resolution)
            if first > len(starts) // 4:
                for column in self._columns.values():
                    del column[:first]
        # One that is older than what is kept and was never there says nothing any more.

    def value(self, window: Window, now: float, rest: Sequence[Bucket]) -> float | bool | Gap:
        """What a window shows that ends now, with the buckets of `rest` behind these.

        Of the bucket in which it began, all counts.
        """
        function, since = window.function, now - window.seconds
        first = bisect_right(self._columns["start"], since - self.resolution)
        part = {name: column[first:] for name, column in self._columns.items()}
        for bucket in rest:
            if bucket.start > since - self.resolution:
                for name, column in part.items():
                    column.append(getattr(bucket, name))
        if not part["start"]:
            return 0 if function == "count" else Gap("no sample in the window")
        if function == "forecast":
            return self._forecast(part, now, now + window.ahead)
        return _value(function, part, min(now, part["start"][-1] + self.resolution))

    def _forecast(self, part: dict[str, array[float]], now: float, at: float) -> float | Gap:
        # Where in a bucket its samples were is not known: in the middle, all together.
        times = [(start + min(now, start + self.resolution)) / 2 for start in part["start"]]
        means = [total / count for total, count in zip(part["total"], part["count"], strict=True)]
        expected = line_at(times, means, at, part["count"])
        return Gap("forecast needs samples of two moments") if expected is None else expected

    def _at(self, at: int) -> Bucket:
        start, count, total, least, most, first, last, rise = (self._columns[name][at] for name in _COLUMNS)
        return Bucket(start, int(count), total, least, most, first, last, rise)

    def _append(self, bucket: Bucket, start: float | None = None) -> None:
        for name, column in self._columns.items():
            column.append(getattr(bucket, name))
        if start is not None:
            self._columns["start"][-1] = start


def _value(function: str, part: dict[str, array[float]], end: float) -> float | bool | Gap:
    count = math.fsum(part["count"])
    match function:
        case "count":
            return int(count)
        case "avg":
            return math.fsum(part["total"]) / count
        case "sum":
            return math.fsum(part["total"])
        case "min":
            return min(part["least"])
        case "max":
            return max(part["most"])
        case "changed":
            return min(part["least"]) != max(part["most"])
    if count < 2:
        return Gap(f"{function} needs two samples in the window")
    match function:
        case "delta":
            return part["last"][-1] - part["first"][0]
        case "increase":
            return math.fsum(part["rise"])
        case _:
            return math.fsum(part["rise"]) / max(1.0, end - part["start"][0])
