"""The condition language of ansible-rulebook: text to tree.

Written after its own grammar (`condition_parser.py` of ansible-rulebook 1.3). What differs from most languages: `and`
and `or` have the same precedence and are read from left to right; `not` binds weaker than comparisons; each of `>=`,
`<=`, `<` and `>`, `!=`, `==` has a precedence of its own; a bare word is a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_LENGTH = 10_000
MAX_DEPTH = 20
MAX_OPERATORS = 80
"""What our own conditions may be deep."""


class Unparsable(Exception):
    """A condition that ansible-rulebook would refuse as well."""


@dataclass(frozen=True, slots=True)
class Path:
    """`event.a["b"][0]`: where it begins, and the way from there."""

    root: str
    parts: tuple[str | int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Value:
    """A string, number, boolean or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Values:
    """A list of values and paths."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """What may stand behind `is`: `match`, `search`, `regex`, `select` and `selectattr`, with arguments."""

    kind: str
    arguments: tuple[Expression, ...]
    options: dict[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`"""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negation:
    """`not operand`"""

    operand: Expression


Expression = Path | Value | Values | Test | Binary | Negation


class Parsed(NamedTuple):
    """A condition."""

    tree: Expression
    mixed: bool
    """Whether `and` and `or` stand side by side without parentheses."""


# From the weakest to the strongest; `not` is a level of its own.
_NOT = ("not",)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("<<",),
    ("and", "or"),
    _NOT,
    ("in", "not in", "contains", "not contains"),
    ("is", "is not"),
    ("==",),
    ("!=",),
    ("<", ">"),
    ("<=",),
    (">=",),
    ("+", "-"),
    ("*", "/"),
)
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'[^'\n]*'|"[^"\n]*")
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
    | (?P<path>(?:events|event|facts|fact|vars)\b(?:\.[A-Za-z_]\w*|\[(?:'[^'\n]*'|"[^"\n]*"|[+-]?\d+)\])*)
    | (?P<words>(?:is\ not|not\ in|not\ contains)(?![A-Za-z0-9_]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><<|>=|<=|==|!=|[-+*/<>()\[\],=])
    )""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_PART = re.compile(r"""\.([A-Za-z_]\w*)|\['([^']*)'\]|\["([^"]*)"\]|\[([+-]?\d+)\]""", re.ASCII)
_WHITE = {"t": "\t", "n": "\n", "f": "\f", "r": "\r"}
_TESTS = ("match", "search", "regex", "select", "selectattr")
_CONSTANTS: dict[str, bool | None] = {"true": True, "True": True, "false": False, "False": False, "null": None}


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(text: str) -> Parsed:
    """The tree of a condition. Raises Unparsable, which says the column."""
    if len(text) > MAX_LENGTH:
        raise Unparsable(f"has more than {MAX_LENGTH:,} characters")
    parser = _Parser(list(_tokens(text)))
    tree = parser.level(0)
    if parser.next.kind != "end":
        raise parser.unexpected()
    return Parsed(tree, parser.mixed)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    end = len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            raise Unparsable(f"cannot be read at column {at + 1}: {text[at : at + 20]!r}")
        word = found[found.lastgroup]
        yield _Token("word" if found.lastgroup == "words" else found.lastgroup, word, found.start(found.lastgroup) + 1)
        position = found.end()
    yield _Token("end", "", end + 1)


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._operators = 0
        self.mixed = False

    @property
    def next(self) -> _Token:
        return self._tokens[self._place]

    def unexpected(self) -> Unparsable:
        shown = repr(self.next.text) if self.next.text else "the end"
        return Unparsable(f"does not expect {shown} at column {self.next.column}")

    def level(self, number: int) -> Expression:
        """What binds as strongly as the level of this number, or stronger."""
        if number == len(_LEVELS):
            return self._operand()
        words = _LEVELS[number]
        if words is _NOT:
            return self._negation(number)
        left = self.level(number + 1)
        seen = set()
        while (operator := self._operator(words)) is not None:
            seen.add(operator)
            left = Binary(operator, left, self.level(number + 1))
        self.mixed = self.mixed or {"and", "or"} <= seen
        return left

    def _operator(self, words: tuple[str, ...]) -> str | None:
        token = self.next
        # Only `in` and `contains` are read in upper case as well.
        text = token.text.lower() if "in" in words else token.text
        if token.kind not in ("word", "sign") or text not in words:
            return None
        self._count()
        return text

    def _count(self) -> None:
        self._place += 1
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise Unparsable(f"has more than {MAX_OPERATORS} operators")

    def _negation(self, number: int) -> Expression:
        if self.next != ("word", "not", self.next.column):
            return self.level(number + 1)
        self._count()
        with_operand = self._deeper(number)
        return Negation(with_operand)

    def _deeper(self, number: int) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unparsable(f"is nested deeper than {MAX_DEPTH} levels")
        found = self.level(number)
        self._depth -= 1
        return found

    def _take(self, sign: str) -> None:
        if self.next.kind != "sign" or self.next.text != sign:
            raise self.unexpected()
        self._place += 1

    def _comes(self, sign: str) -> bool:
        if self.next.kind == "sign" and self.next.text == sign:
            self._place += 1
            return True
        return False

    def _operand(self) -> Expression:
        if self._comes("("):
            found = self._deeper(0)
            self._take(")")
            return found
        if self._comes("["):
            return self._list()
        token = self.next
        if token.kind == "word" and token.text in _TESTS and self._tokens[self._place + 1].text == "(":
            return self._test()
        return self._plain()

    def _list(self) -> Values:
        items = [self._plain()]
        while self._comes(","):
            items.append(self._plain())
        self._take("]")
        return Values(tuple(items))

    def _plain(self) -> Expression:
        negative = self._comes("-")
        token = self.next
        if negative and token.kind != "number":
            raise self.unexpected()
        self._place += 1
        if token.kind == "number":
            return Value(_number(token.text) * (-1 if negative else 1))
        if token.kind == "string":
            return Value(re.sub(r"\\([tnfr])", lambda found: _WHITE[found[1]], token.text[1:-1]))
        if token.kind == "path":
            return _path(token.text)
        if token.kind == "word" and token.text in _CONSTANTS:
            return Value(_CONSTANTS[token.text])
        if token.kind == "word" and token.text.isalnum():
            return Value(token.text)
        self._place -= 1
        raise self.unexpected()

    def _test(self) -> Test:
        kind = self.next.text
        self._place += 1
        self._take("(")
        arguments: list[Expression] = []
        options: dict[str, str | int | float | bool | None] = {}
        while not self._comes(")"):
            if arguments or options:
                self._take(",")
            following = self._tokens[self._place + 1] if self.next.kind != "end" else self.next
            if self.next.kind == "word" and (following.kind, following.text) == ("sign", "="):
                name = self.next.text
                self._place += 2
                value = self._plain()
                if not isinstance(value, Value):
                    raise self.unexpected()
                options[name] = value.value
            else:
                arguments.append(self._list() if self._comes("[") else self._plain())
        return Test(kind, tuple(arguments), options)


def _number(text: str) -> int | float:
    if len(text) > 300:
        raise Unparsable("has a number with more than 300 digits")
    number = int(text) if text.isdigit() else float(text)
    if number == float("inf"):
        raise Unparsable(f"has a number that is too large: {text}")
    return number


def _path(text: str) -> Path:
    root = re.split(r"[.\[]", text, maxsplit=1)[0]
    parts: list[str | int] = []
    for found in _PART.finditer(text, len(root)):
        name, single, double, index = found.groups()
        if index is not None:
            parts.append(int(index[:10]))
        else:
            parts.append(next(each for each in (name, single, double) if each is not None))
    return Path(root, tuple(parts), text)
