"""One open database: durable writes through the writer, reads beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import msgspec
from sqlalchemy import Executable
from sqlalchemy.engine import Connection, Row

from automation.config import AUDITABLE, Audit, AutomationConfig
from automation.config import Store as Settings
from automation.errors import ConfigurationError, EngineStopped, MissingExtra
from automation.store import schema
from automation.store.audit import Fact
from automation.store.large import Limits
from automation.store.sqlite import Sqlite
from automation.store.statement import Op
from automation.store.writer import Backend, Writer

T = TypeVar("T")

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def to_json(value: Any) -> str:
    """JSON text of a value; raises TypeError for what JSON cannot hold."""
    return encode(value).decode()


EXAMPLES = "sqlite:///path/to/file.db or postgresql://user:password@host:5432/database"


def backend_of(url: str, settings: Settings, connections: int = 20) -> Backend:
    """The backend for a database URL, with at most so many connections to a server.

    Raises ConfigurationError for a URL that is not understood, MissingExtra.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigurationError(f"database_url: {_without_password(url)!r} is not a URL; write {EXAMPLES}")
    if scheme == "sqlite":
        if rest and not rest.startswith("/"):
            raise ConfigurationError(f"database_url: {url!r} needs three slashes: sqlite:///{rest}")
        return Sqlite(rest.removeprefix("/"), settings.busy_timeout_seconds)
    if scheme in ("postgresql", "postgres"):
        try:
            from automation.store.postgres import Postgres
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in ("asyncpg", "greenlet"):
                raise
            raise MissingExtra(feature="PostgreSQL", extra="postgres") from None
        return Postgres(url, settings, connections)
    raise ConfigurationError(f"database_url: {scheme} is not supported; write {EXAMPLES}")


def _without_password(url: str) -> str:
    return re.sub(r":[^/].*@", ":***@", url)


class Store:
    """Opens the database and migrates it, commits units of writes, answers queries."""

    def __init__(
        self,
        url: str,
        settings: Settings | None = None,
        audit: Audit | None = None,
        *,
        batch: int = 2000,
        connections: int = 20,
    ) -> None:
        settings = settings or Settings()
        audit = audit or Audit()
        self.url = url
        self.backend: Backend = backend_of(url, settings, connections)
        self.limits = Limits(settings.inline_bytes, settings.max_execution_bytes)
        self._settings = settings
        self._batch = batch
        self._audited = frozenset(audit.events_to_audit) if audit.enabled else frozenset()
        self._audits_all = self._audited >= frozenset(AUDITABLE)
        self._writer: Writer | None = None
        self._reading = 0

    @classmethod
    def of(cls, config: AutomationConfig) -> Self:
        """The store that a configuration names."""
        performance = config.performance
        return cls(
            config.database,
            config.store,
            config.audit,
            batch=performance.batch_processing.most,
            connections=performance.database_connection_pool,
        )

    async def open(self) -> None:
        """Connect, bring the schema up to date and begin to write; raises StoreError."""
        await self.backend.open()
        try:
            if await self.backend.read(schema.version) != schema.HEAD:
                await self.backend.change(schema.upgrade)
        except BaseException:
            await self.backend.close()
            raise
        self._writer = Writer(self.backend, self._settings.max_pending, self._batch)
        self._writer.start()

    async def close(self) -> None:
        """Commit what is pending and disconnect."""
        if self._writer is not None:
            await self._writer.stop()
            self._writer = None
            await self.backend.close()

    @property
    def writer(self) -> Writer:
        """The writer; raises EngineStopped when the store is not open."""
        if self._writer is None:
            raise EngineStopped()
        return self._writer

    @property
    def commits(self) -> int:
        """How many transactions were committed since it was opened."""
        return self._writer.batches if self._writer is not None else 0

    @property
    def pending(self) -> int:
        """How many writes wait for the writer."""
        return self._writer.pending if self._writer is not None else 0

    @property
    def under_way(self) -> str:
        """What is being written or read now, in a few words; empty when nothing is."""
        writing = self._writer is not None and self._writer.busy
        return " and ".join(name for name, now in (("a write", writing), ("a read", self._reading)) if now)

    @property
    def writable(self) -> str | None:
        """None when the last write went well, else why not."""
        return self._writer.failure if self._writer is not None else "the store is not open"

    def facts(self, *facts: Fact) -> list[Fact]:
        """Those of the facts that the configuration wants audited."""
        if self._audits_all:
            return list(facts)
        return [fact for fact in facts if fact.kind in self._audited]

    def audits(self, kind: str) -> bool:
        """Whether this kind of fact is audited."""
        return kind in self._audited

    async def commit(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> None:
        """Return when all writes, and those of the facts that are audited, are on disk together: `Writer.commit`."""
        await self.writer.commit(ops, self.facts(*facts) if facts else ())

    def post(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> asyncio.Future[None]:
        """As `commit`, without waiting for room, for those that have only one such write under way: `Writer.post`."""
        if self._writer is None:
            raise EngineStopped()
        return self._writer.post(ops, facts if self._audits_all or not facts else self.facts(*facts))

    async def commit_patiently(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> None:
        """The same, waiting out a database that cannot be written now."""
        await self.writer.commit_patiently(ops, self.facts(*facts) if facts else ())

    async def fetch(self, query: Executable) -> list[Row[Any]]:
        """The rows of a query."""
        self._reading += 1
        try:
            return await self.backend.fetch(query)
        finally:
            self._reading -= 1

    async def first(self, query: Executable) -> Row[Any] | None:
        """The first row of a query, or None."""
        rows = await self.fetch(query)
        return rows[0] if rows else None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called beside the writer with a read-only connection."""
        self._reading += 1
        try:
            return await self.backend.read(work)
        finally:
            self._reading -= 1
