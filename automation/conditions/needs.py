"""What must be there for a tree to be true: the values that paths must have, and the names that must be known.

Both are told on the safe side. What they exclude cannot be true; what they let pass may still be false. An index of
conditions looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import TypeAlias

from automation.conditions.syntax import (
    And,
    Arithmetic,
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
    walk,
)

Parts: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = str | int | float
_Values: TypeAlias = frozenset[Value] | None
"""One of these; None is any."""
_Names: TypeAlias = frozenset[str] | None
"""At least one of these; None is without any."""

_EVENT_TYPE = ("event", "type")


def event_types(tree: Node) -> frozenset[str] | None:
    """The values of `event.type` without which the tree cannot be true; None if it could be true with any."""
    found = _values(tree, Name(_EVENT_TYPE), True)
    return None if found is None else frozenset(value for value in found if isinstance(value, str))


def values(tree: Node) -> Mapping[Parts, frozenset[Value]]:
    """For each path that must equal one of some constants for the tree to be true: those constants."""
    paths = {node.parts: node for node in walk(tree) if isinstance(node, Name)}
    found = ((parts, _values(tree, node, True)) for parts, node in paths.items())
    return {parts: constants for parts, constants in found if constants is not None}


def names(tree: Node) -> frozenset[str] | None:
    """Names of which at least one must be known; None if it could be true without. `event.data.x` counts as `x`."""
    return _names(tree, True)


def _values(node: Node, path: Name, wanted: bool) -> _Values:
    match node:
        case Not(operand):
            return _values(operand, path, not wanted)
        case And(operands) | Or(operands):
            all_needed = isinstance(node, And) is wanted
            return (_all if all_needed else _any)(_values(operand, path, wanted) for operand in operands)
        case Comparison():
            pairs = (_pair_values(operator, left, right, path, wanted) for operator, left, right in node.pairs)
            return (_all if wanted else _any)(pairs)
        case Relation("IN" | "NOT IN" as operator, left, ListOf(items)) if (
            left == path and (operator == "IN") is wanted
        ):
            constants = [_constant(item) for item in items]
            return None if None in constants else frozenset(value for value in constants if value is not None)
    return None


def _pair_values(operator: str, left: Node, right: Node, path: Name, wanted: bool) -> _Values:
    if operator != ("==" if wanted else "!="):
        return None
    if right == path:
        left, right = right, left
    constant = _constant(right) if left == path else None
    return None if constant is None else frozenset((constant,))


def _constant(node: Node) -> Value | None:
    match node:
        case Literal(value) if value is not None:
            return value
        case Number(value=number):
            return number
    return None


def _names(node: Node, wanted: bool) -> _Names:
    match node:
        case Name():
            return _known(node)
        case Not(operand):
            return _names(operand, not wanted)
        case And(operands) | Or(operands):
            all_needed = isinstance(node, And) is wanted
            return (_least if all_needed else _union)(_names(operand, wanted) for operand in operands)
        case Comparison():
            # A chain is false as soon as one pair is, whatever the others are.
            pairs = (_least((_known(left), _known(right))) for _, left, right in node.pairs)
            return (_least if wanted else _union)(pairs)
        case Relation(left=left, right=right):
            return _least((_known(left), _known(right)))
        case IsNull(operand, negated) if negated is wanted:
            return _known(operand)
    return None


def _known(node: Node) -> _Names:
    """The name without which the value is unknown."""
    match node:
        case Name(parts):
            name = _carried(parts)
            return None if name is None else frozenset((name,))
        case Negative(operand):
            return _known(operand)
        case Arithmetic(left=left, right=right):
            return _least((_known(left), _known(right)))
    return None


def _carried(parts: Parts) -> str | None:
    if parts[0] != "event":
        return str(parts[0])
    if len(parts) > 2 and parts[1] == "data" and isinstance(parts[2], str):
        return parts[2]
    # Every event has all else that it may have.
    return None


def _all(parts: Iterable[_Values]) -> _Values:
    """All must hold: what is possible for each."""
    found = [part for part in parts if part is not None]
    return reduce(frozenset.intersection, found) if found else None


def _any(parts: Iterable[_Values]) -> _Values:
    """One must hold: what is possible for one, unless one is possible with anything."""
    found = list(parts)
    union: Callable[[frozenset[Value], frozenset[Value]], frozenset[Value]] = frozenset.union
    return None if None in found else reduce(union, (part for part in found if part is not None))


def _least(parts: Iterable[_Names]) -> _Names:
    """All must hold: the fewest names that one of them needs."""
    return min((part for part in parts if part is not None), key=len, default=None)


def _union(parts: Iterable[_Names]) -> _Names:
    """One must hold: what any of them needs, unless one needs nothing."""
    found = list(parts)
    union: Callable[[frozenset[str], frozenset[str]], frozenset[str]] = frozenset.union
    return None if None in found else reduce(union, (part for part in found if part is not None))
