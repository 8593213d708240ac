"""The durable history of metrics: what memory gathers in buckets is written once in the time of the shortest.

Nothing on the way of a sample waits for it. A process that is killed loses what was not written yet, at most the
shortest bucket; one that is stopped writes it before it ends, and what follows is added to the same bucket.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from automation.clock import Clock, rest
from automation.conditions import Gap, View, Window
from automation.errors import EngineStopped, InputError, StoreError
from automation.model.history import History as Settings
from automation.model.history import Resolution
from automation.model.metric import KEPT_SECONDS, Bucket
from automation.monitoring.buckets import coarser
from automation.monitoring.metrics import MetricStore, Series
from automation.monitoring.past import ANSWERED, Past
from automation.monitoring.places import Places
from automation.store import metric_history, records
from automation.store.metric_history import StoredSeries, series_id
from automation.store.statement import Op
from automation.store.store import Store
from automation.telemetry.metrics import Metrics

log = logging.getLogger("automation.monitoring")

POSITION = "metric_history"
DAY = 86_400.0
LEAST_GAP = 1.0
"""Seconds; a restart that is quicker than that is not noted."""
MOST_GAPS = 500
TOGETHER = 200
"""How many series are written in one unit, so that others get their turn."""
FINE = 100
"""A window is answered with buckets of at most this part of it, if there are any; of at most a tenth in any case."""
UNUSED_SECONDS = 7200.0
"""After how long the past of a series leaves memory that no window has asked for."""


@dataclass(frozen=True, slots=True)
class Line:
    """The history of one series."""

    subject: str
    labels: Mapping[str, str]
    buckets: tuple[Bucket, ...]


class History:
    """Writes what memory has gathered, and answers from what is written."""

    def __init__(self, store: Store, recent: MetricStore, clock: Clock, metrics: Metrics, settings: Settings) -> None:
        self._store = store
        self._recent = recent
        self._clock = clock
        self._metrics = metrics
        self.resolutions = settings.resolutions
        """The shortest first."""
        self._enabled = settings.enabled
        if settings.enabled:
            recent.resolution = float(settings.resolutions[0].seconds)
        self._places = Places(settings.max_series)
        self._without: Counter[str] = Counter()
        self.began = clock.now()
        """Since when there is one."""
        self._gaps: list[tuple[float, float]] = []
        self._pasts: dict[tuple[int, int], Past] = {}
        self._wanted: dict[tuple[int, int], float] = {}
        # What is being written is neither written twice nor read twice.
        self._turn = asyncio.Lock()
        self._sooner = asyncio.Event()
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find out since when there is a history and of what; then write what comes."""
        if not self._enabled:
            return
        self._ending.clear()
        found, now = await records.all_positions(self._store, POSITION), self._clock.now()
        self.began, self._gaps = now, []
        if "" in found:
            self.began = float(found[""]["since"])
            self._gaps = [(begin, end) for begin, end in found[""]["gaps"]]
            if now - found[""]["until"] >= LEAST_GAP:
                self._gaps.append((found[""]["until"], now))
        await self._note_time()
        self._places.load(await metric_history.known(self._store))
        self._task = asyncio.get_running_loop().create_task(self._loop(), name="automation-metric-history")

    async def stop(self) -> None:
        """Write what there is, and end."""
        if self._task is not None:
            # Not cancelled: of a write that was broken off, nobody would know whether to add it again.
            self._ending.set()
            self._sooner.set()
            await asyncio.wait({self._task})
            self._task = None

    def view(self, window: Window, series: Series, now: float) -> View | None:
        """What a window shows that reaches further back than memory; None if that is not for the history to say."""
        resolution = self.resolution_of(window.seconds) if self._enabled else None
        if window.function not in ANSWERED or resolution is None:
            if window.seconds <= KEPT_SECONDS or window.function in ("absent", "last"):
                return None
            return View(Gap(self._why_not(window)))
        since = now - window.seconds
        if self.began > since:
            known = f"{max(0.0, now - self.began):.0f} of {window.seconds:g}"
            return View(Gap(f"only the last {known} seconds are known"), self.began + window.seconds)
        blind = self.blind(since, now)
        if blind > window.seconds / 10:
            return View(Gap(f"nobody watched for {blind:.0f} of {window.seconds:g} seconds"))
        key = (self._number(series), resolution.seconds)
        past = self._pasts.get(key)
        if past is None or past.seconds < window.seconds:
            self._wanted[key] = max(window.seconds, self._wanted.get(key, 0.0))
            self._sooner.set()
            return View(Gap("its history is being read"), now + 1.0)
        past.used_at = now
        return View(past.value(window, now, series.unsaved()))

    def blind(self, since: float, until: float) -> float:
        """For how many seconds between two times nobody watched."""
        return sum(min(end, until) - max(begin, since) for begin, end in self._gaps if begin < until and end > since)

    def resolution_of(self, seconds: float) -> Resolution | None:
        """The longest buckets that are kept for so long and are fine enough for a window; None if there are none."""
        kept = [each for each in self.resolutions if each.days * DAY >= seconds and each.seconds * 10 <= seconds]
        fine = [each for each in kept if each.seconds * FINE <= seconds]
        return fine[-1] if fine else kept[0] if kept else None

    def step_for(self, since: float, until: float, points: int) -> int:
        """The shortest buckets that are kept since then and are no more than so many; else the longest."""
        age = self._clock.now() - since
        for each in self.resolutions:
            if each.days * DAY >= age and (until - since) / each.seconds <= points:
                return each.seconds
        return self.resolutions[-1].seconds

    def kept(self, resolution: int) -> float:
        """For how many seconds buckets of a length are kept; raises InputError if there are none of it."""
        for each in self.resolutions:
            if each.seconds == resolution:
                return each.days * DAY
        lengths = ", ".join(f"{each.seconds}" for each in self.resolutions)
        raise InputError(f"step: there are no buckets of {resolution} seconds; there are of {lengths}", path="step")

    async def read(
        self, name: str, resolution: int, since: float, until: float, subject: str | None = None, limit: int = 1000
    ) -> list[Line]:
        """The buckets of a metric's series, oldest first, with what is not written yet.

        Of one of `resolutions`, in seconds; of so many series at most, in the order of their subjects.
        """
        # Each bucket is looked up: what cannot be there must not be asked for.
        since = max(since, self._clock.now() - self.kept(resolution))
        until = min(until, self._clock.now())
        async with self._turn:
            return await self._read(name, resolution, (since, until), subject, limit)

    async def _read(
        self, name: str, resolution: int, span: tuple[float, float], subject: str | None, limit: int
    ) -> list[Line]:
        since, until = span
        lines: dict[int, StoredSeries] = {}
        for each in await metric_history.series(self._store, name, subject, limit):
            lines[each.id] = each
        found = await metric_history.buckets(self._store, lines, resolution, since, until)
        for series in self._recent.series(name, subject):
            number = self._number(series)
            if number in lines or len(lines) < limit:
                lines.setdefault(number, _stored(number, series))
                newest = [each for each in series.unsaved() if since - resolution < each.start <= until]
                both = sorted([*found.get(number, ()), *newest], key=lambda bucket: bucket.start)
                found[number] = coarser(both, resolution)
        return [Line(each.subject, each.labels, tuple(found[each.id])) for each in lines.values() if found[each.id]]

    async def names(self) -> dict[str, int]:
        """The metrics that have samples, in memory or in the history, and how many series each has."""
        found = await metric_history.names(self._store)
        for name in self._recent.names():
            found[name] = max(found.get(name, 0), len(self._recent.series(name)))
        return dict(sorted(found.items()))

    async def flush(self) -> None:
        """Write all that is in memory only; raises StoreError, and what was not written is kept for the next time."""
        async with self._turn:
            batch: list[Series] = []
            for series in self._recent.all():
                if self._has_history(series) and series.hand_over():
                    batch.append(series)
                    if len(batch) == TOGETHER:
                        await self._write(batch)
                        batch = []
            if batch:
                await self._write(batch)
            await self._note_time()

    async def _note_time(self) -> None:
        """Note until when somebody has watched: what was not seen must not be taken for what was not there."""
        now = self._clock.now()
        kept = now - self.resolutions[-1].days * DAY
        self._gaps = [gap for gap in self._gaps if gap[1] > kept][-MOST_GAPS:]
        body = {"since": self.began, "until": now, "gaps": self._gaps}
        await self._store.commit([records.save_position(POSITION, body, now)])

    async def _write(self, batch: list[Series]) -> None:
        ops: list[Op] = []
        for series in batch:
            number, buckets = self._number(series), series.hand_over()
            self._metrics.buckets_lost.inc(series.lost)
            series.lost = 0
            if self._places.noted(number) < buckets[-1].start - DAY:
                ops.append(metric_history.note(_stored(number, series)))
            for resolution in self.resolutions:
                ops += [
                    metric_history.add(number, resolution.seconds, bucket)
                    for bucket in coarser(buckets, resolution.seconds)
                ]
        try:
            await self._store.commit(ops)
        except BaseException:
            for series in batch:
                series.handed_over(False)
            raise
        for series in batch:
            number, buckets = self._number(series), series.hand_over()
            self._metrics.buckets_lost.inc(series.lost)
            series.lost = 0
            if self._places.noted(number) < buckets[-1].start - DAY:
                self._places.note(number, series.last_time)
            for resolution in self.resolutions:
                past = self._pasts.get((number, resolution.seconds))
                for bucket in buckets if past is not None else ():
                    past.add(bucket)  # type: ignore[union-attr]
            series.handed_over(True)

    async def _loop(self) -> None:
        length = float(self.resolutions[0].seconds)
        failed = last = False
        due = self._clock.monotonic() + length - self._clock.now() % length
        while not last:
            self._sooner.clear()
            last = self._ending.is_set()
            if not (last or self._wanted):
                await rest(self._clock, None, max(0.0, due - self._clock.monotonic()), self._sooner)
                last = self._ending.is_set()
            try:
                if self._wanted:
                    await self._load()
                if last or self._clock.monotonic() >= due:
                    due = self._clock.monotonic() + length - self._clock.now() % length
                    await self.flush()
                    self._drop_unused()
                failed = False
            except EngineStopped:
                # Nothing is written any more, and it is not tried again.
                return
            except StoreError as error:
                if not failed:
                    log.error("the history of metrics: %s; it is tried again", error.message)
                failed = True
            except Exception:
                # Whatever goes wrong here, samples come in and rules go on; memory keeps what was not written.
                log.exception("the history of metrics could not be written; it is tried again")
                failed = True
            if failed and not last:
                await rest(self._clock, None, 1.0, self._ending)

    async def _load(self) -> None:
        """Read the pasts that windows have asked for."""
        async with self._turn:
            await self._load_wanted()

    async def _load_wanted(self) -> None:
        wanted, now = dict(self._wanted), self._clock.now()
        by_resolution: dict[int, list[int]] = {}
        for number, resolution in wanted:
            by_resolution.setdefault(resolution, []).append(number)
        for resolution, numbers in by_resolution.items():
            longest = max(wanted[number, resolution] for number in numbers)
            for begin in range(0, len(numbers), TOGETHER):
                part = numbers[begin : begin + TOGETHER]
                found = await metric_history.buckets(self._store, part, resolution, now - longest, now)
                for number in part:
                    self._pasts[number, resolution] = Past(found[number], resolution, longest, now)
                    self._wanted.pop((number, resolution), None)

    def _drop_unused(self) -> None:
        before = self._clock.now() - UNUSED_SECONDS
        for key in [key for key, past in self._pasts.items() if past.used_at < before]:
            del self._pasts[key]
        # Those of which nothing is left on the disk make room for others.
        self._places.free(self._clock.now() - (self.resolutions[-1].days + 2) * DAY)

    def _has_history(self, series: Series) -> bool:
        if self._places.take(self._number(series), series.name):
            return True
        if series.resolution is not None:
            series.without_history()
            self._metrics.series_without_history.inc()
            self._without[series.name] += 1
            if self._without[series.name] == 1:
                log.warning(
                    "%s of %s has no history, nor have more series: metrics.history.max_series is %d",
                    series.name,
                    series.subject or "-",
                    self._places.most,
                )
        return False

    def _why_not(self, window: Window) -> str:
        if not self._enabled:
            return f"there is no history, and samples are kept for {KEPT_SECONDS:.0f} seconds"
        if window.function not in ANSWERED:
            return f"{window.function} needs single samples, which are kept for {KEPT_SECONDS:.0f} seconds"
        return f"the history is kept for {self.resolutions[-1].days:g} days"

    def _number(self, series: Series) -> int:
        if series.number is None:
            series.number = series_id(series.name, series.subject, series.labels)
        return series.number


def _stored(number: int, series: Series) -> StoredSeries:
    return StoredSeries(number, series.name, series.subject, dict(series.labels), series.last_time)
