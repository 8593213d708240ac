"""What durability tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import Copies, Database, PostgresDatabase
from tests.support.durability import Driver, driver


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Path:
    """A folder with an empty database, of each kind in turn."""
    if isinstance(database, PostgresDatabase):
        database.belong_to(tmp_path)
    return tmp_path


@pytest.fixture
def copies(folder: Path) -> Iterator[Copies]:
    """Makes further folders with copies of the database in `folder`."""
    made = Copies(folder)
    yield made
    made.drop()


@pytest.fixture
def folder_of_files(tmp_path: Path, empty_database: Path) -> Path:
    """A folder with an empty SQLite database."""
    shutil.copy(empty_database, tmp_path / "automation.db")
    return tmp_path


@pytest.fixture(scope="session")
def engines() -> Iterator[Driver]:
    """Starts engines that can be killed."""
    with driver() as running:
        yield running


@pytest.fixture
def other_engines() -> Iterator[Driver]:
    """Starts further engines, beside those of `engines`."""
    with driver() as running:
        yield running
