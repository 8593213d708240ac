"""The public names of a module, from its source."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from types import ModuleType
from typing import Any

from making.schemas import table


def module(name: str) -> str:
    """The public names of a module, functions first, from their source: signatures, docstrings, attributes."""
    home = importlib.import_module(name)
    things = {each: getattr(home, each) for each in sorted(home.__all__, key=str.lower)}
    functions = [_function(each, thing) for each, thing in things.items() if inspect.isfunction(thing)]
    classes = [_class(each, thing) for each, thing in things.items() if inspect.isclass(thing)]
    others = {each for each, thing in things.items() if not callable(thing)}
    told = {key: text for part in _parts_of(home) for key, text in _attributes(_tree(part)).items() if key in others}
    constants = [f"## `{each}`\n\n{text}" for each, text in sorted(told.items())]
    return "\n\n".join([*functions, *classes, *constants])


def _parts_of(home: ModuleType) -> list[ModuleType]:
    """The modules that a package's names come from."""
    names = {thing.__module__ for thing in vars(home).values() if hasattr(thing, "__module__")}
    return [importlib.import_module(name) for name in sorted(names) if name.startswith(home.__name__)]


def _tree(thing: Any) -> Any:
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    return tree if inspect.ismodule(thing) else tree.body[0]


def _function(name: str, function: Any) -> str:
    return f"## `{name}`\n\n{_signature(name, _tree(inspect.unwrap(function)))}\n\n{inspect.getdoc(function)}"


def _class(name: str, kind: type) -> str:
    tree = _tree(kind)
    methods = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    parts = [f"## `{name}`"]
    if "__init__" in methods:
        parts.append(_signature(name, methods["__init__"]))
    parts.append(inspect.getdoc(kind) or "")
    public = {key: node for key, node in methods.items() if not key.startswith("_")}
    properties = {key for key in public if isinstance(vars(kind)[key], property)}
    rows = [[f"`{key}`", text] for key, text in _attributes(tree).items() if not key.startswith("_")]
    rows += [[f"`{key}`", _line(ast.get_docstring(public[key]))] for key in public if key in properties]
    if rows:
        parts.append(table(["attribute", "meaning"], rows))
    called = {_head(key, node): ast.get_docstring(node) for key, node in public.items() if key not in properties}
    if called:
        parts.append(
            table(["method", "meaning"], [[f"`{head}`", _line(text)] for head, text in sorted(called.items())])
        )
    return "\n\n".join(parts)


def _attributes(tree: Any) -> dict[str, str]:
    """What is said below each attribute, in the class's body or its `__init__`; empty where nothing is."""
    found: dict[str, str] = {}
    bodies = [tree.body, *(node.body for node in tree.body if getattr(node, "name", "") == "__init__")]
    for body in bodies:
        for node, following in zip(body, [*body[1:], None], strict=True):
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            text = str(following.value.value) if is_text else ""
            if text or (body is tree.body and isinstance(node, ast.AnnAssign)):
                found[target.removeprefix("self.")] = _line(text)
    return found


def _head(name: str, node: Any) -> str:
    given = node.args
    if given.args[:1] and given.args[0].arg == "self":
        given.args = given.args[1:]
    managed = any("contextmanager" in ast.unparse(mark) for mark in node.decorator_list)
    is_async = isinstance(node, ast.AsyncFunctionDef)
    kind = ("async with " if is_async else "with ") if managed else "await " if is_async else ""
    result = f" -> {ast.unparse(node.returns)}" if node.returns and name == node.name and not managed else ""
    return f"{kind}{name}({_given(node)}){result}"


def _given(node: Any) -> str:
    """The parameters, with a space around the `=` of those that have a type."""
    return re.sub(r"(?<=[\w\]])=(?=\S)", " = ", ast.unparse(node.args))


def _signature(name: str, node: Any) -> str:
    head = _head(name, node)
    if len(head) > 100:
        begin, _, rest = head.partition("(")
        given = _given(node)
        inner = re.split(r", (?=[a-z_]+: |\*)", given)
        head = f"{begin}(\n    " + ",\n    ".join(inner) + f",\n){rest[len(given) + 1 :]}"
    return f"```python\n{head}\n```"


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
