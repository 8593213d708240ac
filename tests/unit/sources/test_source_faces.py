"""How sources are shown: REST, the console, the metrics of a running engine, and the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from automation import AutomationEngine
from automation.cli.app import app
from automation.console.app import application
from automation.definitions import Definitions
from automation.model.schedule import SourceDefinition
from automation.sources import supervisor
from tests.support.virtual import until


@pytest.fixture
async def face(
    engine: AutomationEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an engine with a source that has read one event, and one that fails."""
    # Between two tries it is not "failed" for a moment.
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 600.0)
    (tmp_path / "log.jsonl").write_text('{"type": "tick"}\nnonsense\n')
    definitions = Definitions(
        sources=(
            SourceDefinition(name="log", type="file", settings={"path": str(tmp_path / "log.jsonl")}),
            SourceDefinition(name="broken", type="file", settings={"path": str(tmp_path)}),
        )
    )
    await engine.apply(definitions)

    async def both() -> bool:
        states = engine.watching.sources.states
        return states["log"].rejected == 1 and states["broken"].status == "failed"

    await until(both)
    token = await engine.tokens.issue("test", ["automation_viewer"], expires_in=None, actor="test")
    async with AsyncExitStack() as stack:
        transport = httpx2.ASGITransport(application(engine), client=("127.0.0.1", 4711))
        headers = {"Authorization": f"Bearer {token}"}
        yield await stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url="http://engine:8080", headers=headers)
        )


async def test_rest_tells_of_each_source(face: httpx2.AsyncClient) -> None:
    found = (await face.get("/api/v1/sources")).raise_for_status().json()["items"]
    broken, log = found
    assert (log["name"], log["status"], log["events"], log["rejected"]) == ("log", "running", 1, 1)
    assert (broken["name"], broken["status"], broken["held_back"]) == ("broken", "failed", False)
    assert "not a regular file" in broken["last_error"]
    assert broken["retry_at"].endswith("Z")
    assert (await face.get("/api/v1/sources/log")).json()["type"] == "file"
    assert (await face.get("/api/v1/sources/nosuch")).status_code == 404


async def test_the_console_tells_of_each_source(face: httpx2.AsyncClient) -> None:
    page = (await face.get("/sources", headers={"accept": "text/html"})).raise_for_status().text
    assert "not a regular file" in page
    assert "started again" in page
    assert "running" in page
    assert 'href="/sources"' in (await face.get("/events", headers={"accept": "text/html"})).text


async def test_the_metrics_tell_of_each_source(face: httpx2.AsyncClient) -> None:
    text = (await face.get("/metrics")).raise_for_status().text
    assert 'automation_source_up{source="log"} 1.0' in text
    assert 'automation_source_up{source="broken"} 0.0' in text
    assert 'automation_source_items_total{outcome="rejected",source="log"} 1.0' in text


def test_the_command_line_lists_what_is_defined(tmp_path: Path) -> None:
    (tmp_path / "automation.d").mkdir()
    (tmp_path / "automation.yaml").write_text("level: assisted\n")
    (tmp_path / "automation.d" / "sources.yaml").write_text(
        "sources: [{name: log, type: file, settings: {path: /var/log/x}}]\n"
    )
    answer = CliRunner().invoke(app, ["sources", "list", "--json"], catch_exceptions=False)
    (found,) = json.loads(answer.stdout)["items"]
    assert (found["name"], found["type"], found["status"], found["lag"]) == ("log", "file", "stopped", None)
    shown = CliRunner().invoke(app, ["sources", "list"], catch_exceptions=False).stdout
    assert shown.splitlines()[1].split()[:4] == ["log", "file", "stopped", "-"]


async def test_a_change_of_status_refreshes_who_looks(engine: AutomationEngine, tmp_path: Path) -> None:
    with engine.changes.watch() as watch:
        await engine.apply(
            Definitions(sources=(SourceDefinition(name="broken", type="file", settings={"path": str(tmp_path)}),))
        )
        seen: list[tuple[str, str, str]] = []

        async def failed() -> bool:
            seen.extend((change.kind, change.id, change.status) for change in await watch.next(5))
            return ("source", "broken", "failed") in seen

        await until(failed)
        assert ("source", "broken", "failed") in seen
