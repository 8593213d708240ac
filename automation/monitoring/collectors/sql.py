"""The `sql` collector: what a query gives on a database, SQLite or PostgreSQL, as samples."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from automation.clock import Clock
from automation.errors import InputError, MissingExtra, TryLater
from automation.infrastructure.outgoing import innermost
from automation.model.metric import Sample
from automation.monitoring.collector import Observations, Probe
from automation.plugins import SECRET, collector

_STEPS = 1000
"""After how many steps of its machine SQLite looks whether the time is up."""
_MOST_TOLD = 5
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})

Row = Mapping[str, Any]


class SqlCollector(BaseModel):
    """Which database, and what it is asked."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: SecretStr
    """`postgresql://user:password@host:port/database`, or `sqlite:///path` (from the root: `sqlite:////path`)."""
    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    """One statement that reads. Its answer is one number, or rows with a column for the value."""
    metric: Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=200)]
    """The name that the samples get."""
    value_column: str = "value"
    """Where the answer has several columns: the one with the number. Each other column is a label."""
    subject: str = ""
    """The subject of the samples."""
    subject_column: str | None = None
    """The column whose text is the subject, where it is not empty."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """The limit for connecting, and for the statement, which the database ends then."""
    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """With more rows than that the round fails."""

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if SECRET.match(text):
            return url
        # The text itself may hold a password, also where it is not right.
        if not text.startswith(("postgresql://", "postgres://", "sqlite:///")) or text == "sqlite:///":
            raise ValueError("must begin with postgresql:// or sqlite:///, and name a database")
        return url

    @property
    def place(self) -> str:
        """The URL without what may be secret in it: for messages."""
        try:
            parts = urlsplit(self.url.get_secret_value())
        except ValueError:
            return "the database"
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@collector("sql")
async def sql(settings: SqlCollector, probe: Probe) -> Observations:
    """Run a query on a database that is opened to be read only, and make samples of its answer.

    Raises TryLater when the database cannot be asked, refuses the query, or takes too long; InputError for an answer
    that does not fit; MissingExtra without the library for PostgreSQL.
    """
    if settings.url.get_secret_value().startswith("sqlite:"):
        rows = await asyncio.to_thread(_sqlite, settings, probe.clock)
    else:
        rows = await _postgres(settings)
    if len(rows) > settings.max_rows:
        raise InputError(f"{settings.place}: the query gives more than max_rows ({settings.max_rows}) rows")
    return _observed(settings, rows, probe.clock.now())


def _sqlite(settings: SqlCollector, clock: Clock) -> list[Row]:
    path = settings.url.get_secret_value().removeprefix("sqlite:///")
    limit = settings.timeout_seconds
    end = clock.monotonic() + limit
    try:
        # Not only mode=ro: that would let a query attach, and write to, another file.
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=limit)) as connection:
            connection.set_authorizer(lambda act, *_: sqlite3.SQLITE_OK if act in _READING else sqlite3.SQLITE_DENY)
            connection.set_progress_handler(lambda: clock.monotonic() > end, _STEPS)
            cursor = connection.execute(settings.query)
            names = [column[0] for column in cursor.description or ()]
            _distinct(settings, names)
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchmany(settings.max_rows + 1)]
    except (sqlite3.Error, sqlite3.Warning) as error:
        said = str(error)
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            said = f"the query took longer than {limit:g} s"
        elif getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH:
            said = "the query does something else than read"
        raise TryLater(f"{settings.place}: {said}") from None


async def _postgres(settings: SqlCollector) -> list[Row]:
    try:
        import asyncpg
    except ImportError:
        raise MissingExtra(feature="the collector sql on PostgreSQL", extra="postgres") from None
    limit = settings.timeout_seconds
    limits = {"statement_timeout": str(max(1, round(limit * 1000))), "application_name": "automation"}
    connection = None
    try:
        # The server ends the statement at its limit; where it does not answer at all, this side gives up.
        async with asyncio.timeout(2 * limit + 1):
            connection = await asyncpg.connect(settings.url.get_secret_value(), timeout=limit, server_settings=limits)
            async with connection.transaction(readonly=True):
                # Prepared: that takes a single statement, so that none can end the transaction before another.
                statement = await connection.prepare(settings.query)
                _distinct(settings, [column.name for column in statement.get_attributes()])
                cursor = await statement.cursor()
                return [dict(row) for row in await cursor.fetch(settings.max_rows + 1)]
    except asyncpg.QueryCanceledError:
        raise TryLater(f"{settings.place}: the query took longer than {limit:g} s") from None
    except TimeoutError:
        raise TryLater(f"{settings.place}: no answer within {limit:g} s") from None
    except asyncpg.ReadOnlySQLTransactionError:
        raise TryLater(f"{settings.place}: the query does something else than read") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise TryLater(f"{settings.place}: {innermost(error)}") from None
    finally:
        if connection is not None:
            connection.terminate()


def _distinct(settings: SqlCollector, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{settings.place}: the answer has two columns {twice[0]!r}; name them apart with AS")
    wanted = [settings.subject_column] if settings.subject_column is not None else []
    if len(names) > 1:
        wanted.insert(0, settings.value_column)
    for name in wanted:
        if name not in names:
            raise InputError(f"{settings.place}: the answer has no column {name!r}, but {', '.join(names) or 'none'}")


def _observed(settings: SqlCollector, rows: Sequence[Row], now: float) -> Observations:
    found: dict[tuple[Any, ...], Sample] = {}
    problems = []
    for number, row in enumerate(rows, 1):
        name = settings.value_column if len(row) > 1 else next(iter(row))
        value = row[name]
        if isinstance(value, bool | int | float | Decimal):
            texts = {key: str(text) for key, text in row.items() if key != name and text is not None}
            subject = texts.pop(settings.subject_column or "", "") or settings.subject
            sample = Sample(name=settings.metric, value=float(value), subject=subject, labels=texts, time=now)
            key = (subject, *sorted(texts.items()))
            if key not in found:
                found[key] = sample
                continue
            problem = "has the labels of a row before it"
        else:
            problem = f"column {name!r} is {'NULL' if value is None else type(value).__name__}, not a number"
        problems.append(f"row {number} is left out: {problem}")
    if len(problems) > _MOST_TOLD:
        problems[_MOST_TOLD:] = [f"and {len(problems) - _MOST_TOLD} further rows"]
    return Observations(samples=list(found.values()), problems=problems)
