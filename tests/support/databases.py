"""Databases of both kinds, as tests see them from the outside: behind the store's back."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from tests.support.postgres import Server

KINDS = ("sqlite", "postgres")
NAMED = "database-url"
"""The file in a folder that names its database, where that is not a file in it."""


class Database(Protocol):
    """A database of a test's own."""

    @property
    def url(self) -> str:
        """What the store opens."""

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query."""

    def run(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""


def database_of(folder: Path) -> Database:
    """The database of a folder."""
    return _known.get(folder) or SqliteDatabase(folder)


_known: dict[Path, PostgresDatabase] = {}


class Copies:
    """Folders below a test's own, each with a copy of the database in that, and of what was done to the world."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: list[PostgresDatabase] = []

    @property
    def step(self) -> int:
        """How many transactions on from one death to the next.

        What is on disk after one is so before the next, too: where each start takes longer, every other one, before
        and after it, is enough.
        """
        return 1 if isinstance(database_of(self.folder), SqliteDatabase) else 2

    def make(self, name: str) -> Path:
        """A new one. Nobody may work on the database that is copied."""
        place = self.folder / name
        place.mkdir()
        known = database_of(self.folder)
        if isinstance(known, PostgresDatabase):
            made = PostgresDatabase(known.server, known.server.new_database(known.name))
            made.belong_to(place)
            self._made.append(made)
        else:
            shutil.copy(self.folder / "automation.db", place)
        if (self.folder / "effects").exists():
            shutil.copy(self.folder / "effects", place)
        return place

    def drop(self) -> None:
        """Remove the databases; folders go with the test's own."""
        for each in self._made:
            each.server.drop(each.name)


class SqliteDatabase:
    """A file in a folder."""

    def __init__(self, folder: Path, template: Path | None = None) -> None:
        self.path = folder / "automation.db"
        if template is not None:
            shutil.copy(template, self.path)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def rows(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)


class PostgresDatabase:
    """A database of a server."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def belong_to(self, folder: Path) -> None:
        """Be the database of this folder."""
        (folder / NAMED).write_text(self.url)
        _known[folder] = self

    def rows(self, query: str) -> list[dict[str, Any]]:
        text = self.server.sql(f"SELECT coalesce(json_agg(found), '[]') FROM ({query}) AS found", database=self.name)
        rows: list[dict[str, Any]] = json.loads(text)
        return rows

    def run(self, *statements: str) -> None:
        self.server.sql(*statements, database=self.name)
