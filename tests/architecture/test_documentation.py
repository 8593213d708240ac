"""What the reference pages say is what the code does."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from automation.config import PREFIX, AutomationConfig
from automation.definitions import KINDS
from automation.plugins import registry
from tests.architecture.source import ROOT, rooms

REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # As for a program: what it imports lies beside it.
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("generate")


def test_the_made_pages_are_up_to_date(generator: ModuleType) -> None:
    made = generator
    assert [page.name for page in made.outdated()] == [], "run `make docs`"
    assert {page.name for page in made.pages()} >= {
        "configuration.md",
        "errors.md",
        "metrics.md",
        "operations.md",
        "workflows.md",
    }


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        sections = [kind for kind in kinds if issubclass(kind, BaseModel)]
        if sections and field.annotation in sections:
            yield from settings(sections[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


@pytest.mark.parametrize(("key", "field"), list(settings(AutomationConfig)), ids=lambda value: str(value)[:40])
def test_every_setting_is_documented(key: str, field: Any) -> None:
    page = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    variable = PREFIX + key.replace(".", "__").upper()
    [row] = re.findall(rf"^\| `{re.escape(key)}` \| `{variable}` \| (.+) \|$", page, flags=re.MULTILINE)
    assert row.split("|")[-1].strip(), "it has no help: write a docstring below it in automation/config.py"


def test_every_operation_is_documented() -> None:
    page = (REFERENCE / "operations.md").read_text(encoding="utf-8")
    built_in = [plugin for plugin in registry.all("action") if plugin.function.__module__.startswith("automation.")]
    assert built_in
    assert [plugin.name for plugin in built_in if f"## `{plugin.name}`" not in page] == []
    assert [plugin.name for plugin in built_in if not plugin.summary] == []


@pytest.mark.parametrize(
    ("kind", "page"),
    [("source", "sources"), ("channel", "channels"), ("collector", "collectors"), ("platform", "platforms")],
)
def test_every_plugin_has_a_part_of_its_page(kind: Any, page: str) -> None:
    text = (REFERENCE / f"{page}.md").read_text(encoding="utf-8")
    missing = [
        plugin.name
        for plugin in registry.all(kind)
        if plugin.function.__module__.startswith("automation.") and f"`{plugin.name}`" not in text
    ]
    assert missing == []


def test_every_kind_of_definition_is_documented() -> None:
    page = (REFERENCE / "workflows.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"## `{kind}`" not in page] == []


def test_every_room_is_on_the_map() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = {room.removeprefix("automation.") for room in rooms()} - {"__main__"}
    assert [room for room in sorted(named) if not re.search(rf"^\|[^|]*`{room}`", page, flags=re.MULTILINE)] == []
