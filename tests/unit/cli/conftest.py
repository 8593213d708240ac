"""Commands in a folder of their own, called as typer calls them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from automation.cli.app import app

DEFINITIONS = """
workflows:
  - name: hello
    description: Says hello
    inputs: {who: {type: string, required: true}}
    actions:
      - {name: greet, action_type: flow.set, parameters: {values: {text: "hello ${who}"}}}
      - {name: nap, action_type: flow.wait, parameters: {seconds: 0.05}}
  - name: on_ping
    conditions: [ping]
    actions: [{name: seen, action_type: flow.set, parameters: {values: {ok: true}}}]
  - name: hopeless
    actions: [{name: fail, action_type: flow.fail, parameters: {message: no way}}]
  - name: slow
    actions: [{name: wait, action_type: flow.wait, parameters: {seconds: 600}}]
  - name: careful
    actions: [{name: act, action_type: shell.run, parameters: {command: [echo, hi]}}]
alerts:
  - name: hot
    condition: temperature > 30
    severity: high
    actions: [{type: flow.set, parameters: {values: {cooled: true}}}]
services:
  - name: web
    settings: {command: [sleep, "600"]}
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its JSON document."""
        return json.loads(self.out)


Invoke = Callable[..., Answer]


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """The working directory: configuration, definitions, and an empty database."""
    (tmp_path / "automation.yaml").write_text("level: assisted\n", encoding="utf-8")
    (tmp_path / "automation.d").mkdir()
    (tmp_path / "automation.d" / "definitions.yaml").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "automation-data").mkdir()
    shutil.copy(empty_database, tmp_path / "automation-data" / "automation.db")
    return tmp_path


@pytest.fixture
def invoke() -> Invoke:
    """Calls a command."""
    runner = CliRunner()

    def call(*arguments: str) -> Answer:
        result = runner.invoke(app, list(arguments), catch_exceptions=False)
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call
