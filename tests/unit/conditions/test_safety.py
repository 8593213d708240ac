"""A condition from an untrusted user does no harm, nor does what it is given."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.conditions import compile_condition, compile_expression, regex_safety
from automation.conditions.regex_safety import UnsafePattern, matcher
from automation.conditions.syntax import quoted
from automation.errors import ConditionError


class Secretive:
    """An object whose attributes must not be reached."""

    password = "hunter2"

    def __getitem__(self, key: str) -> str:
        raise AssertionError("items of arbitrary objects are not read")


@pytest.mark.parametrize(
    "path",
    [
        "x.password",
        "x['password']",
        "x.__class__",
        "x.__class__.__mro__[1]",
        "x.__dict__.password",
        "y.__class__",
        "y[0].real",
    ],
)
def test_attributes_are_never_read(path: str) -> None:
    names = {"x": Secretive(), "y": [1]}

    assert compile_expression(path)(names) is None
    assert compile_condition(f"{path} IS NULL")(names)


@pytest.mark.parametrize(
    "root", ["__import__", "__builtins__", "__class__", "type", "exec", "names", "k1", "step", "held"]
)
def test_a_name_is_only_a_name(root: str) -> None:
    """Names that mean something to Python, or to the compiler's own source, are looked up like any other."""
    assert compile_expression(root)({}) is None
    assert compile_expression(root)({root: 5}) == 5
    assert compile_condition(f"{root} > 4 AND {root}.x IS NULL AND {root} IN [5, 'x']")({root: 5})


@pytest.mark.parametrize("text", ["__import__('os')", "open('x')", "x.y()", "x()", "(lambda)()", "a.b.__class__('x')"])
def test_nothing_but_the_listed_functions_is_called(text: str) -> None:
    with pytest.raises(ConditionError, match=r"there is no function|does not fit here"):
        compile_condition(text)


@pytest.mark.parametrize("string", ['"""', "\\", "\n", "{0}", "%s", "k1", "'; import os; '", "\x00", "\ud800"])
def test_a_string_is_only_data(string: str) -> None:
    assert compile_expression(quoted(string))({}) == string
    assert compile_condition(f"x == {quoted(string)}")({"x": string})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 10_001, "the text has 10,001 characters; at most 10,000 are allowed"),
        ("x" * 10_000_000, "the text has 10,000,000 characters; at most 10,000 are allowed"),
        ("(" * 100 + "x" + ")" * 100, "nested too deep; at most 100 levels are allowed"),
        ("(" * 4_999 + "x" + ")" * 4_999, "nested too deep; at most 100 levels are allowed"),
        ("(" * 9_000, "the text ends too early"),
        ("NOT " * 100 + "x", "nested too deep"),
        ("NOT " * 2_000 + "x", "nested too deep"),
        ("-" * 9_000 + "x", "nested too deep"),
        ("x IN " + "[" * 3_000 + "]" * 3_000, "nested too deep"),
        ("+".join("x" * 101), "nested too deep"),
        (" AND ".join("x" * 1_000), "too long; at most 1,000 names, values and operators are allowed"),
        ("x IN [" + ",".join("1" * 1_001) + "]", "the list has 1,001 items; at most 1,000 are allowed"),
        ("x IN [" + ",".join("x" * 1_000) + "]", "too long; at most 1,000"),
        (" AND ".join(["x MATCHES 'a'"] * 21), "too many patterns; at most 20 are allowed"),
        ("9" * 9_000 + " > x", "the number is too large or too long"),
        ("x > 1e" + "9" * 9_000, "the number is too large or too long"),
    ],
    ids=lambda value: value[:25],
)
def test_bounds(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        compile_condition(text)


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("(" * 99 + "x" + ")" * 99, {"x": True}, True),
        ("NOT " * 98 + "x", {"x": True}, True),
        ("(a == " * 49 + "true" + ")" * 49, {"a": True}, True),
        ("(a AND " * 49 + "b" + ")" * 49, {"a": True, "b": False}, False),
        (" AND ".join("x" * 999), {"x": True}, True),
        (" < ".join("x" * 999), {"x": 1}, False),
        ("x IN [" + ",".join(["1"] * 1_000) + "]", {"x": 1}, True),
        ("+".join("x" * 99) + " == 99", {"x": 1}, True),
        (" AND ".join(["x MATCHES 'a'"] * 20), {"x": "a"}, True),
        ("x" + ".y" * 4_000 + " IS NULL", {}, True),
    ],
    ids=lambda value: str(value)[:25],
)
def test_within_bounds(text: str, names: dict[str, Any], expected: bool) -> None:
    condition = compile_condition(text)

    assert condition.evaluate(names) is expected
    assert condition.explain(names).value is expected
    assert compile_condition(str(condition)).evaluate(names) is expected


def test_the_deepest_expression_compiles() -> None:
    """Of all that nests, this makes the deepest source: more than Python's own parser takes in one function."""
    assert compile_expression("[1 < " * 49 + "x.y.z" + " < 5]" * 49)({"x": {"y": {"z": 3}}}) == [None]


def test_values_that_are_nested_deep_do_not_compare() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    condition = compile_condition("x == y")

    assert condition.evaluate({"x": nested(20), "y": nested(20)}) is True
    assert condition.evaluate({"x": nested(5_000), "y": nested(5_000)}) is None


def test_a_value_that_contains_itself_does_not_compare() -> None:
    value: list[Any] = []
    value.append(value)
    names = {"x": value, "y": [value]}

    assert compile_condition("x == y").evaluate(names) is None
    assert "<list>" in str(compile_condition("x == y").explain(names))


class Hostile(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __lt__(self, other: object) -> bool:
        raise RuntimeError

    def __contains__(self, other: object) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    "text",
    ["x == 'a'", "x < 'b'", "x IN ['a']", "x CONTAINS 'a'", "x STARTS WITH 'a'", "x MATCHES 'a'", "[x] CONTAINS 'a'"],
)
def test_a_subclass_is_taken_as_what_it_is(text: str) -> None:
    assert compile_condition(text)({"x": Hostile("a")})


# --- regular expressions --------------------------------------------------------------------------------------------

FAST = [
    "error",
    "(?i)out of memory",
    "timeout|refused|reset",
    r"^web-\d+$",
    r"^\d+\.\d+\.\d+\.\d+$",
    r"(\d{1,3}\.){3}\d{1,3}",
    r"^(GET|POST) /api/v\d+/users/\d+$",
    r"^[\w.]+@[\w.]+\.com$",
    r"^https?://[^/]+/.*$",
    r"\b5\d\d\b",
    ".*timeout.*",
    ".*?timeout",
    "",
    "^$",
    "(?<!not )found",
]
SLOWER = [
    "error.*timeout",
    ".*error.*disk.*",
    r"\d+$",
    r"[\w.]+@[\w.]+\.com",
    r"\w+\s+\w+",
    r"timeout after \d+(ms|s)",
    "(a|b)*c",
    "(?:a|ab)*c",
    "a.*b|c.*d",
    "(?i)k+K",
    "[^,]*,[^,]*",
]


@pytest.mark.parametrize("pattern", FAST)
def test_a_fast_pattern_sees_10_000_characters(pattern: str) -> None:
    assert regex_safety._compiled(pattern)[1] == 10_000


@pytest.mark.parametrize("pattern", SLOWER)
def test_a_slower_pattern_sees_2_000_characters(pattern: str) -> None:
    assert regex_safety._compiled(pattern)[1] == 2_000


def test_what_is_beyond_is_not_looked_at() -> None:
    assert matcher("x")("-" * 9_999 + "x") is True
    assert matcher("x")("-" * 10_000 + "x") is False
    assert matcher("a.*x")("a" + "-" * 1_998 + "x") is True
    assert matcher("a.*x")("a" + "-" * 1_999 + "x") is False


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "is not a regular expression: missing )"),
        ("a{3,2}", "is not a regular expression: min repeat greater than max"),
        ("*", "is not a regular expression: nothing to repeat"),
        ("a{99999999999999}", "is not a regular expression"),
        ("(?P<x>a)(?P=x)", "back-references are not allowed"),
        (r"(a)\1", "back-references are not allowed"),
        ("(a)?(?(1)b|c)", "back-references are not allowed"),
        ("(a+)+$", "a repeat within a repeat"),
        (r"(\w+\s?)*!", "a repeat within a repeat"),
        ("(x+x+)+y", "a repeat within a repeat"),
        ("((a|b)+c)*", "a repeat within a repeat"),
        ("(?:a{1,200}){1,200}", "a repeat within a repeat"),
        ("(a*)*", "repeats something that can be empty"),
        ("(a?){50}b", "repeats something that can be empty"),
        ("(?:(?:(?:b{0}){9999}){9999}){9999}", "repeats something that can be empty"),
        ("(a|a?)+b", "repeats something that can be empty"),
        ("(a|aa)+$", "repeats choices that can match the same text"),
        ("(ab|a.)*c", "repeats choices that can match the same text"),
        (r"(.|\d)*x", "repeats choices that can match the same text"),
        ("(?i:(ab|Ac?b)*d)", "repeats choices that can match the same text"),
        ("(a|a)*b", "repeats choices that can match the same text"),
        ("a.*b.*c", "could take too long"),
        ("(?i)x*X*y", "could take too long"),
        ("(?i:x*X*y)", "could take too long"),
        ("x*x*x*y", "could take too long"),
        ("(a|ab)(c|bcd)(d*)" * 12, "could take too long"),
        ("a?" * 40 + "a" * 40, "could take too long"),
        ("(a{1,9}a{1,9}){1,9}b", "could take too long"),
        (".{1,64}@.{1,64}@.{1,64}", "could take too long"),
        ("(?=a*b)c", "not allowed in a look-around"),
        ("a" * 1_001, "has 1,001 characters; at most 1,000 are allowed"),
        ("(" * 51 + ")" * 51, "too many groups; at most 50 are allowed"),
    ],
    ids=lambda value: value[:30],
)
def test_a_pattern_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(UnsafePattern, match=reason.replace("(", r"\(").replace(")", r"\)")):
        matcher(pattern)


def test_a_bad_pattern_is_an_error_at_its_column() -> None:
    with pytest.raises(ConditionError, match="is not a regular expression: unterminated character set") as caught:
        compile_condition("a AND x MATCHES '[a'")

    assert caught.value.column == 17


patterns = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^b]", r"\w", r"\d", "aa", "^", "$", r"\b", "1"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,30}", "*?", "{5,99}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(patterns)
def test_what_is_not_refused_is_done_in_time(pattern: str) -> None:
    try:
        matches = matcher(pattern)
    except UnsafePattern:
        return
    for unit in ("a", "ab", "aab", "1"):
        text = unit * (10_000 // len(unit)) + "!"
        started = time.process_time()
        matches(text)
        assert time.process_time() - started < 3


# --- cost -----------------------------------------------------------------------------------------------------------


def test_lark_is_imported_with_the_first_text() -> None:
    program = """
import sys
import automation.conditions
assert "lark" not in sys.modules
automation.conditions.compile_template({"a": [1, "x"]})
assert "lark" not in sys.modules
automation.conditions.compile_condition("a")
assert "lark" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_condition_of_four_clauses_takes_a_microsecond() -> None:
    condition = compile_condition(
        'cpu_usage > 80 AND event.severity IN ["high", "critical"] AND NOT event.data.test AND region == "eu"'
    )
    names = {"cpu_usage": 91.5, "event": {"severity": "high", "data": {"test": False}}, "region": "eu"}
    assert condition(names)

    def seconds() -> float:
        started = time.perf_counter()
        for _ in range(1_000):
            condition(names)
        return (time.perf_counter() - started) / 1_000

    # 0.7 µs when it was written; the bound leaves room for a busy machine, and none for walking the tree (20 µs).
    assert min(seconds() for _ in range(50)) < 3e-6
