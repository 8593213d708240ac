r"""Regular expressions whose time is bounded, whoever wrote them and whatever they are given.

`re` backtracks: `(a+)+$` needs 2^n steps and `a.*b.*c` needs n^3. A pattern is therefore measured before it is used:
how many ways it can match at one place, and how many steps that takes. A repeat whose next character tells where it
ends (`\d+` before `\.`) has one way; one that can also match what follows (`.*` before `b`) has as many as the text is
long. What stays within `_STEPS` for a text of 10,000 characters is searched that far, what does so for 2,000 is
searched that far, and the rest is refused. The measure only ever errs towards refusing.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from re import _constants as sre
from re import _parser as sre_parser
from typing import Any, TypeAlias

from automation.conditions.values import Truth, plain

MAX_PATTERN = 1_000
MAX_GROUPS = 50
SUBJECT_LIMITS = (10_000, 2_000)
# A literal costs one, anything else eight. A pattern and a text that are both chosen to be slow take a fraction of a
# second at this limit.
_STEPS = 200_000_000
_STEP = 8
# Counts stop here, so that measuring a hostile pattern is itself bounded.
_TOO_MANY = _STEPS + 1
# A repeat that may go on this long counts as one without a bound.
_OPEN = 100

# Sets of characters are bits: one for each of ASCII, and four for the others, by the classes that patterns can name.
_ASCII = 128
_DIGITS, _LETTERS, _SPACES, _REST = (1 << bit for bit in range(_ASCII, _ASCII + 4))
_OTHERS = _DIGITS | _LETTERS | _SPACES | _REST
_ALL = (1 << (_ASCII + 4)) - 1
_Items: TypeAlias = Iterable[tuple[Any, Any]]


class UnsafePattern(Exception):
    """Why a pattern is refused."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a part of a pattern takes at one place of the text."""

    first: int
    empty: bool
    paths: int
    work: int


def matcher(pattern: str) -> Callable[[Any], Truth]:
    """`value MATCHES pattern`. Raises `UnsafePattern` for one that is wrong or could take too long."""
    compiled, limit = _compiled(pattern)
    search = compiled.search

    def matches(value: Any) -> Truth:
        kind, text = plain(value)
        return search(text[:limit]) is not None if kind == "string" else None

    return matches


def bounded(pattern: str) -> tuple[re.Pattern[str], int]:
    """The pattern, to be searched for, and how many characters of a text it may be given: then its time is bounded.

    Raises `UnsafePattern` for one that is wrong or could take too long.
    """
    return _compiled(pattern)


@functools.lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> tuple[re.Pattern[str], int]:
    if len(pattern) > MAX_PATTERN:
        raise UnsafePattern(f"the pattern has {len(pattern):,} characters; at most {MAX_PATTERN:,} are allowed")
    if pattern.count("(") > MAX_GROUPS:
        raise UnsafePattern(f"the pattern has too many groups; at most {MAX_GROUPS} are allowed")
    # A search need not begin or end with "anything": without it the time is linear instead of quadratic.
    pattern = re.sub(r"\A(?:\.\*\??)+(?![?+*{])|(?<!\\)(?:\.\*\??)+\Z", "", pattern)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = sre_parser.parse(pattern)
            compiled = re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise UnsafePattern(f"the pattern is not a regular expression: {error}") from None
    for limit in SUBJECT_LIMITS:
        if _steps(tree, limit) <= _STEPS:
            return compiled, limit
    raise UnsafePattern(
        "the pattern could take too long: several repeats can match the same text; "
        "say what they may not match, as in [^,]*, or use two conditions"
    )


def _steps(tree: Any, length: int) -> int:
    fold = bool(tree.state.flags & re.IGNORECASE)
    cost = _Measure(length).sequence(tree, 0, fold)
    anchors = (
        (sre.AT_BEGINNING_STRING,) if tree.state.flags & re.MULTILINE else (sre.AT_BEGINNING_STRING, sre.AT_BEGINNING)
    )
    anchored = len(tree) > 0 and tree[0][0] is sre.AT and tree[0][1] in anchors
    return length * _STEP + cost.work if anchored else length * max(cost.work, _STEP)


class _Measure:
    """Measures the parts of a pattern for a text of one length.

    `follow` is the set of characters that may come after a part; none at the end, where the search is over.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def sequence(self, items: _Items, follow: int, fold: bool) -> _Cost:
        first, empty, paths, work = 0, True, 1, 0
        for kind, details in reversed(list(items)):
            part = self.item(kind, details, follow, fold)
            work = part.work + part.paths * work
            paths *= part.paths
            follow = part.first | (follow if part.empty else 0)
            first = part.first | (first if part.empty else 0)
            empty = empty and part.empty
        return _Cost(first, empty, min(paths, _TOO_MANY), min(work, _TOO_MANY))

    def item(self, kind: Any, details: Any, follow: int, fold: bool) -> _Cost:
        if kind in _CHARACTERS:
            return _Cost(_characters(kind, details, fold), False, 1, 1 if kind is sre.LITERAL else _STEP)
        if kind is sre.AT:
            return _Cost(0, True, 1, _STEP)
        if kind is sre.SUBPATTERN:
            return self.sequence(details[3], follow, fold or bool(details[1] & re.IGNORECASE))
        if kind is sre.ATOMIC_GROUP:
            return self.sequence(details, follow, fold)
        if kind is sre.BRANCH:
            return self.branch(details[1], follow, fold)
        if kind in _REPEATS:
            return self.repeat(details[0], details[1], details[2], follow, fold)
        if kind in (sre.ASSERT, sre.ASSERT_NOT):
            return self.look_around(details[1], fold)
        if kind in (sre.GROUPREF, sre.GROUPREF_EXISTS):
            raise UnsafePattern("back-references are not allowed in a pattern: they can take too long")
        raise UnsafePattern(f"the pattern uses {str(kind).lower()}, which is not supported")

    def branch(self, choices: Sequence[_Items], follow: int, fold: bool) -> _Cost:
        parts = [self.sequence(choice, follow, fold) for choice in choices]
        seen, apart = 0, True
        for part in parts:
            begins = part.first | (follow if part.empty else 0)
            apart = apart and not seen & begins
            seen |= begins
        paths = [part.paths for part in parts]
        first = functools.reduce(int.__or__, (part.first for part in parts))
        work = sum(part.work + _STEP for part in parts)
        return _Cost(first, any(part.empty for part in parts), max(paths) if apart else sum(paths), work)

    def repeat(self, least: int, most: int, items: _Items, follow: int, fold: bool) -> _Cost:
        if most == 0:
            return _Cost(0, True, 1, _STEP)
        first = _first(items, fold)
        body = self.sequence(items, first | follow if most > 1 else follow, fold)
        if most > 1 and body.empty:
            raise UnsafePattern("the pattern repeats something that can be empty, which can take too long")
        if most >= _OPEN and _has_open(items):
            raise UnsafePattern("the pattern has a repeat within a repeat, which can take too long")
        if most >= _OPEN and body.paths > 1:
            raise UnsafePattern("the pattern repeats choices that can match the same text, which can take too long")
        times = min(most, self.length)
        # Where the next character tells whether to go on, there is nothing to go back to.
        ends = times - min(least, times) + 1 if first & follow else 1
        paths = body.paths ** min(times, _OPEN)
        work = times * max(body.work, _STEP) * paths
        return _Cost(first, least == 0 or body.empty, min(ends * paths, _TOO_MANY), min(work, _TOO_MANY))

    def look_around(self, items: _Items, fold: bool) -> _Cost:
        if _has_open(items):
            raise UnsafePattern("a repeat without a bound is not allowed in a look-around: it can take too long")
        return _Cost(0, True, 1, self.sequence(items, 0, fold).work)


_CHARACTERS = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)


def _inner(kind: Any, details: Any) -> list[_Items]:
    """The patterns within one item."""
    if kind is sre.SUBPATTERN:
        return [details[3]]
    if kind is sre.ATOMIC_GROUP:
        return [details]
    if kind is sre.BRANCH:
        return list(details[1])
    if kind in _REPEATS:
        return [details[2]]
    if kind in (sre.ASSERT, sre.ASSERT_NOT):
        return [details[1]]
    return []


def _has_open(items: _Items) -> bool:
    return any(
        (kind in _REPEATS and details[1] >= _OPEN) or any(_has_open(inner) for inner in _inner(kind, details))
        for kind, details in items
    )


def _first(items: _Items, fold: bool) -> int:
    """The characters that may begin a match of the items; more than can, rather than fewer."""
    first = 0
    for kind, details in items:
        if kind in _CHARACTERS:
            return first | _characters(kind, details, fold)
        if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
            continue
        inside = fold or (kind is sre.SUBPATTERN and bool(details[1] & re.IGNORECASE))
        for inner in _inner(kind, details):
            first |= _first(inner, inside)
        if not _may_be_empty(kind, details):
            return first
    return first


def _may_be_empty(kind: Any, details: Any) -> bool:
    if kind in _REPEATS:
        return details[0] == 0 or all(_may_be_empty(*item) for item in details[2])
    if kind is sre.BRANCH:
        return any(all(_may_be_empty(*item) for item in choice) for choice in details[1])
    if kind in (sre.SUBPATTERN, sre.ATOMIC_GROUP):
        return all(_may_be_empty(*item) for item in _inner(kind, details)[0])
    return kind not in _CHARACTERS


def _characters(kind: Any, details: Any, fold: bool) -> int:
    if kind is sre.ANY:
        return _ALL
    if kind is sre.LITERAL:
        return _range(details, details, fold)
    if kind is sre.NOT_LITERAL:
        return _without(_range(details, details, fold))
    found, negated = 0, False
    for part, value in details:
        if part is sre.NEGATE:
            negated = True
        elif part is sre.LITERAL:
            found |= _range(value, value, fold)
        elif part is sre.RANGE:
            found |= _range(value[0], value[1], fold)
        else:
            found |= _category(value)
    return _without(found) if negated else found


def _without(found: int) -> int:
    """All characters but those; of the others than ASCII only whole classes are ever named, so they all stay."""
    return _ALL & ~(found & ~_OTHERS)


def _range(low: int, high: int, fold: bool) -> int:
    if fold and high >= _ASCII:
        # Other alphabets fold into ASCII in places, as the Kelvin sign does into k.
        return _ALL
    found = _OTHERS if fold else 0
    for code in range(low, min(high + 1, _ASCII)):
        found |= 1 << code
        if fold:
            found |= 1 << ord(chr(code).swapcase())
    if high >= _ASCII:
        found |= _class_of(chr(high)) if low == high else _OTHERS
    return found


def _class_of(character: str) -> int:
    if character.isdecimal():
        return _DIGITS
    if character.isalnum():
        return _LETTERS
    return _SPACES if character.isspace() else _REST


_CATEGORIES: dict[str, tuple[int, Callable[[str], bool]]] = {
    "DIGIT": (_DIGITS, str.isdecimal),
    "SPACE": (_SPACES, str.isspace),
    "WORD": (_DIGITS | _LETTERS, lambda one: one.isalnum() or one == "_"),
}


def _category(category: Any) -> int:
    name = str(category)
    found, test = _CATEGORIES[name.rsplit("_", 1)[-1]]
    found |= sum(1 << code for code in range(_ASCII) if test(chr(code)))
    return _ALL & ~found if "_NOT_" in name else found
