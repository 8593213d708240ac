"""What all tests share."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import settings

from automation.config import AutomationConfig
from automation.engine import AutomationEngine
from automation.store.store import Store

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


@pytest.fixture
def config(tmp_path: Path, empty_database: Path) -> AutomationConfig:
    """A configuration with everything in the test's own folder."""
    shutil.copy(empty_database, tmp_path / "automation.db")
    return AutomationConfig(database_url=f"sqlite:///{tmp_path}/automation.db", data_dir=tmp_path / "data")


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
