"""`${...}` within any JSON-like value: compiled once, rendered with names.

A string that is exactly one `${expression}` becomes the value, whatever its kind, and null too where it is an item of a
list or mapping; within other text the value is written as text. `$${` is a literal `${`. `${secret:NAME}` is left for a
resolver. Keys of mappings are not computed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from automation.conditions.condition import Expression, compile_expression
from automation.conditions.interpreter import Names
from automation.errors import ConditionError, DefinitionError, InputError, Problem

MAX_DEPTH = 100

Secrets: TypeAlias = Callable[[str], str]

_OPEN = re.compile(r"\$?\$\{")
# What stands between the braces: anything but a brace or a quote, and whole strings, in which a brace may stand.
_BODY = re.compile(r"""(?:[^"'}]|"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\[\s\S])*')*""")
_SECRET = re.compile(r"\s*secret:(.*)", re.DOTALL)
_SECRET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def compile_template(value: Any, *, path: str = "") -> Template:
    """The template that a value states. Raises `DefinitionError` with every problem, each with its path in the value.

    `path` is where the value itself stands, such as `actions[1].parameters`.
    """
    compiler = _Compiler()
    part = compiler.compile(value, path, 0)
    if compiler.problems:
        raise DefinitionError(compiler.problems, what="template")
    return Template(value, part, tuple(compiler.holes), frozenset(compiler.secrets))


def pieces(text: str) -> Iterator[str | Expression | None]:
    """A text and the expressions of its `${...}`, in their order; None for a secret. Raises ConditionError."""
    compiler = _Compiler()
    found = list(compiler.parts(text, ""))
    if compiler.problems:
        raise ConditionError(text, 1, compiler.problems[0].message)
    for part in found:
        yield part if isinstance(part, str) else part.expression if isinstance(part, _Hole) else None


class Template:
    """A value with `${...}` in it.

    To store what was rendered, render without `secrets`; to use it, render this template again with them. Never compile
    a rendered value: what events and outputs carried into it would be read as expressions, and as names of secrets.
    """

    def __init__(self, value: Any, part: _Part, holes: tuple[_Hole, ...], secrets: frozenset[str]) -> None:
        self.value = value
        self.secrets = secrets
        self.constant = isinstance(part, _Constant)
        self.text = isinstance(part, _Text) or (isinstance(part, _Constant) and isinstance(value, str))
        """Whether a text comes of it, whatever its expressions give."""
        self._part = part
        self._holes = holes

    def __repr__(self) -> str:
        return f"<Template {self.value!r}>"

    @cached_property
    def names(self) -> frozenset[str]:
        """The roots of all paths that are read."""
        return frozenset(name for hole in self._holes for name in hole.expression.names)

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that is read, such as `event.data.host`."""
        return frozenset(path for hole in self._holes for path in hole.expression.paths)

    @cached_property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """Each place in the value with each path read there: `("parameters.url", "event.data.host")`."""
        return tuple((hole.place, path) for hole in self._holes for path in sorted(hole.expression.paths))

    def render(self, names: Names, secrets: Secrets | None = None) -> Any:
        """The value with every `${...}` computed. Raises `InputError` that lists all names without a value.

        Without `secrets`, `${secret:NAME}` stays as it is written. Parts without `${...}` are shared, not copied.
        """
        run = _Run(names, secrets)
        value = self._part.render(run)
        if run.missing:
            told = [
                (place, f"{what}, which is null" if (place, what) in run.null else what) for place, what in run.missing
            ]
            lines = [f"{place}: {what}" if place else what for place, what in told]
            raise InputError("no value for\n  " + "\n  ".join(lines), missing=tuple(run.missing))
        return value


@dataclass(slots=True)
class _Run:
    """One rendering."""

    names: Names
    secrets: Secrets | None
    missing: list[tuple[str, str]] = field(default_factory=list)
    null: set[tuple[str, str]] = field(default_factory=set)
    """What of it is there, and null."""


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any

    def render(self, run: _Run) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class _Hole:
    """One `${expression}` and its place in the value."""

    place: str
    expression: Expression

    def render(self, run: _Run, *, within: bool = False) -> Any:
        """The value. A null that is there is one `within` a list or mapping; elsewhere something has to come of it."""
        value = self.expression(run.names)
        if value is None and not self.expression.is_null:
            there = self.expression.gives_null(run.names)
            if not (there and within):
                names = self.expression.missing(run.names)
                found = [(self.place, name) for name in names or [f"{self.expression.text.strip()} is unknown"]]
                run.missing += found
                run.null.update(found if there else ())
        return value


@dataclass(frozen=True, slots=True)
class _Secret:
    name: str
    text: str

    def render(self, run: _Run) -> str:
        return self.text if run.secrets is None else run.secrets(self.name)


@dataclass(frozen=True, slots=True)
class _Text:
    parts: tuple[str | _Hole | _Secret, ...]

    def render(self, run: _Run) -> str:
        return "".join(part if isinstance(part, str) else as_text(part.render(run)) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Mapping:
    items: tuple[tuple[Any, _Part], ...]

    def render(self, run: _Run) -> dict[Any, Any]:
        return {key: _inner(part, run) for key, part in self.items}


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[_Part, ...]

    def render(self, run: _Run) -> list[Any]:
        return [_inner(part, run) for part in self.items]


def _inner(part: _Part, run: _Run) -> Any:
    return part.render(run, within=True) if isinstance(part, _Hole) else part.render(run)


_Part: TypeAlias = _Constant | _Hole | _Secret | _Text | _Mapping | _List


def as_text(value: Any) -> str:
    """A value within a text: booleans as `true`, lists and mappings as compact JSON."""
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_json_default)
    return str(value)


def _json_default(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


class _Compiler:
    """Walks a value and gathers what it finds."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.holes: list[_Hole] = []
        self.secrets: set[str] = set()

    def compile(self, value: Any, place: str, depth: int) -> _Part:
        if isinstance(value, str):
            return self.text(value, place)
        if not isinstance(value, Mapping | list | tuple):
            return _Constant(value)
        if depth >= MAX_DEPTH:
            self.problems.append(Problem(place, f"nested too deep; at most {MAX_DEPTH} levels are allowed"))
            return _Constant(value)
        if isinstance(value, Mapping):
            return self.mapping(value, place, depth)
        items = tuple(self.compile(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value))
        return _Constant(value) if _all_constant(items) else _List(items)

    def mapping(self, value: Mapping[Any, Any], place: str, depth: int) -> _Part:
        items: list[tuple[Any, _Part]] = []
        for key, item in value.items():
            below = f"{place}.{key}" if place else str(key)
            if isinstance(key, str) and "${" in key:
                self.problems.append(Problem(below, "a key cannot be computed: write ${...} in a value"))
            items.append((key, self.compile(item, below, depth + 1)))
        return _Constant(value) if _all_constant(part for _, part in items) else _Mapping(tuple(items))

    def text(self, text: str, place: str) -> _Part:
        if "${" not in text:
            return _Constant(text)
        parts = tuple(part for part in self.parts(text, place) if part != "")
        if len(parts) == 1 and not isinstance(parts[0], str):
            return parts[0]
        return _Text(parts)

    def parts(self, text: str, place: str) -> Iterator[str | _Hole | _Secret]:
        end = 0
        while (opened := _OPEN.search(text, end)) is not None:
            yield text[end : opened.start()]
            if opened[0] == "$${":
                yield "${"
                end = opened.end()
                continue
            body = _BODY.match(text, opened.end())
            if body is None or not text.startswith("}", body.end()):
                self.problems.append(Problem(place, f"column {opened.start() + 1}: the '${{' is not closed with '}}'"))
                return
            end = body.end() + 1
            part = self.hole(body[0], text[opened.start() : end], place, opened.end())
            if part is not None:
                yield part
        yield text[end:]

    def hole(self, body: str, text: str, place: str, offset: int) -> _Hole | _Secret | None:
        secret = _SECRET.fullmatch(body)
        if secret is not None:
            name = secret[1].strip()
            if not _SECRET_NAME.fullmatch(name):
                self.problems.append(Problem(place, f"column {offset + 1}: {name!r} is not the name of a secret"))
                return None
            self.secrets.add(name)
            return _Secret(name, text)
        try:
            hole = _Hole(place, compile_expression(body))
        except ConditionError as error:
            expected = f"; expected {', '.join(error.expected)}" if error.expected else ""
            self.problems.append(Problem(place, f"column {offset + error.column}: {error.reason}{expected}"))
            return None
        self.holes.append(hole)
        return hole


def _all_constant(parts: Any) -> bool:
    return all(isinstance(part, _Constant) for part in parts)
