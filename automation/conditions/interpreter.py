"""Walks the tree: slower than the compiled function, and able to show the value of each part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

from automation.conditions import values as kinds
from automation.conditions.functions import FUNCTIONS, is_windowed
from automation.conditions.regex_safety import matcher
from automation.conditions.syntax import (
    And,
    Arithmetic,
    Call,
    Comparison,
    IsNull,
    ListOf,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Or,
    Relation,
    Slot,
    children,
    to_text,
)
from automation.conditions.windows import Gap, read


class Names(Protocol):
    """What a condition reads from: a mapping, or anything with its `get`."""

    @overload
    def get(self, name: str, /) -> Any: ...
    @overload
    def get(self, name: str, default: Any, /) -> Any: ...


_MISSING = object()


def look_up(names: Names, parts: Sequence[str | int]) -> Any:
    """The value of a path, None if any part of it is missing."""
    value = names.get(str(parts[0]))
    for part in parts[1:]:
        value = kinds.step(value, part)
    return kinds.known(value)


def is_null(names: Names, parts: Sequence[str | int]) -> bool:
    """Whether the path is there, and leads to null: what is computed with it is unknown, but it can be passed on."""
    value = names.get(str(parts[0]), _MISSING)
    for part in parts[1:]:
        if isinstance(value, Mapping):
            value = value.get(part, _MISSING)
        else:
            value = kinds.step(value, part) if isinstance(value, list | tuple) and _within(value, part) else _MISSING
    return value is None


def _within(value: Sequence[Any], part: str | int) -> bool:
    return isinstance(part, int) and -len(value) <= part < len(value)


def interpret(node: Node, names: Names, held: Sequence[float | None] = ()) -> Any:
    """The value of a tree, None if unknown."""
    if isinstance(node, Name):
        return look_up(names, node.parts)
    if isinstance(node, Slot):
        return held[node.index]
    if isinstance(node, Call) and is_windowed(node):
        return read(names, to_text(node))
    return _apply(node, [interpret(child, names, held) for child in children(node)])


def _apply(node: Node, found: Sequence[Any]) -> Any:
    """The value of a node from those of its parts."""
    match node:
        case Literal(value) | Number(value=value):
            return value
        case And():
            return kinds.all_of(map(kinds.truth, found))
        case Or():
            return kinds.any_of(map(kinds.truth, found))
        case Not():
            return kinds.negate(kinds.truth(found[0]))
        case Comparison(operators):
            pairs = zip(operators, found, found[1:], strict=False)
            return kinds.all_of(kinds.COMPARE[operator](left, right) for operator, left, right in pairs)
        case Relation("MATCHES"):
            return _matches(node, found[0])
        case Relation(operator):
            return kinds.RELATE[operator](found[0], found[1])
        case IsNull(negated=negated):
            return (found[0] is None) is not negated
        case Arithmetic(operator):
            return kinds.CALCULATE[operator](found[0], found[1])
        case Negative():
            return kinds.negative(found[0])
        case ListOf():
            return list(found)
        case Call(function):
            apply = FUNCTIONS[function].apply
            assert apply is not None, "check_call refuses it before"
            return apply(*found)
        case _:
            raise AssertionError(f"{type(node).__name__} has no parts")


def _matches(node: Relation, value: Any) -> kinds.Truth:
    pattern = node.right
    if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
        return None
    return matcher(pattern.value)(value)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A sub-expression, where it starts, its value (None is unknown) and those of its own parts."""

    text: str
    value: Any
    column: int
    children: tuple[Explanation, ...] = ()
    reason: str = ""
    """Why a window is unknown."""

    def __str__(self) -> str:
        return "\n".join(self._lines(0))

    def _lines(self, level: int) -> Iterator[str]:
        reason = f" ({self.reason})" if self.reason else ""
        yield f"{'  ' * level}{self.text}  →  {shown(self.value)}{reason}"
        for child in self.children:
            yield from child._lines(level + 1)


def shown(value: Any) -> str:
    """A value as a person reads it, short."""
    if value is None:
        return "unknown"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def explain(node: Node, names: Names) -> Explanation:
    """The value of each sub-expression. Plain literals are left out: they say what they are."""
    if isinstance(node, Name):
        return Explanation(to_text(node), look_up(names, node.parts), node.column)
    if isinstance(node, Call) and is_windowed(node):
        text = to_text(node)
        found = names.get(text)
        return Explanation(text, read(names, text), node.column, reason=found.reason if isinstance(found, Gap) else "")
    parts = [explain(child, names) for child in children(node)]
    value = _apply(node, [part.value for part in parts])
    telling = tuple(part for part, child in zip(parts, children(node), strict=True) if not _is_plain(child))
    return Explanation(to_text(node), value, node.column, telling)


def _is_plain(node: Node) -> bool:
    match node:
        case Number(text, value):
            return text == str(value)
        case ListOf(items):
            return all(map(_is_plain, items))
        case Literal():
            return True
        case _:
            return False
