"""What tests with real programs share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automation import AutomationConfig, AutomationEngine
from automation.api.app import create_app
from automation.api.server import Server


@pytest.fixture
async def server(config: AutomationConfig) -> AsyncIterator[tuple[AutomationEngine, Server]]:
    """A running engine with its REST interface on a free port."""
    config = config.model_copy(update={"api": config.api.model_copy(update={"port": 0})})
    async with AutomationEngine(config) as engine:
        serving = Server(engine, create_app(engine))
        await serving.start()
        try:
            yield engine, serving
        finally:
            await serving.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the programs of a test keep their files."""
    made = tmp_path / "programs"
    made.mkdir()
    return made
