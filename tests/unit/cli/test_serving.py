"""Reloading definitions, and the log."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from automation.cli.definitions import Files
from automation.cli.logs import set_up
from automation.cli.reloading import Reloading
from automation.config import AutomationConfig, Logs
from automation.engine import AutomationEngine
from automation.errors import DefinitionError

GOOD = "workflows: [{{name: {name}, actions: [{{name: a, action_type: flow.set, parameters: {{values: {{}}}}}}]}}]\n"


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[AutomationEngine]:
    async with AutomationEngine(AutomationConfig.load()) as running:
        yield running


@pytest.fixture
def reloading(engine: AutomationEngine) -> Reloading:
    return Reloading(engine, Files.of(engine.config, None))


def successful(engine: AutomationEngine) -> bool:
    return b"automation_config_last_reload_successful 1.0" in engine.metrics.render()


class TestReloading:
    async def test_brings_in_what_is_new_and_takes_out_what_is_gone(
        self, engine: AutomationEngine, reloading: Reloading, folder: Path
    ) -> None:
        await reloading.reload()
        assert "hello" in engine.workflow_manager.list_workflows()
        (folder / "automation.d" / "definitions.yaml").write_text(GOOD.format(name="fresh"), encoding="utf-8")
        await reloading.reload("somebody")
        assert engine.workflow_manager.list_workflows() == ["fresh"]
        assert successful(engine)
        rows = (await engine.queries.audit(kind="configuration_change")).items
        assert {(row.actor, row.act) for row in rows if row.subject == "fresh"} == {("somebody", "workflow.register")}

    async def test_an_error_changes_nothing_and_is_logged(
        self,
        engine: AutomationEngine,
        reloading: Reloading,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        await reloading.reload()
        before = engine.workflow_manager.list_workflows()
        (folder / "automation.d" / "new.yaml").write_text(GOOD.format(name="fresh") + "bogus: 1\n", encoding="utf-8")
        with pytest.raises(DefinitionError):
            await reloading.reload()
        assert engine.workflow_manager.list_workflows() == before
        assert not successful(engine)
        assert any("new.yaml:2: bogus: unknown key" in record.message for record in caplog.records)
        await reloading.quietly()
        assert engine.workflow_manager.list_workflows() == before

    async def test_the_watcher_notices_a_folder_that_was_not_there_at_the_start(
        self, engine: AutomationEngine, folder: Path
    ) -> None:
        text = (folder / "automation.d" / "definitions.yaml").read_text(encoding="utf-8")
        shutil.rmtree(folder / "automation.d")
        reloading = Reloading(engine, Files.of(AutomationConfig.load(), None))
        watcher = reloading.watcher((await reloading.reload()).content_hash)
        assert await watcher.poll() is False
        (folder / "automation.d").mkdir()
        (folder / "automation.d" / "new.yaml").write_text(text, encoding="utf-8")
        assert await watcher.poll() is True
        assert "hello" in engine.workflow_manager.list_workflows()

    async def test_the_watcher_notices_a_changed_file(
        self, engine: AutomationEngine, reloading: Reloading, folder: Path
    ) -> None:
        definitions = await reloading.reload()
        watcher = reloading.watcher(definitions.content_hash)
        assert await watcher.poll() is False
        (folder / "automation.d" / "new.yaml").write_text(GOOD.format(name="fresh"), encoding="utf-8")
        assert await watcher.poll() is True
        assert "fresh" in engine.workflow_manager.list_workflows()


@pytest.fixture
def loggers() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("automation")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


@pytest.mark.usefixtures("loggers")
class TestLog:
    def test_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(Logs(), lambda text: text.replace("hunter2", "***"))
        log = logging.getLogger("automation.actions")
        log.debug("not said")
        log.info("started %s with hunter2\x1b[31m", "web", extra={"execution_id": "e1"})
        [line] = capsys.readouterr().err.splitlines()
        time, level, rest = line.split(maxsplit=2)
        assert time.endswith("Z")
        assert level == "info"
        assert rest == "automation.actions: started web with ***\\x1b[31m execution_id=e1"

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(Logs(level="debug", format="json"), lambda text: text.replace("hunter2", "***"))
        try:
            raise ValueError("hunter2")
        except ValueError:
            logging.getLogger("automation").exception("it failed", extra={"action": "greet"})
        logging.getLogger("elsewhere").info("not ours")
        [line] = capsys.readouterr().err.splitlines()
        record = json.loads(line)
        assert (record["level"], record["message"], record["action"]) == ("error", "it failed", "greet")
        assert record["traceback"].endswith("ValueError: ***")
