"""Environments of their own, for other engines from PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
"""Where their requirements are, and the scripts that they run."""


def environment(folder: Path, requirements: Path) -> tuple[str, str | None]:
    """The Python of a new virtual environment with these requirements, or why there is none."""
    place = folder / requirements.stem
    python = place / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    commands = ([sys.executable, "-m", "venv", str(place)], [*install, "--requirement", str(requirements)])
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=folder, env=variables, capture_output=True, text=True, timeout=600, check=False
            )
        except subprocess.TimeoutExpired:
            return str(python), f"{' '.join(command[1:4])} took longer than ten minutes"
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return str(python), f"{' '.join(command[1:4])} failed: {''.join(last)}"
    return str(python), None
