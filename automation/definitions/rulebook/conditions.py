"""Conditions of ansible-rulebook in our language.

Both are true for the same events, with the differences that the documentation names. A condition is built as a tree of
ours and printed, so that parentheses stand where our precedence needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from automation.conditions import compile_condition, syntax
from automation.conditions.syntax import Node
from automation.definitions.rulebook.layout import Layout
from automation.definitions.rulebook.syntax import (
    Binary,
    Expression,
    Negation,
    Path,
    Test,
    Unparsable,
    Value,
    Values,
    parse,
)
from automation.errors import ConditionError

_ALIKE = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ARITHMETIC = frozenset({"+", "-", "*", "/"})
# What stands for itself in a regular expression.
_LITERAL = re.compile(r"[\w\s/:@,;=<>&%!~'\"#-]+")


class NoEquivalent(Exception):
    """Something that cannot be said here; the message says what, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the names in a condition mean."""

    layout: Layout
    variables: Mapping[str, Any] | None = None
    """What `vars` holds, if it was given."""
    steps: frozenset[str] = frozenset()
    """The names of events that came before, as `events.<name>` has them."""
    used: set[str] = field(default_factory=set)
    """Which of those were named."""

    def name(self, path: Path) -> Node:
        """The name, or the value, that a path stands for."""
        if path.root == "vars":
            return _literal(self._variable(path))
        if path.root in ("fact", "facts"):
            raise NoEquivalent(f"{path.text} is a fact, which has no equivalent: have the events carry it as data")
        if path.root == "event":
            return syntax.Name(self.layout.name(path.parts))
        step = str(path.parts[0]) if path.parts else ""
        if step == "m" and "m_0" in self.steps:
            step = "m_0"
        if step not in self.steps:
            raise NoEquivalent(f"{path.text} names no other event of this rule")
        self.used.add(step)
        return syntax.Name(("steps", step, *self.layout.name(path.parts[1:])[1:]))

    def _variable(self, path: Path) -> Any:
        if self.variables is None:
            raise NoEquivalent(f"{path.text} is a variable: give the file of them with --vars")
        found: Any = self.variables
        for part in path.parts:
            if isinstance(part, int):
                inside = isinstance(found, list) and -len(found) <= part < len(found)
            else:
                inside = isinstance(found, dict) and part in found
            if not inside:
                raise NoEquivalent(f"{path.text} is not in the file of variables")
            found = found[part]
        return found


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, read and not yet translated."""

    tree: Expression
    mixed: bool
    alias: str | None = None
    """What the event that fulfils it is called, with `events.alias << ...`."""


def read(text: str) -> Condition:
    """Parse a condition. Raises NoEquivalent for one that ansible-rulebook would refuse, and for one about facts."""
    try:
        tree, mixed = parse(text)
    except Unparsable as error:
        raise NoEquivalent(f"the condition {error}") from None
    if not isinstance(tree, Binary) or tree.operator != "<<":
        return Condition(tree, mixed)
    target = tree.left
    if not isinstance(target, Path) or target.root not in ("events", "facts") or len(target.parts) != 1:
        raise NoEquivalent("`<<` takes events.<name> on its left")
    if target.root == "facts":
        raise NoEquivalent(f"{target.text} is a fact, which has no equivalent: have the events carry it as data")
    return Condition(tree.right, mixed, str(target.parts[0]))


def translated(tree: Expression, scope: Scope) -> str:
    """The text of a condition in our language, which compiles. Raises NoEquivalent."""
    text = syntax.to_text(_condition(tree, scope))
    try:
        compile_condition(text)
    except ConditionError as error:
        raise NoEquivalent(f"the condition would be {text}, where {error.reason}") from None
    return text


def conjuncts(tree: Expression) -> Iterator[Expression]:
    """The parts of a condition that all have to be true."""
    if isinstance(tree, Binary) and tree.operator == "and":
        yield from conjuncts(tree.left)
        yield from conjuncts(tree.right)
    else:
        yield tree


def conjunction(parts: list[Expression]) -> Expression | None:
    """The condition that all of these are true; None where there are none."""
    found: Expression | None = None
    for part in parts:
        found = part if found is None else Binary("and", found, part)
    return found


def paths(tree: Expression) -> Iterator[Path]:
    """All paths in a condition."""
    match tree:
        case Path():
            yield tree
        case Binary(left=left, right=right):
            yield from paths(left)
            yield from paths(right)
        case Negation(operand):
            yield from paths(operand)
        case Values(items) | Test(arguments=items):
            for item in items:
                yield from paths(item)


def text_of(path: Path, scope: Scope) -> str:
    """A path as an expression of ours."""
    return syntax.to_text(scope.name(path))


def _condition(tree: Expression, scope: Scope) -> Node:
    match tree:
        case Negation(operand):
            return syntax.Not(_condition(operand, scope))
        case Binary("and" | "or", left, right):
            return _joined(tree.operator, _condition(left, scope), _condition(right, scope))
        case Binary("is" | "is not"):
            return _is(tree, scope)
        case Binary("in" | "not in", left, right):
            word = cast(syntax.Relate, tree.operator.upper())
            return syntax.Relation(word, _value(left, scope), _value(right, scope))
        case Binary("contains" | "not contains", left, right):
            # CONTAINS would find a part of a string as well.
            is_in: syntax.Relate = "IN" if tree.operator == "contains" else "NOT IN"
            return syntax.Relation(is_in, _value(right, scope), _value(left, scope))
        case Binary("==" | "!=") if Value(None) in (tree.left, tree.right):
            return _null(tree, scope)
        case Binary(operator, left, right) if operator in _ALIKE:
            sign = cast(syntax.Compare, operator)
            return syntax.Comparison((sign,), (_value(left, scope), _value(right, scope)))
        case Binary("<<"):
            raise NoEquivalent("`<<` stands only at the beginning of a condition")
        case _:
            return _value(tree, scope)


def _joined(word: str, left: Node, right: Node) -> Node:
    kind = syntax.And if word == "and" else syntax.Or
    operands: list[Node] = []
    for side in (left, right):
        operands += side.operands if isinstance(side, kind) else [side]
    return kind(tuple(operands))


def _null(tree: Binary, scope: Scope) -> Node:
    other = tree.right if tree.left == Value(None) else tree.left
    name = _value(other, scope)
    if tree.operator == "!=":
        return syntax.IsNull(name, negated=True)
    # It is null and there: for us, a name that is missing is null as well.
    if not isinstance(name, syntax.Name) or not isinstance(name.parts[-1], str):
        return syntax.IsNull(name)
    holder, key = syntax.Name(name.parts[:-1]), syntax.Literal(str(name.parts[-1]))
    return syntax.And((syntax.Relation("CONTAINS", holder, key), syntax.IsNull(name)))


def _is(tree: Binary, scope: Scope) -> Node:
    negated = tree.operator == "is not"
    if tree.right == Value("defined"):
        return syntax.IsNull(_value(tree.left, scope), negated=not negated)
    test = tree.right
    if not isinstance(test, Test):
        raise NoEquivalent("`is` takes defined, match, search, regex, select or selectattr")
    if test.kind in ("select", "selectattr"):
        return _select(test, negated, _value(tree.left, scope), scope)
    found = _match(test, _value(tree.left, scope), scope)
    return syntax.Not(found) if negated else found


def _select(test: Test, negated: bool, items: Node, scope: Scope) -> Node:
    if test.kind == "select" and not negated and len(test.arguments) == 2 and test.arguments[0] == Value("=="):
        return syntax.Relation("IN", _value(test.arguments[1], scope), items)
    word = "is not" if negated else "is"
    raise NoEquivalent(
        f"`{word} {test.kind}(...)` has no equivalent: name one item, as in event.data.items[0].level, or have the "
        "sender say it"
    )


def _match(test: Test, subject: Node, scope: Scope) -> Node:
    if len(test.arguments) != 1:
        raise NoEquivalent(f"{test.kind} takes one pattern")
    pattern = _value(test.arguments[0], scope)
    if not isinstance(pattern, syntax.Literal) or not isinstance(pattern.value, str):
        raise NoEquivalent(f"the pattern of {test.kind} must be a text that is known beforehand")
    letters = {"ignorecase": "i", "multiline": "m"}
    unknown = sorted(test.options.keys() - letters.keys())
    if unknown:
        raise NoEquivalent(f"{test.kind} has no option {unknown[0]}")
    flags = "".join(letter for name, letter in letters.items() if test.options.get(name) is True)
    text = pattern.value
    if test.kind == "match":
        if not flags and _LITERAL.fullmatch(text):
            return syntax.Relation("STARTS WITH", subject, pattern)
        text = text if text.startswith("^") and "|" not in text else f"^(?:{text})"
    return syntax.Relation("MATCHES", subject, syntax.Literal(f"(?{flags}){text}" if flags else text))


def _value(tree: Expression, scope: Scope) -> Node:
    match tree:
        case Path():
            return scope.name(tree)
        case Value(value):
            return _literal(value)
        case Values(items):
            return syntax.ListOf(tuple(_value(item, scope) for item in items))
        case Binary(operator, left, right) if operator in _ARITHMETIC:
            sign = cast(syntax.Calculate, operator)
            return syntax.Arithmetic(sign, _value(left, scope), _value(right, scope))
        case Test(kind):
            raise NoEquivalent(f"{kind}(...) stands only behind `is`")
        case _:
            return _condition(tree, scope)


def _literal(value: Any) -> Node:
    if value is None or isinstance(value, bool):
        return syntax.Literal(value)
    if isinstance(value, str):
        if "{{" in value:
            raise NoEquivalent(f"{value!r} is a template, which a condition cannot have: write its value")
        return syntax.Literal(value)
    if isinstance(value, int | float):
        number = syntax.Number(repr(abs(value)), abs(value))
        return syntax.Negative(number) if value < 0 else number
    if isinstance(value, list):
        return syntax.ListOf(tuple(_literal(item) for item in value))
    raise NoEquivalent("a mapping cannot be compared with: name one of its keys")


def with_steps(scope: Scope, steps: frozenset[str]) -> Scope:
    """The same names, and these events that came before."""
    return replace(scope, steps=steps, used=set())
