"""Sources whose broker takes a connection and says nothing."""

from __future__ import annotations

import asyncio
import importlib
import re
from typing import Any

import pytest

from automation import AutomationEngine
from automation.definitions import Definitions
from automation.model.schedule import SourceDefinition
from automation.sources.supervisor import SourceState

SETTINGS = {
    "amqp": {"url": "amqp://{place}/", "queue": "q"},
    "kafka": {"servers": ["{place}"], "topics": ["t"], "group": "g"},
    "mqtt": {"host": "127.0.0.1", "port": 0, "topics": ["t"]},
    "nats": {"servers": ["nats://{place}"], "stream": "s", "subject": "s.>", "consumer": "c"},
    "postgres_notify": {"url": "postgresql://u@{place}/d", "channels": ["c"]},
    "redis_streams": {"url": "redis://{place}/0", "streams": ["s"], "group": "g"},
    "http_poll": {"url": "http://{place}/"},
    "kubernetes": {"url": "http://{place}"},
}


def at(settings: dict[str, Any], port: int) -> dict[str, Any]:
    """The settings with this port on this host."""

    def placed(value: Any) -> Any:
        if isinstance(value, list):
            return [placed(item) for item in value]
        return value.replace("{place}", f"127.0.0.1:{port}") if isinstance(value, str) else value

    return {key: port if key == "port" else placed(value) for key, value in settings.items()}


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self.called, self.left = asyncio.Event(), asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Silent:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        while self._open:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.called.set()
        await reader.read()
        self.left.set()
        writer.close()
        self._open.discard(writer)


@pytest.mark.parametrize("kind", SETTINGS)
async def test_while_nobody_answers_a_source_is_starting(
    engine: AutomationEngine, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.infrastructure.cancelling.AGAIN_SECONDS", 0.2)
    told: list[SourceState] = []
    engine.watching.sources.tell = told.append
    async with Silent() as server, asyncio.timeout(30):
        source = SourceDefinition(name="s", type=kind, settings=at(SETTINGS[kind], server.port))

        await engine.apply(Definitions(sources=(source,)))
        await server.called.wait()
        assert engine.watching.sources.states["s"].status == "starting"
        await engine.apply(Definitions())

    assert [state.status for state in told] == ["starting", "stopped"]


@pytest.mark.parametrize("kind", ["amqp", "mqtt", "nats", "postgres_notify"])
async def test_an_attempt_that_nobody_answers_leaves_no_connection(
    engine: AutomationEngine, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module(f"automation.sources.{kind}")
    monkeypatch.setattr(f"automation.sources.{kind}._CONNECT_SECONDS", 0.5)
    async with Silent() as server, asyncio.timeout(30):
        source = SourceDefinition(name="s", type=kind, settings=at(SETTINGS[kind], server.port))

        await engine.apply(Definitions(sources=(source,)))
        await server.left.wait()

        while (state := engine.watching.sources.states["s"]).status != "failed":
            await asyncio.sleep(0.01)
        assert re.search("timeout|timed out", state.last_error or "", re.IGNORECASE)
        await engine.apply(Definitions())
