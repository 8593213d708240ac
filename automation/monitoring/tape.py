"""The past of metrics, played moment by moment: what a rule would have seen at each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from automation.conditions import Gap, View, Window
from automation.model.metric import Bucket, Sample
from automation.monitoring.history import Line
from automation.monitoring.past import ANSWERED, Past

Figure = Literal["last", "avg", "min", "max"]
FIGURES: tuple[Figure, ...] = get_args(Figure)

_Key = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Track:
    name: str
    subject: str
    labels: dict[str, str]
    buckets: Sequence[Bucket]
    past: Past
    at: int = 0
    newest: float | None = None


class Tape:
    """Buckets of one length of some metrics. Each is seen at its end, as one value and in windows."""

    def __init__(
        self, lines: Mapping[str, Sequence[Line]], step: int, figure: Figure, lead: float, span: tuple[float, float]
    ) -> None:
        """`lead` is how far windows reach back, in seconds; `span` from when to when all is known that was."""
        self._step = step
        self._figure = figure
        self._since, self._until = span
        self._tracks: dict[_Key, _Track] = {}
        self._of_subject: dict[tuple[str, str], list[_Track]] = {}
        self._at: dict[float, list[_Track]] = {}
        for name, known in lines.items():
            for line in known:
                track = _Track(
                    name, line.subject, dict(line.labels), line.buckets, Past([], step, max(lead, step), 0.0)
                )
                self._tracks[name, line.subject, tuple(sorted(line.labels.items()))] = track
                self._of_subject.setdefault((name, line.subject), []).append(track)
                for bucket in line.buckets:
                    self._at.setdefault(self._seen_at(bucket), []).append(track)
        self.moments = sorted(self._at)

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self._tracks)

    def go_to(self, moment: float) -> list[Sample]:
        """The samples of the next moment, those of one metric together."""
        tracks = self._at.get(moment, [])
        for track in tracks:
            bucket = track.buckets[track.at]
            track.at += 1
            track.newest = self._value(bucket)
            track.past.add(bucket)
        return [
            Sample(name=track.name, value=track.newest, subject=track.subject, labels=track.labels, time=moment)
            for track in tracks
            if track.newest is not None
        ]

    def latest(self, name: str, subject: str) -> float | None:
        """The value of a metric of a subject as it was last seen."""
        track = self._newest(name, subject)
        return track.newest if track is not None else None

    def look(self, window: Window, sample: Sample, now: float) -> View:
        """What a window showed at a moment; of buckets that it begins in, all counts."""
        own = self._tracks.get((window.metric, sample.subject, tuple(sorted(sample.labels.items()))))
        if own is None and window.metric != sample.name:
            own = self._newest(window.metric, sample.subject)
        since = now - window.seconds
        if window.seconds < self._step:
            return View(Gap(f"it is shorter than a step of {self._step} seconds"))
        if window.function == "absent":
            last = self._seen_at(own.buckets[own.at - 1]) if own is not None and own.at else None
            if last is not None and last >= since:
                return View(False, math.nextafter(last + window.seconds, math.inf))
            return View(True) if self._since <= since else View(Gap("the past does not reach so far"))
        if own is None or not own.at:
            return View(Gap(f"no sample of {window.metric} in the window"))
        if window.function == "last":
            within = self._seen_at(own.buckets[own.at - 1]) >= since
            last_value = own.newest if within else None
            return View(Gap(f"no sample of {window.metric} in the window") if last_value is None else last_value)
        if window.function not in ANSWERED:
            return View(Gap(f"{window.function} needs single samples"))
        if self._since > since:
            return View(Gap("the past does not reach so far"))
        value = own.past.value(window, now, ())
        # What leaves the window changes a count although no sample comes.
        return View(value, now + self._step if window.function == "count" and value else None)

    def _newest(self, name: str, subject: str) -> _Track | None:
        known = [track for track in self._of_subject.get((name, subject), ()) if track.at]
        return max(known, key=lambda track: track.buckets[track.at - 1].start, default=None)

    def _seen_at(self, bucket: Bucket) -> float:
        return min(bucket.start + self._step, self._until)

    def _value(self, bucket: Bucket) -> float:
        match self._figure:
            case "last":
                return bucket.last
            case "avg":
                return bucket.total / bucket.count
            case "min":
                return bucket.least
            case "max":
                return bucket.most
