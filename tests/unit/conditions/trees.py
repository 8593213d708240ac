"""Random trees and random names for the property tests."""

from __future__ import annotations

import enum
from collections import ChainMap
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from automation.conditions.functions import FUNCTIONS
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
)
from automation.conditions.units import parse_number
from automation.conditions.windows import Gap

KEYWORDS = {"and", "or", "not", "in", "is", "null", "true", "false", "contains", "matches"}
COMPARE = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
RELATE = st.sampled_from(["IN", "NOT IN", "CONTAINS", "STARTS WITH", "ENDS WITH"])
PATTERNS = ["a", "^a.*b$", r"\d+", "", "(?i)x|y"]


class Colour(enum.StrEnum):
    RED = "a"


class Level(enum.IntEnum):
    HIGH = 1


class Celsius(float):
    pass


WINDOWS = [Call("avg", (Name(("a",)), Number("5m", 300))), Call("absent", (Name(("b",)), Number("1h", 3600)))]


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    whole = draw(st.integers(0, 10**20))
    text = draw(
        st.sampled_from([str(whole), f"{whole}.5", f"{whole % 100}e3", f"{whole % 9}.25e-2", f"{whole % 200}%"])
        | st.sampled_from(["5m", "1h30m", "250ms", "2d", "1w", "1.5h", "10GB", "512MiB", "5KB", "7B", "0", "1", "2"])
    )
    return Number(text, parse_number(text, 1))


roots = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(lambda name: name.lower() not in KEYWORDS)
parts = roots | st.sampled_from(["and", "9", "with-dash", "", "a b", "é", '"', 0, 3, -1])
odd_roots = st.sampled_from(["node.cpu", "cpu-usage", "job:rate", "in", "NULL", "9", "a b", "é", '"', "avg(a, 5m)"])
any_names = st.builds(lambda root, rest: Name((root, *rest)), roots | odd_roots, st.lists(parts, max_size=3))
few_names = st.sampled_from(
    [Name(("a",)), Name(("b",)), Name(("c",)), Name(("d", "x")), Name(("d", "y", 0)), Name(("d",))]
)
strings = st.builds(
    Literal, st.text(max_size=6) | st.sampled_from(["a", "b", "\\d", "it's", 'say "x"', "\n\t\x00\u2028"])
)
literals = strings | st.sampled_from([Literal(True), Literal(False), Literal(None)])


def _node_tuples(nodes: st.SearchStrategy[Node], least: int, most: int = 3) -> st.SearchStrategy[tuple[Node, ...]]:
    return st.lists(nodes, min_size=least, max_size=most).map(tuple)


def _larger(nodes: st.SearchStrategy[Node], *, runnable: bool) -> st.SearchStrategy[Node]:
    """Trees over the given ones; those that can run compare nothing with null and call only what exists."""
    operands = nodes.filter(lambda node: node != Literal(None)) if runnable else nodes
    comparisons = st.integers(2, 4).flatmap(
        lambda count: st.builds(
            Comparison,
            st.lists(COMPARE, min_size=count - 1, max_size=count - 1).map(tuple),
            _node_tuples(operands, count, count),
        )
    )
    patterns: st.SearchStrategy[Node] = st.sampled_from(PATTERNS).map(Literal)
    calls: st.SearchStrategy[Node] = (
        few_names.map(lambda name: Call("absent", (name,))) | st.sampled_from(WINDOWS)
        if runnable
        else st.builds(Call, st.sampled_from(sorted(FUNCTIONS)), _node_tuples(nodes, 0))
    )
    return st.one_of(
        _node_tuples(nodes, 2).map(And),
        _node_tuples(nodes, 2).map(Or),
        nodes.map(Not),
        comparisons,
        st.builds(Relation, RELATE, nodes, nodes),
        st.builds(Relation, st.just("MATCHES"), nodes, patterns if runnable else nodes),
        st.builds(IsNull, nodes, st.booleans()),
        st.builds(Arithmetic, st.sampled_from("+-*/%"), nodes, nodes),
        nodes.map(Negative),
        _node_tuples(nodes, 0).map(ListOf),
        calls,
    )


any_trees = st.recursive(any_names | numbers() | literals, lambda nodes: _larger(nodes, runnable=False), max_leaves=15)
"""Trees that parse, whether or not they make sense."""

runnable_trees = st.recursive(
    few_names | numbers() | literals, lambda nodes: _larger(nodes, runnable=True), max_leaves=12
)
"""Trees that compile."""

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-3, 3),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e308, 10**400, -(10**400), 0.0, 80, 300, 0.5]),
    st.sampled_from(["", "a", "b", "ab", "abc1", "é"]),
    st.sampled_from([Colour.RED, Level.HIGH, Celsius(1.0), Celsius("nan"), object, b"a", {1}]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from(["x", "y", "a"]), inner, max_size=3),
        st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2).map(MappingProxyType),
    ),
    max_leaves=5,
)
mappings = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "avg(a, 5m)", "absent(b, 1h)"]), values | st.just(Gap("why")), max_size=5
)
names = mappings | mappings.map(lambda mapping: ChainMap({}, mapping))
