"""PostgreSQL: one connection that writes, with asyncpg and nothing between; a pool of SQLAlchemy's reads beside it.

Imported only where a database URL asks for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from sqlalchemy import Executable, text
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from automation.config import Store as Settings
from automation.errors import ConfigurationError, StoreError, StoreUnavailable
from automation.model.ids import new_id
from automation.store.postgres_reasons import FAILURES, Kind, kind, reason
from automation.store.postgres_session import Session
from automation.store.writer import InDoubt, Unit

T = TypeVar("T")

log = logging.getLogger("automation.store")

CONNECT_SECONDS = 10.0
"""How long a server may take to accept a connection."""
SILENT_SECONDS = 60.0
"""How long it may take to answer before the connection counts as broken."""
PAUSES = (0.1, 5.0)
"""The shortest and the longest pause between two attempts to connect, in seconds."""
OLDEST = 130000
"""The oldest server that is taken: PostgreSQL 13."""
MIGRATING = 0x6D696772
"""The advisory lock under which the schema is changed: "migr"."""

_ABOUT = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,
       current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only
"""


class Postgres:
    """A database on a server. Opening it refuses, in one line, what would fail later."""

    told_at_once = 32
    """What hundreds do when they are told takes the event loop milliseconds, in which it would not see that the server
    has ended the next transaction, and the server would stand still."""

    def __init__(self, url: str, settings: Settings, connections: int) -> None:
        self.place = _place(url)
        self._url = url
        self._settings = settings
        self._readers = max(1, connections - 1)
        self._writer = new_id()
        self._session: Session | None = None
        self._former: Session | None = None
        """The session that a broken connection has ended; the server may not know yet."""
        self._pause = PAUSES[0]
        self._not_before = 0.0
        self._last: StoreUnavailable | None = None
        self._engine: AsyncEngine | None = None

    def absent(self) -> str | None:
        """A server is not looked for before it is asked."""
        return None

    async def open(self) -> None:
        """Connect; raises StoreUnavailable with what to do about it."""
        with self._failures("open"):
            connection = await self._connect("automation")
            try:
                self._accept(await connection.fetchrow(_ABOUT))
            finally:
                await connection.close(timeout=CONNECT_SECONDS)
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: self._connect("automation-reader", default_transaction_read_only="on"),
            pool_size=self._readers,
            max_overflow=0,
            pool_use_lifo=True,
            isolation_level="AUTOCOMMIT",
        )

    async def close(self) -> None:
        """Disconnect."""
        session, self._session = self._session, None
        if session is not None:
            try:
                await session.end()
            except FAILURES as error:
                log.warning("the database %s was not left as it should be: %s", self.place, reason(error))
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()

    async def fetch(self, query: Executable) -> list[Row[Any]]:
        """The rows of a query, read beside the writer."""
        left = self._readers
        while True:
            try:
                async with self._reading() as connection:
                    return list(await connection.execute(query))
            except StoreUnavailable as error:
                # After a restart of the server, the pool is full of connections that are none.
                if left == 0 or not error.details.get("broken"):
                    raise
                left -= 1

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called with a read-only connection that sees the database as it is now, to the end."""
        async with self._reading() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await connection.run_sync(work)

    async def change(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called within a transaction while no other process changes the schema."""
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: self._connect("automation-migration"),
            poolclass=NullPool,
        )
        try:
            with self._failures("write"):
                async with engine.begin() as connection:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATING})"))
                    return await connection.run_sync(work)
        finally:
            await engine.dispose()

    async def write(self, units: list[Unit]) -> None:
        """Commit all units in one transaction; see `writer.Backend`."""
        for last in (False, True):
            if self._session is not None and self._session.connection.is_closed():
                self._drop()
            session = self._session or await self._begin()
            try:
                await session.write(units)
            except InDoubt as doubt:
                self._drop()
                log.warning("%s; finding out whether the last batch was written", self._said("write", doubt.cause))
                raise
            except FAILURES as error:
                if kind(error) is not Kind.UNAVAILABLE or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    self._drop()
                # A connection that broke while nothing went over it is no reason to refuse anything.
                if kind(error) is not Kind.LOST or last:
                    raise StoreUnavailable(self._said("write", error)) from None
            except BaseException:
                self._drop()
                raise
            else:
                return

    async def settle(self) -> bool:
        """Whether the batch that was in doubt is committed; raises StoreUnavailable while that cannot be known."""
        assert self._former is not None
        before = self._former.batch
        found = (await self._begin()).batch
        if found not in (before, before + 1):
            log.warning("the database %s is not the one it was: what was under way is written again", self.place)
        return found == before + 1

    async def _begin(self) -> Session:
        """A new session; raises StoreUnavailable, without a new attempt if the last one was a moment ago."""
        loop = asyncio.get_running_loop()
        if self._last is not None and loop.time() < self._not_before:
            raise self._last
        try:
            with self._failures("write"):
                connection = await self._connect("automation")
                try:
                    session = Session(connection, self._writer)
                    await session.begin(self._former, self._settings.busy_timeout_seconds)
                except BaseException:
                    connection.terminate()
                    raise
        except StoreError as error:
            self._last = StoreUnavailable(error.message)
            self._not_before = loop.time() + self._pause
            self._pause = min(self._pause * 2, PAUSES[1])
            raise self._last from None
        self._last, self._pause = None, PAUSES[0]
        self._session, self._former = session, None
        return session

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._former = session
            session.connection.terminate()

    async def _connect(self, name: str, **settings: str) -> Any:
        # `Any`: the driver's connection, which SQLAlchemy takes as well.
        return await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            command_timeout=SILENT_SECONDS,
            max_cacheable_statement_size=0,
            server_settings={"application_name": name, **settings},
        )

    def _accept(self, about: Any) -> None:
        if about["version"] < OLDEST:
            raise StoreError(f"the database {self.place} is PostgreSQL {about['version_text']}; 13 is the oldest taken")
        if about["encoding"] != "UTF8":
            raise StoreError(
                f"the database {self.place} is encoded in {about['encoding']}; make one with: createdb --encoding=UTF8"
            )
        if about["read_only"]:
            raise asyncpg.ReadOnlySQLTransactionError("read-only")
        if about["fsync"] == "off":
            log.warning("the server of %s has fsync off: what is committed is lost if its machine fails", self.place)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        assert self._engine is not None
        with self._failures("read"):
            async with self._engine.connect() as connection:
                try:
                    yield connection
                except DBAPIError as error:
                    if kind(_cause(error)) is Kind.LOST:
                        await connection.invalidate()
                    raise

    @contextmanager
    def _failures(self, verb: str) -> Iterator[None]:
        """Turns what the driver and SQLAlchemy raise into errors of ours."""
        try:
            yield
        except DBAPIError as error:
            cause = _cause(error)
            if kind(cause) is Kind.REFUSED:
                raise StoreError(f"the database {self.place} refused: {cause}") from None
            raise StoreUnavailable(self._said(verb, cause), broken=kind(cause) is Kind.LOST) from None
        except PoolTimeout:
            raise StoreUnavailable(
                f"cannot {verb} the database {self.place}: all {self._readers} connections that read are in use; "
                "raise performance.database_connection_pool"
            ) from None
        except FAILURES as error:
            raise StoreUnavailable(self._said(verb, error)) from None

    def _said(self, verb: str, error: BaseException) -> str:
        return f"cannot {verb} the database {self.place}: {reason(error)}"


def _cause(error: DBAPIError) -> BaseException:
    """What the driver raised."""
    return (error.orig.__cause__ if error.orig is not None else None) or error


def _place(url: str) -> str:
    """The URL without what nobody should read; raises ConfigurationError for one that says too little."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    database = unquote(parts.path.removeprefix("/")) or query.get("dbname", query.get("database", [""]))[-1]
    if not database:
        raise ConfigurationError("database_url: name the database: postgresql://user:password@host:5432/automation")
    host = parts.netloc.rpartition("@")[2] or query.get("host", [""])[-1]
    port = "" if ":" in host or "/" in host or not host else ":" + query.get("port", ["5432"])[-1]
    return f"postgresql://{host}{port}/{database}"
