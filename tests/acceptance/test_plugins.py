"""Plug-ins of installed packages: what is found, and what one that is broken costs the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

GOOD = '''
from pydantic import BaseModel
from automation import action

class Params(BaseModel):
    region: str

@action("cache.warm")
async def warm(params: Params) -> str:
    """Warm a cache."""
    return params.region
'''
CLASHING = '''
from automation import action
from automation.plugins import NoSettings

@action("flow.wait")
async def wait(params: NoSettings) -> None:
    """Take a name that something else has."""
'''
LOOK = """
from automation.plugins import registry
print(registry.find("action", "cache.warm").summary)
print(registry.find("action", "flow.wait").home[0])
print(registry.unknown("action", "cache.cold"))
"""


def install(home: Path, name: str, text: str) -> None:
    """A module, and what an installer writes beside it."""
    (home / f"{name}.py").write_text(text)
    told = home / f"{name}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(f"[automation.actions]\n{name} = {name}\n")


def test_a_broken_package_takes_nothing_else_with_it(tmp_path: Path) -> None:
    install(tmp_path, "a_broken_one", "import a_module_that_is_not_there\n")
    install(tmp_path, "clashing", CLASHING)
    install(tmp_path, "our_actions", GOOD)

    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    ran = subprocess.run(
        [sys.executable, "-c", LOOK], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )

    summary, home, unknown = ran.stdout.splitlines()
    assert summary == "Warm a cache."
    assert home == "automation.actions.builtin.flow"
    assert "did you mean cache.warm?" in unknown
    assert "not loaded: a_broken_one: ModuleNotFoundError: No module named 'a_module_that_is_not_there'" in unknown
    assert "not loaded: clashing: DefinitionError" in unknown
    assert "there is already a action of this name: automation.actions.builtin.flow.wait" in unknown
    assert "could not be loaded: a_broken_one" in ran.stderr
