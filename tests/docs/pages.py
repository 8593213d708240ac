"""Reads the documentation's pages as lists of blocks, and runs them.

What the first line before a block may say:

    <!-- not run: why -->       it is shown only
    <!-- for: alertmanager -->  it is another program's configuration
    <!-- fails: why -->         definitions that are refused, or commands that do not succeed

In a command, `ID` stands for the first id that the command before it has printed.

A block whose first line is a comment with a path in it (`# automation.d/encoder.yaml`) is written to that file.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<mark>```+)(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=mark)\s*$", re.DOTALL | re.MULTILINE)
_NOTE = re.compile(r"<!-- (?P<kind>not run|for|fails): (?P<why>[^>]+) -->\s*\Z")
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_FILE = re.compile(r"# (?P<path>[\w.-]+(?:/[\w.-]+)*\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    note: str = ""
    """`not run`, `for`, `fails`, or nothing."""
    why: str = ""

    @property
    def file(self) -> str | None:
        """The file that it is the content of, where it names one."""
        match = _FILE.match(self.text)
        return match["path"] if match else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        note = _NOTE.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        kind, why = (note["kind"], note["why"]) if note else ("", "")
        found.append(Block(page, line, match["language"], match["text"], kind, why))
    return found


def pages(*patterns: str) -> list[Path]:
    """The pages that fit one of the patterns, sorted."""
    return sorted(page for pattern in patterns for page in ROOT.glob(pattern))


class Page:
    """Runs one page in the current folder: files are written, commands and Python run in one order."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._names: dict[str, Any] = {"__name__": "page"}
        self._id = ""

    def run(self) -> list[Block]:
        """Run all blocks, and say which; raises with the place of the first that does not do what the page says."""
        done = []
        # One loop for the page, as in `python -m asyncio`: what one block has started lives in the next.
        with asyncio.Runner() as runner:
            for block in blocks(self._page):
                if block.note == "not run" or (block.note == "for" and not block.file):
                    continue
                if block.file:
                    path = Path(block.file)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(block.text, encoding="utf-8")
                elif block.language == "python":
                    self._python(block, runner)
                elif block.language == "console":
                    self._console(block)
                else:
                    continue
                done.append(block)
        return done

    def _python(self, block: Block, runner: asyncio.Runner) -> None:
        # Padded, so that tracebacks name the lines of the page.
        source = "\n" * block.line + block.text
        code = compile(source, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(code, self._names))
        else:
            exec(code, self._names)

    def _console(self, block: Block) -> None:
        for told, expected in commands(block.text):
            command = re.sub(r"\bID\b", self._id, told) if self._id else told
            ours = command.startswith(("automation ", "pytest"))
            done = subprocess.run(
                [sys.executable, "-m", *shlex.split(command)] if ours else command,
                shell=not ours,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=50,
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
                check=False,
            )
            self._id = next(iter(_ID.findall(done.stdout)), self._id)
            as_told = (done.returncode != 0) is (block.note == "fails")
            assert as_told, f"{block}: {command} exited with {done.returncode}:\n{done.stdout}"
            assert fits(expected, done.stdout), (
                f"{block}: {command} is said to print\n{expected}\nbut prints\n{done.stdout}"
            )


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it is said to print."""
    command, output = "", ""
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, output
            command, output = line[2:], ""
        elif command.endswith("\\"):
            command = command[:-1] + line.strip()
        else:
            output += line + "\n"
    if command:
        yield command, output


def fits(expected: str, said: str) -> bool:
    """Whether a text is what a page shows: `…` there stands for anything, the width of columns does not matter."""
    if not expected.strip():
        return True
    pattern = "".join(r".*?" if part == "…" else re.escape(part) for part in re.split(r"(…)", _tight(expected)))
    return re.fullmatch(pattern, _tight(said), re.DOTALL) is not None


def _tight(text: str) -> str:
    return "\n".join(re.sub(r" {2,}", " ", line).strip() for line in text.strip().splitlines())
