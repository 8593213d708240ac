"""The documentation does what it says: its code runs, its definitions are valid, its links lead somewhere."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from automation.config import AutomationConfig
from automation.config_sources import DEFINITION_KEYS
from automation.definitions import read_text
from automation.engine import AutomationEngine
from automation.plugins import registry
from tests.docs.pages import ROOT, Block, Page, blocks, fits, pages

RUN = pages("README.md", "docs/tutorial/*.md", "docs/how-to/*.md")
ALL = pages("*.md", "docs/**/*.md")
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


def name(value: Path | Block) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page registers is gone after it."""
    for kind in registry._plugins:
        registry.names(kind)
    monkeypatch.setattr(registry, "_plugins", {kind: dict(known) for kind, known in registry._plugins.items()})
    monkeypatch.setattr(registry, "_last_parts", copy.deepcopy(registry._last_parts))


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_own_registry")
@pytest.mark.parametrize("page", RUN, ids=name)
def test_a_page_runs_from_top_to_bottom(page: Path) -> None:
    done = Page(page).run()

    runnable = [block for block in blocks(page) if block.language in ("python", "console")]
    wanted = [block for block in runnable if block.note not in ("not run", "for")]
    assert [block for block in done if block.language in ("python", "console")] == wanted


@pytest.mark.parametrize(
    "block", [block for page in ALL for block in blocks(page) if block.language == "yaml"], ids=name
)
def test_yaml_is_definitions_or_configuration_that_this_version_takes(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if block.note in ("not run", "for"):
        return
    content: dict[str, Any] = yaml.safe_load(block.text)
    kinds = set(content) & DEFINITION_KEYS
    settings = {key: value for key, value in content.items() if key not in DEFINITION_KEYS}
    assert kinds or settings, f"{block} says nothing"
    if kinds:
        text = yaml.safe_dump({key: content[key] for key in kinds}, sort_keys=False) if settings else block.text
        _, problems = read_text(text, str(block), check=AutomationEngine().catalogue.check)
        # Warnings are about what another block or page defines.
        errors = [str(problem) for problem in problems if problem.severity == "error"]
        assert bool(errors) is (block.note == "fails"), errors
    if settings:
        for variable in _VARIABLE.findall(block.text):
            monkeypatch.setenv(variable, "text")
        file = tmp_path / "automation.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        assert AutomationConfig.load(file).model_fields_set >= set(settings)


@pytest.mark.parametrize(
    "block", [block for page in ALL for block in blocks(page) if block.language == "json"], ids=name
)
def test_json_is_json(block: Block) -> None:
    try:
        wrong = "" if json.loads(block.text) else "says nothing"
    except ValueError as error:
        wrong = str(error)
    assert wrong == ""


@pytest.mark.parametrize("page", ALL, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            wrong.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(file):
            wrong.append(f"{target}: there is no such heading")
    assert wrong == []


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    reached, left = {index}, [index]
    while left:
        page = left.pop()
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            file = (page.parent / target).resolve()
            if file not in reached and file.exists():
                reached.add(file)
                left.append(file)
    assert [name(page) for page in pages("docs/**/*.md") if page not in reached] == []


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_hardly_anything_is_not_run() -> None:
    shown = [f"{block}: {block.why}" for page in RUN for block in blocks(page) if block.note == "not run"]
    assert len(shown) <= 12, shown


def test_nothing_names_a_machine_or_a_registry() -> None:
    pattern = re.compile(r"/root/|/home/\w", re.IGNORECASE)
    wrong = [
        f"{name(page)}:{number}"
        for page in ALL
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("expected", "said", "fit"),
    [
        ("", "anything", True),
        ("id  …\nstarted", "id 17\nstarted", True),
        ("a   b", "a b\n", True),
        ("a", "a\nb", False),
        ("a\n…", "a\nb\nc", True),
    ],
)
def test_what_is_shown_fits_what_is_said(expected: str, said: str, fit: bool) -> None:
    assert fits(expected, said) is fit
