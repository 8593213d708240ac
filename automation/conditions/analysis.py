"""What a tree says before it runs: whether it makes sense, and what it reads."""

from __future__ import annotations

from collections.abc import Mapping

from automation.conditions.functions import check_call, is_windowed
from automation.conditions.regex_safety import UnsafePattern, matcher
from automation.conditions.syntax import (
    Arithmetic,
    Call,
    Comparison,
    ListOf,
    Literal,
    Mistake,
    Name,
    Negative,
    Node,
    Number,
    Relation,
    children,
    path_text,
    rebuilt,
    walk,
)
from automation.conditions.units import PERCENT_UNITS, parse_number
from automation.conditions.windows import Window, window_of

MAX_PATTERNS = 20


def check(tree: Node, kept: float | None = None) -> None:
    """Refuses, with `Mistake`, what parses but cannot work where samples are kept for that many seconds, or not."""
    patterns = 0
    for node in walk(tree):
        match node:
            case Call():
                check_call(node, kept)
            case Comparison(operands=operands):
                for operand in operands:
                    if operand == Literal(None):
                        raise Mistake(operand.column, "nothing compares with null: use IS NULL or IS NOT NULL")
            case Relation("MATCHES", right=Literal(str(pattern), column)):
                patterns += 1
                _check_pattern(pattern, column)
                if patterns > MAX_PATTERNS:
                    raise Mistake(column, f"too many patterns; at most {MAX_PATTERNS} are allowed")


def _check_pattern(pattern: str, column: int) -> None:
    try:
        matcher(pattern)
    except UnsafePattern as refusal:
        raise Mistake(column, str(refusal)) from None


def paths_read(tree: Node) -> frozenset[tuple[str | int, ...]]:
    """Every path that the tree reads."""
    return frozenset(node.parts for node in walk(tree) if isinstance(node, Name))


def values_read(tree: Node) -> frozenset[tuple[str | int, ...]]:
    """Every path of which the value itself is read, and not that of a window over a metric of this name."""
    if isinstance(tree, Name):
        return frozenset((tree.parts,))
    if isinstance(tree, Call) and is_windowed(tree):
        return frozenset()
    return frozenset[tuple[str | int, ...]]().union(*map(values_read, children(tree)))


def compared(tree: Node) -> frozenset[frozenset[str]]:
    """Pairs of paths that are compared with one another."""
    pairs: set[frozenset[str]] = set()
    for node in walk(tree):
        match node:
            case Comparison():
                sides = [(one, other) for _, one, other in node.pairs]
            case Relation(left=left, right=right):
                sides = [(left, right)]
            case _:
                continue
        pairs |= {
            frozenset({path_text(one.parts), path_text(other.parts)})
            for one, other in sides
            if isinstance(one, Name) and isinstance(other, Name)
        }
    return frozenset(pairs)


def windows_read(tree: Node) -> frozenset[Window]:
    """Every window that the tree reads."""
    return frozenset(window_of(node) for node in walk(tree) if isinstance(node, Call) and is_windowed(node))


# --- percents -------------------------------------------------------------------------------------------------------


def with_units(tree: Node, units: Mapping[str, str]) -> Node:
    """The tree with `80%` worth 80 where it stands against a metric that is declared in percent."""
    if not any(unit in PERCENT_UNITS for unit in units.values()):
        return tree
    return _with_units(tree, units)


def _with_units(node: Node, units: Mapping[str, str]) -> Node:
    parts = [_with_units(child, units) for child in children(node)]
    match node:
        case Comparison() | Relation() | Arithmetic(operator="+" | "-"):
            metric = [_is_percent_metric(part, units) for part in parts]
            beside = [any(metric[max(0, place - 1) : place + 2]) for place in range(len(parts))]
            parts = [_scaled(part) if scale else part for part, scale in zip(parts, beside, strict=True)]
    return rebuilt(node, parts)


def _is_percent_metric(node: Node, units: Mapping[str, str]) -> bool:
    match node:
        case Name(parts):
            return units.get(path_text(parts)) in PERCENT_UNITS
        case Call(function, arguments=(first, *_)):
            return function not in ("anomaly", "count") and _is_percent_metric(first, units)
        case Negative(operand):
            return _is_percent_metric(operand, units)
        case Arithmetic(operator, left, right):
            one, other = _is_percent_metric(left, units), _is_percent_metric(right, units)
            if operator in "+-":
                return one or other
            # A percent times a factor is a percent; one by another is a plain number.
            return one is not other if operator == "*" else one and not other
        case _:
            return False


def _scaled(node: Node) -> Node:
    """The percents of a sum, not those of a product: `50% * limit` is half the limit in any unit."""
    match node:
        case Number(text) if node.percent:
            return Number(text, parse_number(text[:-1], node.column), node.column)
        case Negative() | ListOf() | Arithmetic(operator="+" | "-"):
            return rebuilt(node, map(_scaled, children(node)))
        case _:
            return node
