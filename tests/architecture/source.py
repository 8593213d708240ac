"""The package's source, read as syntax trees."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "automation"


def files(folder: Path = PACKAGE) -> list[Path]:
    """All Python files of a folder, sorted."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def name(path: Path) -> str:
    """A file's path inside the project."""
    return path.relative_to(ROOT).as_posix()


@cache
def lines(path: Path) -> list[str]:
    """A file's lines."""
    return path.read_text(encoding="utf-8").splitlines()


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    # What a collection calls back in its midst lets CPython 3.11 fail with a SystemError (gh-106905).
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    finally:
        gc.enable()


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    """All functions and methods of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def rooms() -> set[str]:
    """The modules and packages right below the package, as they are named in imports."""
    found = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    return {f"automation.{room}" for room in found - {"__init__", "__pycache__", "py.typed"}}
