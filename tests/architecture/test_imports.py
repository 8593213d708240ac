"""What importing costs, and that the import contract in pyproject.toml leaves no room out.

The contract itself is checked by `lint-imports` (`make contract`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, rooms

PROBE = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})), file=sys.stderr)
"""
HELP = """
from automation.cli import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code
"""
DIALECTS = ("aiosqlite", "asyncpg", "mysql", "oracledb", "psycopg", "psycopg2", "pymysql", "pyodbc")
HTTP = ("fastapi", "starlette", "uvicorn")


def loaded(code: str, folder: Path) -> set[str]:
    """The top-level modules that a new interpreter has loaded after running the code."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        timeout=50,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_the_package_loads_nothing_else(tmp_path: Path) -> None:
    found = loaded("import automation", tmp_path)
    assert not found & {"pydantic", "sqlalchemy", "msgspec", "lark", "typer", *HTTP}


def test_importing_the_engine_loads_no_face_and_no_foreign_driver(tmp_path: Path) -> None:
    names = "AutomationEngine, AutomationConfig, WorkflowDefinition, ActionDefinition, Event, action"
    found = loaded(f"from automation import {names}", tmp_path)
    assert "sqlalchemy" in found
    assert not found & {"numpy", "redis", "typer", "rich", "jinja2", "alembic", *HTTP, *DIALECTS}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["serve", "--help"]])
def test_help_loads_neither_server_nor_database(arguments: list[str], tmp_path: Path) -> None:
    found = loaded(HELP.format(arguments=arguments), tmp_path)
    assert "typer" in found
    assert not found & {"sqlalchemy", "jinja2", "numpy", *HTTP}


def test_a_sqlite_engine_loads_nothing_of_postgresql(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "automation.db")
    code = """
import asyncio
from automation import AutomationConfig, AutomationEngine
async def run():
    async with AutomationEngine(AutomationConfig(database_url="sqlite:///automation.db", data_dir=".")) as engine:
        await engine.queries.execution_counts()
asyncio.run(run())
assert "sqlalchemy.dialects.postgresql.base" not in sys.modules
"""
    found = loaded(code, tmp_path)
    assert not found & {"alembic", *DIALECTS}


def test_without_its_library_postgresql_names_the_extra(tmp_path: Path) -> None:
    code = """
sys.modules["asyncpg"] = None
from automation import AutomationConfig, AutomationEngine
from automation.errors import MissingExtra
try:
    AutomationEngine(AutomationConfig(database_url="postgresql://u@h/d"))
except MissingExtra as error:
    assert "pip install 'automation[postgres]'" in error.message, error
else:
    raise AssertionError
"""
    loaded(code, tmp_path)


def test_importing_touches_nothing(tmp_path: Path) -> None:
    loaded("from automation import AutomationEngine\nAutomationEngine()", tmp_path)
    assert list(tmp_path.iterdir()) == []


def contracts() -> list[dict[str, object]]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = content["tool"]["importlinter"]["contracts"]
    return found


@pytest.mark.parametrize(
    ("contract", "may"),
    [
        ("sql", {"automation.store"}),
        ("http", {"automation.api", "automation.console"}),
        ("terminal", {"automation.cli", "automation.demo", "automation.__main__"}),
    ],
)
def test_a_contract_holds_for_every_room_but_those_that_may(contract: str, may: set[str]) -> None:
    [modules] = [found["source_modules"] for found in contracts() if found["id"] == contract]
    assert set(modules) == rooms() - may  # type: ignore[call-overload]
