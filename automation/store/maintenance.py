"""Where databases differ for whoever looks after them: SQLite's are files, PostgreSQL's have tools of their own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from automation.errors import ConfigurationError, NotFound
from automation.store.sqlite import Sqlite
from automation.store.store import backend_of

_TOOLS = {
    "backup": ("pg_dump --format=custom --file={file} --dbname={url}", "pg_dump makes backups of PostgreSQL"),
    "restore": (
        "pg_restore --clean --if-exists --single-transaction --dbname={url} {file}",
        "pg_restore brings back what pg_dump has written, while no engine runs",
    ),
}


def is_file(url: str) -> bool:
    """Whether a database is a file that is looked after as one."""
    return urlsplit(url).scheme == "sqlite"


async def file_of(url: str, what: Literal["backup", "restore"], file: Path) -> Path:
    """The file of a database that is one; raises ConfigurationError with the command to use for one that is not."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    if scheme in ("postgres", "postgresql"):
        command, why = _TOOLS[what]
        shown = command.format(file=shlex.quote(str(file)), url=shlex.quote(_without_password(url)))
        raise ConfigurationError(f"{why}: {shown}", hint="the password is read from PGPASSWORD or ~/.pgpass")
    from automation.config import Store

    backend = backend_of(url, Store())
    await backend.close()
    assert isinstance(backend, Sqlite)
    if backend.private:
        raise NotFound("a database in memory is gone with its process", kind="database", name=url)
    return backend.path


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")
    user = place[0].partition(":")[0]
    return urlunsplit(("postgresql", f"{user}@{place[2]}" if user else place[2], parts.path, parts.query, ""))
