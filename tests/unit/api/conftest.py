"""An engine's REST interface, called in this process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.api.app import create_app
from automation.store.store import Store
from tests.support import handlers

ROLES = ("automation_admin", "automation_operator", "automation_viewer", "automation_source")


class Face:
    """The interface of an engine, with a client for each role."""

    def __init__(self, engine: AutomationEngine, app: FastAPI, stack: AsyncExitStack) -> None:
        self.engine = engine
        self.app = app
        self.tokens: dict[str, str] = {}
        self._stack = stack

    async def client(self, token: str | None = None, *, address: str = "10.0.0.7", **headers: str) -> Any:
        """A client that sends this token; `address` is where it seems to call from."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx2.ASGITransport(self.app, client=(address, 4711))
        client = httpx2.AsyncClient(transport=transport, base_url="http://engine:8080", headers=headers)
        return await self._stack.enter_async_context(client)

    async def as_role(self, role: str) -> Any:
        """A client whose token has this role."""
        return await self.client(self.tokens[role])

    async def workflow(self, name: str = "hello", *actions: dict[str, Any], **more: Any) -> WorkflowDefinition:
        """Register a workflow; by default it records `${who}`."""
        chosen = actions or ({"name": "greet", "action_type": "test.record", "parameters": {"value": "${who}"}},)
        definition = WorkflowDefinition.model_validate({"name": name, "actions": chosen, **more})
        await self.engine.register_workflow(definition)
        return definition

    def refused(self, reason: str) -> float:
        """How many requests were refused for this reason."""
        value = self.engine.metrics.registry.get_sample_value("automation_requests_refused_total", {"reason": reason})
        return value or 0.0


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once: making it takes longer than most tests."""
    path = tmp_path_factory.mktemp("database") / "automation.db"

    async def make() -> None:
        store = Store(f"sqlite:///{path}")
        await store.open()
        await store.close()

    maker = Thread(target=lambda: asyncio.run(make()))
    maker.start()
    maker.join()
    return path


@pytest.fixture
def config(config: AutomationConfig, migrated: Path, tmp_path: Path) -> AutomationConfig:
    """The usual configuration, with a copy of that database."""
    shutil.copy(migrated, tmp_path / "automation.db")
    return config


@pytest.fixture
async def face(engine: AutomationEngine) -> AsyncIterator[Face]:
    """The interface of a running engine."""
    handlers.calls.clear()
    async with AsyncExitStack() as stack:
        face = Face(engine, create_app(engine), stack)
        for role in ROLES:
            name = role.removeprefix("automation_")
            face.tokens[role] = await engine.tokens.issue(name, [role], expires_in=None, actor="test")
        yield face


@pytest.fixture
async def admin(face: Face) -> Any:
    """A client that may do everything."""
    return await face.as_role("automation_admin")
