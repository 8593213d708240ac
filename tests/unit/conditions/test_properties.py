"""What holds for every tree, whatever it is."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automation.conditions import compile_condition
from automation.conditions.compiler import compile_true, compile_truth, compile_value
from automation.conditions.interpreter import interpret
from automation.conditions.parser import parse
from automation.conditions.syntax import (
    And,
    Call,
    IsNull,
    ListOf,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Or,
    children,
    rebuilt,
    to_text,
    unquoted,
    walk,
)
from automation.conditions.syntax import quoted as quote
from automation.conditions.units import DURATIONS, SIZES, parse_number
from automation.conditions.values import truth
from automation.errors import ConditionError

from . import trees

many = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
some = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def same(left: Any, right: Any) -> bool:
    """The same value of the same type; NaN is the same as NaN."""
    return type(left) is type(right) and (left is right or repr(left) == repr(right))


@many
@given(trees.any_trees)
def test_parsing_the_text_of_a_tree_gives_the_tree(tree: Node) -> None:
    text = to_text(tree)

    assert parse(text) == tree
    assert to_text(parse(text)) == text


@some
@given(trees.any_trees)
def test_columns_point_into_the_text(tree: Node) -> None:
    text = to_text(tree)

    for node in walk(parse(text)):
        begins = {Not: "NOT ", Negative: "-", ListOf: "["}.get(type(node))
        if isinstance(node, Name | Number | Literal):
            begins = to_text(node)
        elif isinstance(node, Call):
            begins = f"{node.function}("
        if begins is not None:
            assert text.startswith(begins, node.column - 1)
        else:
            assert node.column == children(node)[0].column


@many
@given(trees.runnable_trees, trees.names)
def test_compiled_equals_interpreted(tree: Node, names: Any) -> None:
    value = interpret(tree, names)

    assert same(compile_value(tree)(names), value)
    assert compile_truth(tree)(names) is truth(value)
    assert compile_true(tree)(names) is (truth(value) is True)


@many
@given(trees.runnable_trees, trees.mappings, trees.values)
def test_learning_more_never_reverses_what_is_known(tree: Node, names: dict[str, Any], learned: Any) -> None:
    if any(isinstance(node, IsNull | Call) for node in walk(tree)):
        tree = without_tests_for_unknown(tree)
    less = {key: value for key, value in names.items() if key != "a"}

    before, after = compile_truth(tree)(less), compile_truth(tree)({**less, "a": learned})

    assert before is None or before is after


def without_tests_for_unknown(tree: Node) -> Node:
    """The tree with what depends on not knowing replaced by true."""
    if isinstance(tree, IsNull | Call):
        return Literal(True)
    return rebuilt(tree, map(without_tests_for_unknown, children(tree)))


@some
@given(trees.runnable_trees, trees.runnable_trees, trees.runnable_trees, trees.names)
def test_laws_of_logic(p: Node, q: Node, r: Node, names: Any) -> None:
    def value(tree: Node) -> bool | None:
        return compile_truth(tree)(names)

    assert value(Not(And((p, q)))) is value(Or((Not(p), Not(q))))
    assert value(Not(Or((p, q)))) is value(And((Not(p), Not(q))))
    assert value(Not(Not(p))) is value(p)
    assert value(And((p, q))) is value(And((q, p)))
    assert value(Or((p, q))) is value(Or((q, p)))
    assert value(And((p, Or((q, r))))) is value(Or((And((p, q)), And((p, r)))))
    assert value(Or((p, And((p, q))))) is value(p)
    assert value(And((p, And((q, r))))) is value(And((And((p, q)), r)))


@given(st.text())
def test_a_string_says_what_it_was_made_from(text: str) -> None:
    assert unquoted(quote(text)) == text
    assert parse(quote(text)) == Literal(text)


@given(st.integers(0, 10_000), st.sampled_from(sorted(DURATIONS)))
def test_a_duration_is_its_seconds(count: int, unit: str) -> None:
    assert parse_number(f"{count}{unit}", 1) == float(count * DURATIONS[unit])


@given(st.lists(st.integers(0, 99), min_size=5, max_size=5))
def test_a_duration_of_several_units_is_their_sum(counts: list[int]) -> None:
    text = "".join(f"{count}{unit}" for count, unit in zip(counts, ["w", "d", "h", "m", "s"], strict=True))

    seconds = sum(count * int(DURATIONS[unit]) for count, unit in zip(counts, ["w", "d", "h", "m", "s"], strict=True))

    assert parse_number(text, 1) == seconds


@given(st.integers(0, 10**9), st.sampled_from(sorted(SIZES)))
def test_a_size_is_a_whole_number_of_bytes(count: int, unit: str) -> None:
    value = parse_number(f"{count}{unit}", 1)

    assert isinstance(value, int)
    assert value == count * int(SIZES[unit])


@given(st.integers(0, 10**6))
def test_a_percent_is_a_hundredth(count: int) -> None:
    assert parse_number(f"{count}%", 1) == count / 100


@given(trees.numbers())
def test_a_number_is_read_as_a_whole(number: Number) -> None:
    assert parse(number.text) == number
    assert parse(f"x > {number.text} AND y") == parse(f"(x>{number.text})and(y)")


WORDS = """
    a b and or not in is null true contains matches starts with ends ( ) [ ] , == < > != => && 5 5m % 80% 'x' - + * / .
    x.y [0] avg absent
"""
any_texts = st.text(alphabet="ab.1 ()[]'\"<>=!-+*/%&|\\,$\né", max_size=25)
any_words = st.lists(st.sampled_from(WORDS.split()), max_size=10).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(any_texts | any_words)
def test_any_text_parses_or_is_refused_at_a_column(text: str) -> None:
    try:
        condition = compile_condition(text)
    except ConditionError as error:
        refusal = error
    else:
        assert str(compile_condition(str(condition))) == str(condition)
        return
    assert 1 <= refusal.column <= len(text) + 1
    assert not any(token in refusal.message for token in ("RPAR", "RSQB", "COMPARE", "NAME", "_AND", "$END", "Token("))
