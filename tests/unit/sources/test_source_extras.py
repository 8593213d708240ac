"""Optional libraries of sources: each is named by an extra, said on the page, and loaded only by a source that runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from automation.plugins import Plugin, registry
from tests.architecture.source import ROOT

OURS = [plugin for plugin in registry.all("source") if plugin.function.__module__.startswith("automation.")]
NEEDY = [plugin for plugin in OURS if plugin.options.get("library")]
PAGE = (ROOT / "docs" / "reference" / "sources.md").read_text(encoding="utf-8")


def part(plugin: Plugin) -> str:
    """What the page says of a source."""
    return re.split(r"\n##+ ", PAGE.split(f"\n### `{plugin.name}`\n")[1])[0]


@pytest.mark.parametrize("plugin", NEEDY, ids=lambda plugin: plugin.name)
def test_the_extra_is_there_and_said_on_the_page(plugin: Plugin) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert plugin.options["extra"] in project["optional-dependencies"]
    assert f"automation[{plugin.options['extra']}]" in " ".join(part(plugin).split())


@pytest.mark.parametrize("plugin", OURS, ids=lambda plugin: plugin.name)
def test_every_source_has_its_settings_on_the_page_and_says_how_it_was_tested(plugin: Plugin) -> None:
    assert f"<!-- made: source {plugin.name} -->" in part(plugin)
    assert plugin.settings.__pydantic_fields__
    assert all(field.description for field in plugin.settings.__pydantic_fields__.values())
    if plugin.name not in ("file", "log"):
        assert re.search(r"[Tt]ested with", part(plugin))


def test_to_list_the_sources_loads_none_of_their_libraries() -> None:
    libraries = {plugin.options["library"] for plugin in NEEDY} - {"asyncpg"} | {"cramjam", "paho"}
    assert len(libraries) >= 7
    code = "import sys; from automation.plugins import registry; registry.names('source'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=50
    )
    assert not libraries & set(done.stdout.split())
