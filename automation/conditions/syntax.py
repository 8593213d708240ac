"""The typed tree of a condition, and its canonical text.

Nodes are frozen and compare by what they say; `column` (from 1) is where the text of a node starts and does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal as OneOf
from typing import TypeAlias

Compare: TypeAlias = OneOf["==", "!=", "<", "<=", ">", ">="]
Relate: TypeAlias = OneOf["IN", "NOT IN", "CONTAINS", "MATCHES", "STARTS WITH", "ENDS WITH"]
Calculate: TypeAlias = OneOf["+", "-", "*", "/", "%"]


class Mistake(Exception):
    """What is wrong and where, before the whole text is known; becomes a `ConditionError`."""

    def __init__(self, column: int, reason: str, *expected: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason
        self.expected = expected


def _column() -> int:
    """The place of a node, which two equal nodes need not share."""
    return field(default=1, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, `true`, `false` or `null`."""

    value: str | bool | None
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written, with its unit, and what it is worth: `5m` is 300."""

    text: str
    value: int | float
    column: int = _column()

    @property
    def percent(self) -> bool:
        return self.text.endswith("%")


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`"""

    items: tuple[Node, ...]
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Name:
    """A path into the names: `event.data.hosts[0]` is `("event", "data", "hosts", 0)`."""

    parts: tuple[str | int, ...]
    column: int = _column()

    @property
    def root(self) -> str:
        return str(self.parts[0])


@dataclass(frozen=True, slots=True)
class Slot:
    """How long the rest of an AND group has held; takes the place of `duration` while a condition is held."""

    index: int
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Call:
    """`avg(latency, 10m)`"""

    function: str
    arguments: tuple[Node, ...]
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Negative:
    """`-x`"""

    operand: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`a + b`"""

    operator: Calculate
    left: Node
    right: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a < b`, or a chain such as `a < b <= c`, with one operator fewer than operands."""

    operators: tuple[Compare, ...]
    operands: tuple[Node, ...]
    column: int = _column()

    @property
    def pairs(self) -> Iterator[tuple[Compare, Node, Node]]:
        return zip(self.operators, self.operands, self.operands[1:], strict=False)


@dataclass(frozen=True, slots=True)
class Relation:
    """`a IN b`, `a CONTAINS b` and the other comparisons that are written as words."""

    operator: Relate
    left: Node
    right: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class IsNull:
    """`a IS NULL`, or `a IS NOT NULL` where negated."""

    operand: Node
    negated: bool = False
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT a`"""

    operand: Node
    column: int = _column()


@dataclass(frozen=True, slots=True)
class And:
    """`a AND b AND c`"""

    operands: tuple[Node, ...]
    column: int = _column()


@dataclass(frozen=True, slots=True)
class Or:
    """`a OR b OR c`"""

    operands: tuple[Node, ...]
    column: int = _column()


Node: TypeAlias = (
    Literal
    | Number
    | ListOf
    | Name
    | Slot
    | Call
    | Negative
    | Arithmetic
    | Comparison
    | Relation
    | IsNull
    | Not
    | And
    | Or
)
Logical = And | Or | Not | Comparison | Relation | IsNull

DURATION = Name(("duration",))


def children(node: Node) -> tuple[Node, ...]:
    """The direct sub-expressions of a node, in the order they are written."""
    match node:
        case And(operands) | Or(operands):
            return operands
        case Comparison(operands=operands):
            return operands
        case Relation(left=left, right=right) | Arithmetic(left=left, right=right):
            return left, right
        case Not(operand) | IsNull(operand) | Negative(operand):
            return (operand,)
        case ListOf(items):
            return items
        case Call(arguments=arguments):
            return arguments
        case _:
            return ()


def rebuilt(node: Node, parts: Iterable[Node]) -> Node:
    """The node with other direct sub-expressions, as many as `children` gives."""
    new = tuple(parts)
    match node:
        case And():
            return And(new, node.column)
        case Or():
            return Or(new, node.column)
        case Comparison():
            return Comparison(node.operators, new, node.column)
        case Relation():
            return Relation(node.operator, new[0], new[1], node.column)
        case Arithmetic():
            return Arithmetic(node.operator, new[0], new[1], node.column)
        case Not():
            return Not(new[0], node.column)
        case IsNull():
            return IsNull(new[0], node.negated, node.column)
        case Negative():
            return Negative(new[0], node.column)
        case ListOf():
            return ListOf(new, node.column)
        case Call():
            return Call(node.function, new, node.column)
        case _:
            return node


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, each before its own sub-expressions."""
    yield node
    for child in children(node):
        yield from walk(child)


# The levels of precedence: a sub-expression weaker than its place asks for is put in parentheses.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY, _ATOM = range(1, 9)
_PLAIN_PART = re.compile(r"[A-Za-z0-9_]+")
_PLAIN_NAME = re.compile(r"(?!(?i:and|or|not|in|is|null|true|false|contains|matches)$)[A-Za-z_][A-Za-z0-9_]*")


def is_plain_name(name: str) -> bool:
    """Whether this is a name in the language as it is; any other stands in backticks."""
    return _PLAIN_NAME.fullmatch(name) is not None


def to_text(node: Node) -> str:
    """The canonical text of a tree: parsing it gives the same tree again."""
    return _print(node, _OR)


def _print(node: Node, needed: int) -> str:
    text, level = _parts(node)
    return text if level >= needed else f"({text})"


def _parts(node: Node) -> tuple[str, int]:
    match node:
        case Or(operands):
            return " OR ".join(_print(operand, _AND) for operand in operands), _OR
        case And(operands):
            return " AND ".join(_print(operand, _NOT) for operand in operands), _AND
        case Not(operand):
            return f"NOT {_print(operand, _NOT)}", _NOT
        case Comparison(operators, operands):
            words = [_print(operands[0], _SUM)]
            for operator, operand in zip(operators, operands[1:], strict=True):
                words += [operator, _print(operand, _SUM)]
            return " ".join(words), _COMPARE
        case Relation(operator, left, right):
            return f"{_print(left, _SUM)} {operator} {_print(right, _SUM)}", _COMPARE
        case IsNull(operand, negated):
            return f"{_print(operand, _SUM)} IS {'NOT ' if negated else ''}NULL", _COMPARE
        case Arithmetic(operator, left, right):
            level = _SUM if operator in "+-" else _PRODUCT
            return f"{_print(left, level)} {operator} {_print(right, level + 1)}", level
        case Negative(operand):
            return f"-{_print(operand, _UNARY)}", _UNARY
        case ListOf(items):
            return f"[{', '.join(map(to_text, items))}]", _ATOM
        case Call(function, arguments):
            return f"{function}({', '.join(map(to_text, arguments))})", _ATOM
        case Name(parts):
            return path_text(parts), _ATOM
        case Slot():
            return "duration", _ATOM
        case Number(text):
            return text, _ATOM
        case Literal(value):
            return quoted(value) if isinstance(value, str) else {True: "true", False: "false", None: "null"}[
                value
            ], _ATOM


def path_text(parts: Iterable[str | int]) -> str:
    """`("event", "hosts", 0)` as `event.hosts[0]`."""
    root, *rest = parts
    text = str(root) if is_plain_name(str(root)) else f"`{root}`"
    for part in rest:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_PART.fullmatch(part):
            text += f".{part}"
        else:
            text += f"[{quoted(part)}]"
    return text


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"""\\(?:([\\"'nrt])|u([0-9A-Fa-f]{4}))""")


def quoted(value: str) -> str:
    """A string as it is written in a condition."""
    return f'"{"".join(map(_escaped, value))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() or ord(character) > 0xFFFF else f"\\u{ord(character):04x}"


def unquoted(text: str) -> str:
    """What a string in a condition says. A backslash before any other character stays, so `'\\d+'` is a pattern."""
    return _ESCAPE.sub(lambda found: _UNESCAPES[found[1]] if found[1] else chr(int(found[2], 16)), text[1:-1])
