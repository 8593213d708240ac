"""Text to tree. Lark is imported, and its tables built, when the first text is parsed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from automation.conditions import mistakes
from automation.conditions.functions import canonical
from automation.conditions.syntax import (
    And,
    Arithmetic,
    Calculate,
    Call,
    Compare,
    Comparison,
    IsNull,
    ListOf,
    Literal,
    Mistake,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Or,
    Relate,
    Relation,
    is_plain_name,
    unquoted,
)
from automation.conditions.units import parse_number
from automation.errors import ConditionError

if TYPE_CHECKING:
    from lark import Lark, Token

MAX_LENGTH = 10_000
MAX_DEPTH = 100
MAX_NODES = 1_000
MAX_ITEMS = 1_000


def parse(text: str) -> Node:
    """The tree of a condition or an expression. Raises `ConditionError`, which points at the column."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(
            f"{text[:60]}...", 1, f"the text has {len(text):,} characters; at most {MAX_LENGTH:,} are allowed"
        )
    import lark

    try:
        built = cast(_Built, _parser().parse(text))
    except Mistake as mistake:
        raise mistakes.located(text, mistake) from None
    except lark.UnexpectedToken as error:
        raise mistakes.unexpected_token(text, error) from None
    except lark.UnexpectedCharacters as error:
        raise mistakes.unexpected_character(text, error.pos_in_stream or 0) from None
    return built.node


@functools.lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    grammar = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    # The builder only has the methods that Lark looks up by name; a Transformer would need Lark when this is imported.
    return Lark(grammar, parser="lalr", lexer="basic", transformer=cast(Any, _Builder()))


class _Built(NamedTuple):
    """A node and the size of its tree, so that limits hold while parsing and nothing recurses without bound."""

    node: Node
    depth: int
    size: int


_Parts: TypeAlias = "Sequence[_Built | Token]"


def _place(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _operands(parts: _Parts) -> list[_Built]:
    return [part for part in parts if isinstance(part, _Built)]


def _over(node: Node, parts: Iterable[_Built], extra: int = 0) -> _Built:
    """The node over its parts, or a refusal if that makes the tree too large."""
    depth, size = 1, 1 + extra
    for part in parts:
        depth = max(depth, part.depth + 1)
        size += part.size
    return _checked(node, depth, size)


def _checked(node: Node, depth: int, size: int) -> _Built:
    if depth > MAX_DEPTH:
        raise Mistake(node.column, f"nested too deep; at most {MAX_DEPTH} levels are allowed")
    if size > MAX_NODES:
        raise Mistake(node.column, f"too long; at most {MAX_NODES:,} names, values and operators are allowed")
    return _Built(node, depth, size)


class _Builder:
    """One method for each rule of the grammar, called by the parser as soon as it has seen the rule's parts."""

    def start(self, parts: Sequence[_Built]) -> _Built:
        return parts[0]

    def disjunction(self, parts: Sequence[_Built]) -> _Built:
        return _over(Or(tuple(part.node for part in parts), parts[0].node.column), parts)

    def conjunction(self, parts: Sequence[_Built]) -> _Built:
        return _over(And(tuple(part.node for part in parts), parts[0].node.column), parts)

    def negation(self, parts: _Parts) -> _Built:
        (operand,) = _operands(parts)
        return _over(Not(operand.node, _place(cast("Token", parts[0]))), [operand])

    def chain(self, parts: _Parts) -> _Built:
        operands = _operands(parts)
        signs = [str(part) for part in parts if not isinstance(part, _Built)]
        nodes = tuple(operand.node for operand in operands)
        operators = tuple(cast(Compare, "==" if sign == "=" else sign) for sign in signs)
        return _over(Comparison(operators, nodes, nodes[0].column), operands)

    def relation(self, parts: _Parts) -> _Built:
        left, right = _operands(parts)
        words = " ".join(str(part) for part in parts if not isinstance(part, _Built))
        operator = cast(Relate, " ".join(words.upper().split()))
        return _over(Relation(operator, left.node, right.node, left.node.column), [left, right])

    def is_null(self, parts: _Parts) -> _Built:
        (operand,) = _operands(parts)
        # IS NULL or IS NOT NULL: one token more.
        return _over(IsNull(operand.node, len(parts) == 4, operand.node.column), [operand])

    def sum(self, parts: _Parts) -> _Built:
        left = cast(_Built, parts[0])
        for sign, part in zip(parts[1::2], parts[2::2], strict=True):
            right = cast(_Built, part)
            node = Arithmetic(cast(Calculate, str(sign)), left.node, right.node, left.node.column)
            left = _over(node, [left, right])
        return left

    product = sum

    def negative(self, parts: _Parts) -> _Built:
        (operand,) = _operands(parts)
        return _over(Negative(operand.node, _place(cast("Token", parts[0]))), [operand])

    def number(self, parts: Sequence[Token]) -> _Built:
        (token,) = parts
        return _Built(Number(str(token), parse_number(token, _place(token)), _place(token)), 1, 1)

    def string(self, parts: Sequence[Token]) -> _Built:
        return _Built(Literal(unquoted(parts[0]), _place(parts[0])), 1, 1)

    def true(self, parts: Sequence[Token]) -> _Built:
        return _Built(Literal(True, _place(parts[0])), 1, 1)

    def false(self, parts: Sequence[Token]) -> _Built:
        return _Built(Literal(False, _place(parts[0])), 1, 1)

    def null(self, parts: Sequence[Token]) -> _Built:
        return _Built(Literal(None, _place(parts[0])), 1, 1)

    def path(self, parts: Sequence[Any]) -> _Built:
        root = str(parts[0])
        roots = [root[1:-1]] if root.startswith("`") else root.split(".")
        if root.startswith("`") and is_plain_name(roots[0]):
            raise Mistake(
                _place(parts[0]), f"{roots[0]} is a name without backticks, and a string is written in ' or \""
            )
        return _checked(Name((*roots, *parts[1:]), _place(parts[0])), 1, 1)

    def tail(self, parts: Sequence[Token]) -> str:
        return parts[0][1:]

    def key(self, parts: Sequence[Token]) -> str:
        return unquoted(parts[-1])

    def index(self, parts: Sequence[Token]) -> int:
        digits = str(parts[-1])
        if not digits.isdigit() or len(digits) > 9:
            raise Mistake(_place(parts[-1]), f"{digits} is not an index", "a whole number or a string")
        return -int(digits) if len(parts) == 3 else int(digits)

    def call(self, parts: Sequence[Any]) -> _Built:
        name, arguments = parts[0], parts[1:]
        column = _place(name)
        node = Call(canonical(str(name)), tuple(part.node for part in arguments), column)
        return _over(node, arguments)

    def list(self, parts: Sequence[Any]) -> _Built:
        items: Sequence[_Built] = parts[1:]
        node = ListOf(tuple(item.node for item in items), _place(parts[0]))
        if len(items) > MAX_ITEMS:
            raise Mistake(node.column, f"the list has {len(items):,} items; at most {MAX_ITEMS:,} are allowed")
        # Plain items are counted by the limit above.
        return _over(node, [item for item in items if not isinstance(item.node, Literal | Number)])

    def group(self, parts: Sequence[_Built]) -> _Built:
        return _checked(parts[0].node, parts[0].depth + 1, parts[0].size)
