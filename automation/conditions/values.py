"""What the operators do with values: kinds, comparison, arithmetic and three-valued logic.

Unknown is `None` throughout. Nothing here raises, whatever values events and metrics carry.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Truth: TypeAlias = bool | None

# Deeper values than this do not compare: unknown, rather than a stack that overflows.
_DEPTH = 20
# No float is as large; larger integers would only cost time.
_LIMIT = 2**1024

_NUMBER, _STRING, _BOOLEAN, _LIST, _MAPPING = "number", "string", "boolean", "list", "mapping"
_KINDS: dict[type, str] = {
    int: _NUMBER,
    float: _NUMBER,
    str: _STRING,
    bool: _BOOLEAN,
    list: _LIST,
    tuple: _LIST,
    dict: _MAPPING,
}


def known(value: Any) -> Any:
    """The value as it is, or None for what counts as no value: NaN."""
    return None if isinstance(value, float) and value != value else value


def step(holder: Any, part: str | int) -> Any:
    """One step along a path, through mappings by key and lists by index; never into the attributes of an object."""
    # Missing is the usual case here, and asking whether it is a mapping is the slow part.
    if holder is None:
        return None
    if isinstance(part, str):
        return holder.get(part) if isinstance(holder, Mapping) else None
    if isinstance(holder, list | tuple) and -len(holder) <= part < len(holder):
        return holder[part]
    return None


def plain(value: Any) -> tuple[str | None, Any]:
    """The kind of a value, and the value itself without what a subclass (an enum, a NumPy float) adds to it."""
    kind = _KINDS.get(type(value))
    if kind is None:
        return _plain_subclass(value)
    if kind is _NUMBER and value != value:
        return None, None
    return kind, value


def _plain_subclass(value: Any) -> tuple[str | None, Any]:
    if value is None:
        return None, None
    if isinstance(value, str):
        return _STRING, str.__str__(value)
    if isinstance(value, int):
        return _NUMBER, int.__int__(value)
    if isinstance(value, float):
        return plain(float.__float__(value))
    if isinstance(value, list | tuple):
        return _LIST, value
    if isinstance(value, Mapping):
        return _MAPPING, value
    return None, None


# --- three-valued logic ---------------------------------------------------------------------------------------------


def truth(value: Any) -> Truth:
    """A value where a condition is wanted: only a boolean says anything."""
    return value if value is True or value is False else None


def negate(value: Truth) -> Truth:
    return None if value is None else not value


def all_of(values: Iterable[Truth]) -> Truth:
    """AND: false as soon as one is false, unknown if one is unknown."""
    result: Truth = True
    for value in values:
        if value is False:
            return False
        if value is None:
            result = None
    return result


def any_of(values: Iterable[Truth]) -> Truth:
    """OR: true as soon as one is true, unknown if one is unknown."""
    result: Truth = False
    for value in values:
        if value is True:
            return True
        if value is None:
            result = None
    return result


# --- comparison -----------------------------------------------------------------------------------------------------


def equal(left: Any, right: Any, depth: int = 0) -> Truth:
    """Whether two values of one kind are the same."""
    kind, left = plain(left)
    other, right = plain(right)
    if kind is None or kind is not other or depth > _DEPTH:
        return None
    if kind is _LIST:
        if len(left) != len(right):
            return False
        return all_of(equal(a, b, depth + 1) for a, b in zip(left, right, strict=True))
    if kind is _MAPPING:
        if left.keys() != right.keys():
            return False
        return all_of(equal(left.get(key), right.get(key), depth + 1) for key in left)
    return bool(left == right)


def unequal(left: Any, right: Any) -> Truth:
    return negate(equal(left, right))


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Truth]:
    def ordered(left: Any, right: Any) -> Truth:
        kind, left = plain(left)
        other, right = plain(right)
        if kind is not other or (kind is not _NUMBER and kind is not _STRING):
            return None
        return compare(left, right)

    return ordered


less = _ordering(operator.lt)
less_equal = _ordering(operator.le)
greater = _ordering(operator.gt)
greater_equal = _ordering(operator.ge)

COMPARE: dict[str, Callable[[Any, Any], Truth]] = {
    "==": equal,
    "!=": unequal,
    "<": less,
    "<=": less_equal,
    ">": greater,
    ">=": greater_equal,
}


# --- the comparisons that are words ---------------------------------------------------------------------------------


def is_in(value: Any, items: Any) -> Truth:
    """`value == items[0] OR value == items[1] OR ...`"""
    kind, items = plain(items)
    return any_of(equal(value, item) for item in items) if kind is _LIST else None


def not_in(value: Any, items: Any) -> Truth:
    return negate(is_in(value, items))


def contains(holder: Any, value: Any) -> Truth:
    """Whether a list has an equal item, a string the other string within it, a mapping the key."""
    kind, holder = plain(holder)
    if kind is _LIST:
        return is_in(value, holder)
    other, value = plain(value)
    if other is not _STRING or (kind is not _STRING and kind is not _MAPPING):
        return None
    return value in holder


def _strings(test: Callable[[str, str], bool]) -> Callable[[Any, Any], Truth]:
    def tested(left: Any, right: Any) -> Truth:
        kind, left = plain(left)
        other, right = plain(right)
        return test(left, right) if kind is _STRING and other is _STRING else None

    return tested


RELATE: dict[str, Callable[[Any, Any], Truth]] = {
    "IN": is_in,
    "NOT IN": not_in,
    "CONTAINS": contains,
    "STARTS WITH": _strings(str.startswith),
    "ENDS WITH": _strings(str.endswith),
}


# --- arithmetic -----------------------------------------------------------------------------------------------------


def _arithmetic(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], int | float | None]:
    def calculated(left: Any, right: Any) -> int | float | None:
        kind, left = plain(left)
        other, right = plain(right)
        if kind is not _NUMBER or other is not _NUMBER:
            return None
        try:
            result: int | float = calculate(left, right)
        except (ZeroDivisionError, OverflowError):
            return None
        return result if -_LIMIT < result < _LIMIT else None

    return calculated


CALCULATE: dict[str, Callable[[Any, Any], int | float | None]] = {
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(operator.mod),
}


def negative(value: Any) -> int | float | None:
    """`-value`"""
    kind, number = plain(value)
    return -number if kind is _NUMBER else None
