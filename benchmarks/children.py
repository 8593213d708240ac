"""Engines in processes of their own: measured by themselves, and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

ROOT = Path(__file__).parents[1]
LIMIT_SECONDS = 600.0
"""How long a child may take; then it is killed."""


class Child:
    """A module that runs in a process of its own and writes lines of JSON."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.begun = time.perf_counter()
        """When it was spawned; the same clock in both processes."""
        self._process = process
        self._log = log

    def hear(self) -> dict[str, Any]:
        """The next line; raises RuntimeError with what it last said when it has ended without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended: {self._process.wait()}\n{self._log.read_text()[-4000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self) -> None:
        """SIGKILL: it does nothing more, and nothing is done for it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def child(folder: Path, module: str, *arguments: object, python: str = sys.executable) -> Iterator[Child]:
    """`python -m module arguments`, with this repository on its path; killed if it has not ended by itself."""
    log = folder / f"{module.rpartition('.')[2]}.log"
    command = [python, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder, text=True
        )
    running = Child(process, log)
    # Whatever goes wrong in it, the benchmark ends.
    watchdog = Timer(LIMIT_SECONDS, process.kill)
    watchdog.start()
    try:
        yield running
        process.wait(60)
    finally:
        watchdog.cancel()
        running.kill()


def say(**facts: Any) -> None:
    """In a child: write a line."""
    print(json.dumps(facts), flush=True)
