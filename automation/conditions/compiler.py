"""Tree to function: writes Python source for a tree and compiles it.

Why `exec` is safe here: the source is made only of the fixed phrases below and of names that this file counts up
(`k1`, `v2`, `f3`). Not one character of a condition's text reaches it; names and literals are bound as values, to
parameters of the function, whose globals hold no builtins. Conditions of the same shape so share one code object: what
the interpreter learns of it by running one, it knows for all.

A node is written in one of three ways. As a *value*, three-valued where it is logical. As *true* or as *false*: an
ordinary Python boolean that says whether the node is certainly true, or certainly false. `NOT` swaps the two, so a
whole condition runs on Python's own `and` and `or`, and unknown costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from automation.conditions import values as kinds
from automation.conditions.functions import FUNCTIONS, is_windowed
from automation.conditions.interpreter import look_up
from automation.conditions.regex_safety import matcher
from automation.conditions.syntax import (
    And,
    Arithmetic,
    Call,
    Comparison,
    IsNull,
    ListOf,
    Literal,
    Logical,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Or,
    Relation,
    Slot,
    to_text,
)
from automation.conditions.windows import read as read_window

_GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    "type": type,
    "int": int,
    "float": float,
    "str": str,
    "dict": dict,
    "step": kinds.step,
    "known": kinds.known,
    "truth": kinds.truth,
    "look_up": look_up,
    "read_window": read_window,
}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KEPT = 1024
"""How many shapes are kept for the next condition of the same."""
# Deeper expressions go to a function of their own: Python's parser bounds how deep parentheses nest.
_LEVELS = 10
# Longer paths are walked by a helper for the same reason.
_STEPS = 4


def compile_true(tree: Node, parameters: str = "names") -> Callable[..., bool]:
    """A function that says whether the tree is true; unknown is False."""
    writer = _Writer(parameters)
    return writer.function(writer.true(tree))


def compile_value(tree: Node, parameters: str = "names") -> Callable[..., Any]:
    """A function that gives the value of the tree; unknown is None."""
    writer = _Writer(parameters)
    return writer.function(writer.value(tree))


def compile_truth(tree: Node, parameters: str = "names") -> Callable[..., bool | None]:
    """A function that gives True, False, or None for unknown."""
    writer = _Writer(parameters)
    return writer.function(f"True if {writer.true(tree)} else False if {writer.false(tree)} else None")


def compile_path(parts: tuple[str | int, ...]) -> Callable[[Any], Any]:
    """A function that gives the value of a path, as `look_up`: for whoever reads it again and again."""
    return compile_value(Name(parts))


@lru_cache(_KEPT)
def _code(source: str) -> CodeType:
    module = compile(source, "<condition>", "exec")
    return next(found for found in module.co_consts if isinstance(found, CodeType))


class _Writer:
    """Writes one function, and those that it needs below it."""

    def __init__(self, parameters: str) -> None:
        self.parameters = parameters
        self.constants: dict[str, Any] = {}
        self.below: list[str] = []
        self.count = 0
        self.level = 0

    def function(self, body: str) -> Callable[..., Any]:
        if not self.below:
            source = f"def condition({', '.join([self.parameters, *self.constants])}):\n    return {body}"
            return FunctionType(_code(source), _GLOBALS, "condition", tuple(self.constants.values()))
        source = "\n".join([*self.below, f"def condition({self.parameters}):\n    return {body}"])
        scope = {**_GLOBALS, **self.constants}
        exec(compile(source, "<condition>", "exec"), scope)  # noqa: S102  # nothing of the user's text is in the source: see above
        compiled: Callable[..., Any] = scope["condition"]
        return compiled

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def constant(self, value: Any) -> str:
        name = self.fresh("k")
        self.constants[name] = value
        return name

    def nested(self, write: Callable[[Node], str], node: Node) -> str:
        """One level down; every few levels in a function of its own."""
        self.level += 1
        body = write(node)
        if self.level % _LEVELS == 0 and not isinstance(node, Name | Literal | Number | Slot):
            name = self.fresh("f")
            self.below.append(f"def {name}({self.parameters}):\n    return {body}")
            body = f"{name}({self.parameters})"
        self.level -= 1
        return body

    # --- certainly true, certainly false ----------------------------------------------------------------------------

    def true(self, node: Node) -> str:
        return self.nested(lambda inner: self.certain(inner, True), node)

    def false(self, node: Node) -> str:
        return self.nested(lambda inner: self.certain(inner, False), node)

    def certain(self, node: Node, wanted: bool) -> str:
        """Source that is True if the node is certainly what is wanted, else False."""
        write = self.true if wanted else self.false
        match node:
            case Not(operand):
                return self.false(operand) if wanted else self.true(operand)
            case And(operands) | Or(operands):
                word = " and " if isinstance(node, And) is wanted else " or "
                return f"({word.join(map(write, operands))})"
            case Comparison():
                word = " and " if wanted else " or "
                return f"({word.join(self.pair(*pair, wanted) for pair in self.shared_pairs(node))})"
            case Relation("IN" | "NOT IN" as operator, left, ListOf(items)):
                found = self.one_of(left, items, (operator == "IN") is wanted)
                if found is not None:
                    return found
        return f"({self.operand(node)} is {wanted})"

    def shared_pairs(self, node: Comparison) -> Iterable[tuple[str, Node, str, Node, str]]:
        """The pairs of a chain, with source for each side; what stands in two pairs is computed in the first."""
        left = self.operand(node.operands[0])
        for place, (operator, first, second) in enumerate(node.pairs):
            right = self.operand(second)
            if place + 2 < len(node.operands) and not isinstance(second, Literal | Number):
                kept = self.fresh("v")
                yield operator, first, left, second, f"({kept} := {right})"
                left = kept
            else:
                yield operator, first, left, second, right
                left = right

    def pair(self, operator: str, first: Node, left: str, second: Node, right: str, wanted: bool) -> str:
        """One comparison. With a literal, its kind is checked in line and only what is unusual calls a helper."""
        if isinstance(first, Literal | Number) and not isinstance(second, Literal | Number):
            operator, second, left, right = _MIRRORED[operator], first, right, left
        helper = self.constant(kinds.COMPARE[operator])
        sign = operator if wanted else _OPPOSITE[operator]
        if isinstance(second, Literal) and isinstance(second.value, bool) and operator in ("==", "!="):
            return f"({left} is {second.value is (sign == '==')})"
        value = self.fresh("v")
        if isinstance(second, Number):
            usual = f"type({value} := {left}) is float or type({value}) is int"
            # NaN is unequal to everything, itself included; here it is unknown.
            quick = f"{value} {sign} {right}" + (f" and {value} == {value}" if sign == "!=" else "")
        elif isinstance(second, Literal) and isinstance(second.value, str):
            usual, quick = f"type({value} := {left}) is str", f"{value} {sign} {right}"
        else:
            return f"({helper}({left}, {right}) is {wanted})"
        return f"({quick} if {usual} else {helper}({value}, {right}) is {wanted})"

    def one_of(self, left: Node, items: tuple[Node, ...], found: bool) -> str | None:
        """Whether a value is in a list of strings: by a set, if it is a string."""
        words = [item.value for item in items if isinstance(item, Literal) and isinstance(item.value, str)]
        if len(words) != len(items):
            return None
        value, test = self.fresh("v"), "in" if found else "not in"
        quick = f"{value} {test} {self.constant(frozenset(words))}"
        slow = f"{self.constant(kinds.is_in)}({value}, {self.constant(tuple(words))}) is {found}"
        return f"({quick} if type({value} := {self.operand(left)}) is str else {slow})"

    # --- values -----------------------------------------------------------------------------------------------------

    def value(self, node: Node) -> str:
        return self.nested(self.plain_value, node)

    def logical(self, node: Node) -> str:
        """The value of a node where a condition is wanted."""
        return self.value(node) if isinstance(node, Logical) else f"truth({self.value(node)})"

    def operand(self, node: Node) -> str:
        """A value for a comparison, which itself knows what to do with NaN."""
        return self.read(node) if isinstance(node, Name) else self.value(node)

    def plain_value(self, node: Node) -> str:
        match node:
            case Literal(value) | Number(value=value):
                return self.constant(value)
            case Name():
                return f"known({self.read(node)})"
            case Slot(index):
                return f"held[{index:d}]"
            case And(operands):
                return self.three_valued([self.logical(operand) for operand in operands], False)
            case Or(operands):
                return self.three_valued([self.logical(operand) for operand in operands], True)
            case Not(operand):
                return f"{self.constant(kinds.negate)}({self.logical(operand)})"
            case Comparison():
                parts = [
                    f"{self.constant(kinds.COMPARE[operator])}({left}, {right})"
                    for operator, _, left, _, right in self.shared_pairs(node)
                ]
                return parts[0] if len(parts) == 1 else self.three_valued(parts, False)
            case Relation():
                return self.relation(node)
            case IsNull(operand, negated):
                return f"({self.value(operand)} is {'not ' if negated else ''}None)"
            case Arithmetic(operator, left, right):
                helper = self.constant(kinds.CALCULATE[operator])
                return f"{helper}({self.operand(left)}, {self.operand(right)})"
            case Negative(operand):
                return f"{self.constant(kinds.negative)}({self.operand(operand)})"
            case ListOf(items):
                return f"[{', '.join(map(self.value, items))}]"
            case Call() if is_windowed(node):
                return f"read_window(names, {self.constant(to_text(node))})"
            case Call(function, arguments):
                apply = self.constant(FUNCTIONS[function].apply)
                return f"{apply}({', '.join(map(self.value, arguments))})"

    def relation(self, node: Relation) -> str:
        left = self.operand(node.left)
        if node.operator != "MATCHES":
            return f"{self.constant(kinds.RELATE[node.operator])}({left}, {self.operand(node.right)})"
        if isinstance(node.right, Literal) and isinstance(node.right.value, str):
            return f"{self.constant(matcher(node.right.value))}({left})"
        return "None"

    def three_valued(self, parts: list[str], deciding: bool) -> str:
        """AND, which one False decides, or OR, which one True decides; each part is computed at most once."""
        kept = [self.fresh("v") for _ in parts]
        decided = " or ".join(f"({name} := {part}) is {deciding}" for name, part in zip(kept, parts, strict=True))
        unknown = " or ".join(f"{name} is None" for name in kept)
        return f"({deciding} if {decided} else None if {unknown} else {not deciding})"

    def read(self, name: Name) -> str:
        """The value of a path: a `dict` is read in line, other mappings and lists by a helper."""
        if len(name.parts) > _STEPS:
            return f"look_up(names, {self.constant(name.parts)})"
        source = f"names.get({self.constant(name.root)})"
        for part in name.parts[1:]:
            key = self.constant(part)
            if isinstance(part, int):
                source = f"step({source}, {key})"
            else:
                holder = self.fresh("v")
                source = f"({holder}.get({key}) if type({holder} := {source}) is dict else step({holder}, {key}))"
        return source
