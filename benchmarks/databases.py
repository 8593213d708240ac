"""Where the measured engines keep their rows: a SQLite file each, or a database each of a PostgreSQL server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from benchmarks import bare
from benchmarks.bare import Shape

_server: str | None = None
_made: dict[Path, str] = {}

OURS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
"""Of a server that is started for the measurement; all else, `fsync` and `synchronous_commit` above all, is default."""


@contextmanager
def on(server: str | None, folder: Path) -> Iterator[None]:
    """Measure on this server: a URL whose user may create databases, or `postgres` for one that is started here."""
    global _server
    if server is None:
        yield
    elif server == "postgres":
        from tests.support import postgres

        with postgres.server(OURS, folder) as started, on(started.url(), folder):
            yield
    else:
        _server = server
        try:
            yield
        finally:
            _server = None


def url_of(place: Path) -> str:
    """The URL of an engine's own database, which is made if it is not a file."""
    if _server is None:
        return f"sqlite:///{place}/automation.db"
    if place not in _made:
        name = f"bench_{len(_made)}"
        # In a thread, because the caller is in an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(_make(name))).result()
        _made[place] = urlunsplit(urlsplit(_server)._replace(path=f"/{name}"))
    return _made[place]


async def _make(name: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(_server)
    await connection.execute(f"DROP DATABASE IF EXISTS {name}")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


async def shape_of(place: Path, commits: int) -> Shape:
    """What an engine has written into its database, per execution."""
    if _server is None:
        return bare.shape_of(place / "automation.db", commits)
    from benchmarks import bare_postgres

    return await bare_postgres.shape_of(url_of(place), commits)


async def alone(place: Path, shape: Shape, executions: int) -> list[float]:
    """The physical limit beside that engine, one execution after the other: the seconds of each."""
    if _server is None:
        return await bare.alone(place.parent / "bare", shape, executions)
    from benchmarks import bare_postgres

    return await bare_postgres.alone(url_of(place), shape, executions)


async def together(place: Path, shape: Shape, executions: int, turns: int) -> float:
    """The physical limit beside that engine, many executions at once: the seconds of all."""
    if _server is None:
        return await bare.together(place.parent / "bare", shape, executions, turns)
    from benchmarks import bare_postgres

    return await bare_postgres.together(url_of(place), shape, executions, turns)
