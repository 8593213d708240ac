"""The history of metrics, as stored: which series there are, and their buckets at each resolution.

A bucket that is written again is added to what is there. So a flush may hold a part of a bucket only, several nodes may
measure one series, and the longer buckets need nobody who makes them of the shorter ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import bindparam, case, delete, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from automation.model.metric import Bucket
from automation.store.metric_tables import metric_buckets, metric_series
from automation.store.retention import Found, Page
from automation.store.statement import Op, Statement, upsert
from automation.store.store import Store, decode, encode, to_json

_PORTION = 400
"""How many buckets of each series one query asks for."""


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """One series that has a history."""

    id: int
    name: str
    subject: str
    labels: Mapping[str, str]
    last_at: float


def series_id(name: str, subject: str, labels: Sequence[tuple[str, str]]) -> int:
    """The id of a series; `labels` are sorted. 63 bits: of a hundred thousand series, two share one once in 10⁹ times.

    The same on every node, and not secret.
    """
    return int.from_bytes(sha256(encode([name, subject, labels])).digest()[:8]) >> 1


_BUCKET = (metric_buckets.c.series, metric_buckets.c.start, *list(metric_buckets.columns)[3:])
SERIES = upsert("metric_series", metric_series, 30, "id", only=("last_at",))
_KEYS = tuple(column.name for column in metric_buckets.columns)
_new = sqlite.insert(metric_buckets).values({name: bindparam(name) for name in _KEYS})
_old, _more = metric_buckets.c, _new.excluded
BUCKET = Statement(
    "metric_bucket",
    _new.on_conflict_do_update(
        index_elements=["resolution", "start", "series"],
        set_={
            "count": _old["count"] + _more["count"],
            "total": _old.total + _more.total,
            "least": case((_more.least < _old.least, _more.least), else_=_old.least),
            "most": case((_more.most > _old.most, _more.most), else_=_old.most),
            "last": _more.last,
            "rise": _old.rise + _more.rise,
        },
    ),
    _KEYS,
    31,
)
BUCKETS_DELETE = Statement(
    "metric_buckets_delete",
    delete(metric_buckets)
    .where(metric_buckets.c.resolution == bindparam("where_resolution"))
    .where(metric_buckets.c.start == bindparam("where_start")),
    ("where_resolution", "where_start"),
    32,
)


def add(series: int, resolution: int, bucket: Bucket) -> Op:
    """The write that adds to a bucket, or makes it."""
    return BUCKET, (
        resolution,
        int(bucket.start),
        series,
        bucket.count,
        bucket.total,
        bucket.least,
        bucket.most,
        bucket.first,
        bucket.last,
        bucket.rise,
    )


def note(series: StoredSeries) -> Op:
    """The write that notes that a series exists, and when it last had a sample."""
    return SERIES(
        id=series.id,
        name=series.name,
        subject=series.subject,
        labels=to_json(dict(series.labels)),
        last_at=series.last_at,
    )


async def known(store: Store) -> dict[int, tuple[str, float]]:
    """The ids of all series, with the metric of each and when it last had a sample, to about a day."""
    query = select(metric_series.c.id, metric_series.c.name, metric_series.c.last_at)
    return {row.id: (sys.intern(row.name), row.last_at) for row in await store.fetch(query)}


async def names(store: Store) -> dict[str, int]:
    """The metrics that have a history, and how many series each has."""
    query = select(metric_series.c.name, func.count().label("series")).group_by(metric_series.c.name)
    return {row.name: row.series for row in await store.fetch(query)}


async def series(store: Store, name: str, subject: str | None, limit: int) -> list[StoredSeries]:
    """The series of a metric, of all subjects or of this one, in the order of subjects."""
    query = select(metric_series).where(metric_series.c.name == name)
    if subject is not None:
        query = query.where(metric_series.c.subject == subject)
    query = query.order_by(metric_series.c.subject, metric_series.c.id).limit(limit)
    return [
        StoredSeries(row.id, row.name, row.subject, decode(row.labels), row.last_at) for row in await store.fetch(query)
    ]


async def buckets(
    store: Store, ids: Iterable[int], resolution: int, since: float, until: float
) -> dict[int, list[Bucket]]:
    """The buckets of series that lie at least in part between two times, oldest first."""
    wanted = list(ids)
    found: dict[int, list[Bucket]] = {each: [] for each in wanted}
    columns = metric_buckets.c
    first = int(since // resolution * resolution)
    span = _PORTION * resolution
    for begin in range(first, int(until) + 1, span):
        # Named one by one, they are looked up; as a range, all series of that time would be read.
        starts = range(begin, min(begin + span, int(until) + 1), resolution)
        for at in range(0, len(wanted), _PORTION):
            query = select(*_BUCKET).where(columns.resolution == resolution, columns.start.in_(list(starts)))
            query = query.where(columns.series.in_(wanted[at : at + _PORTION])).order_by(columns.start)
            for row in await store.fetch(query):
                number, start, *figures = tuple(row)
                found[number].append(Bucket(float(start), *figures))
    return found


# ------------------------------------------------------------------------------------------------------- retention


def resolutions(connection: Connection) -> list[int]:
    """The resolutions of which there are buckets."""
    found: list[int] = []
    least = select(func.min(metric_buckets.c.resolution))
    after: Any = connection.execute(least).scalar()
    while after is not None:
        found.append(int(after))
        after = connection.execute(least.where(metric_buckets.c.resolution > after)).scalar()
    return found


def oldest(connection: Connection, resolution: int, before: float) -> tuple[int, int] | None:
    """The start of the oldest buckets of a resolution and how many there are, if they ended before that time."""
    columns = metric_buckets.c
    start = connection.execute(select(func.min(columns.start)).where(columns.resolution == resolution)).scalar()
    if start is None or start + resolution > before:
        return None
    same = select(func.count()).where(columns.resolution == resolution, columns.start == start)
    return int(start), int(connection.execute(same).scalar_one())


def old_series(connection: Connection, page: Page) -> Found:
    """Series of which no bucket can be left."""
    query = select(metric_series.c.id).where(metric_series.c.last_at < page.before).limit(page.limit)
    keys = tuple(connection.execute(query).scalars())
    return Found(keys, keys[-1] if len(keys) == page.limit else None)
