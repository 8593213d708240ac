"""How large things may be, so that each can be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import PACKAGE, Function, files, functions, lines, name, tree

LINES_A_FILE = 400
LINES_A_FUNCTION = 60
METHODS_A_CLASS = 20
PARAMETERS = 7
DEPTH = 3

MIGRATIONS = "automation/store/migrations/versions"
"""A migration is a list of tables, and Alembic says where it lies."""
COMMANDS = "automation/cli/commands"
"""The parameters of a command are the options of the command line."""


def test_files_are_short() -> None:
    wrong = [f"{name(path)}: {len(lines(path))}" for path in files() if len(lines(path)) > LINES_A_FILE]
    assert wrong == []


def test_functions_are_short() -> None:
    wrong = []
    for path in files():
        if name(path).startswith(MIGRATIONS):
            continue
        for function in functions(path):
            length = span(function) - sum(span(inner) for inner in nested(function))
            if length > LINES_A_FUNCTION:
                wrong.append(f"{name(path)}:{function.lineno} {function.name}: {length}")
    assert wrong == []


def span(function: Function) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def nested(function: Function) -> Iterator[Function]:
    """The functions right inside another: each counts for itself."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, Function):
            yield node


def test_functions_take_few_parameters() -> None:
    wrong = []
    for path in files():
        if name(path).startswith(COMMANDS):
            continue
        for function in functions(path):
            given = function.args
            names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            if names[:1] in (["self"], ["cls"]):
                names = names[1:]
            if len(names) > PARAMETERS:
                wrong.append(f"{name(path)}:{function.lineno} {function.name}: {len(names)}")
    assert wrong == []


def test_public_classes_have_few_methods() -> None:
    wrong = []
    for path in files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                methods = [
                    part.name
                    for part in node.body
                    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not part.name.startswith("_")
                    and not any(getattr(mark, "id", "") == "property" for mark in part.decorator_list)
                ]
                if len(methods) > METHODS_A_CLASS:
                    wrong.append(f"{name(path)}:{node.lineno} {node.name}: {len(methods)}")
    assert wrong == []


def test_folders_are_not_deep() -> None:
    folders = {path.parent for path in files()}
    wrong = [
        name(folder)
        for folder in sorted(folders)
        if len(folder.relative_to(PACKAGE.parent).parts) > DEPTH and name(folder) != MIGRATIONS
    ]
    assert wrong == []
