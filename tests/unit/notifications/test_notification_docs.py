"""The Python of the reference pages works as written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.model.notification import Message
from automation.model.schedule import ScheduleDefinition, SourceDefinition
from automation.notifications.channels.webhook import signature
from automation.plugins import registry
from automation.schedules.cron import parse_cron
from automation.sources.source import SourceContext
from automation.sources.supervisor import check_source

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (REFERENCE / page).read_text(encoding="utf-8"), re.DOTALL)


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "page", "exec", dont_inherit=True), names)
    return names


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    registry._plugins["source"].pop("ticks", None)
    registry._plugins["channel"].pop("board", None)


def test_the_definitions_are_valid() -> None:
    shown = [yaml.safe_load(block) for block in blocks("sources.md", "yaml")]
    sources = [each for block in shown for each in block.get("sources", ())]
    schedules = [each for block in shown for each in block.get("schedules", ())]
    assert sources
    assert schedules
    for each in sources:
        check_source(SourceDefinition.model_validate(each))
    for each in schedules:
        schedule = ScheduleDefinition.model_validate(each)
        parse_cron(schedule.cron, schedule.timezone)


async def test_the_source() -> None:
    [block] = blocks("sources.md", "python")
    names = run(block)
    stream = names["ticks"](names["Ticks"](), SourceContext("mine", position=4))
    first = await anext(stream)
    await stream.aclose()
    assert (first.events[0].id, first.position) == ("4", 5)


async def test_the_channel(tmp_path: Path) -> None:
    _, block = blocks("channels.md", "python")
    names = run(block)
    await names["board"](names["Board"](path=str(tmp_path / "board")), Message(text="hello"))
    assert (tmp_path / "board").read_text() == "info: hello\n"


def test_the_check_of_a_signature() -> None:
    genuine = run(blocks("channels.md", "python")[0])["genuine"]
    header = signature("shared", b"{}", 1000)
    assert genuine("shared", header, b"{}", 1100.0)
    assert not genuine("shared", header, b"{ }", 1100.0)
    assert not genuine("other", header, b"{}", 1100.0)
    assert not genuine("shared", header, b"{}", 2000.0)
