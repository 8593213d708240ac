"""The tables of the history of metrics."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, String, Table, Text

from automation.store.metadata import metadata

# Which series there are. The id is made of what names it, so that all nodes give the same series the same one.
metric_series = Table(
    "metric_series",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("last_at", Double, nullable=False),
    Index(None, "name", "subject"),
)

# The samples of a series within a stretch of time. Keyed by time before series: what is written at one time lies
# together, and so does what goes together; a series is read by one look-up a bucket.
metric_buckets = Table(
    "metric_buckets",
    metadata,
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("total", Double, nullable=False),
    Column("least", Double, nullable=False),
    Column("most", Double, nullable=False),
    Column("first", Double, nullable=False),
    Column("last", Double, nullable=False),
    Column("rise", Double, nullable=False),
    sqlite_with_rowid=False,
)
