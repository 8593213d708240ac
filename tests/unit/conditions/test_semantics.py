"""What conditions mean: one row each."""

from __future__ import annotations

import enum
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from automation.conditions import compile_condition, compile_expression
from automation.conditions.values import truth

NAN, INF = float("nan"), float("inf")
HUGE = 10**400


class Severity(enum.StrEnum):
    HIGH = "high"


class Level(enum.IntEnum):
    TWO = 2


class Lazy(Mapping[str, Any]):
    """A mapping that is no dict, and whose items raise KeyError where they are missing."""

    def __init__(self, items: dict[str, Any]) -> None:
        self.items_ = items

    def __getitem__(self, key: str) -> Any:
        return self.items_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


ROWS: list[tuple[str, dict[str, Any], bool | None]] = [
    # precedence
    ("a OR b AND c", {"a": True, "b": False, "c": False}, True),
    ("(a OR b) AND c", {"a": True, "b": False, "c": False}, False),
    ("NOT a OR b", {"a": True, "b": True}, True),
    ("NOT (a OR b)", {"a": True, "b": True}, False),
    ("NOT a == b", {"a": 1, "b": 2}, True),
    ("NOT a AND b", {"a": False, "b": False}, False),
    ("NOT NOT a", {"a": True}, True),
    ("1 + 2 * 3 == 7", {}, True),
    ("(1 + 2) * 3 == 9", {}, True),
    ("10 - 4 - 3 == 3", {}, True),
    ("24 / 4 / 3 == 2", {}, True),
    ("-2 * 3 == -6", {}, True),
    ("2 - -3 == 5", {}, True),
    ("--2 == 2", {}, True),
    ("a-b == 1", {"a": 3, "b": 2}, True),
    ("-a + b > 0", {"a": 1, "b": 2}, True),
    # keywords in any case
    ("a and not b Or c", {"a": True, "b": False, "c": False}, True),
    ("a Is Null", {}, True),
    ("a not in [1]", {"a": 2}, True),
    ("a starts   with 'x'", {"a": "xy"}, True),
    ("a == TRUE", {"a": True}, True),
    (
        "android AND oracle AND island AND nothing",
        dict.fromkeys(["android", "oracle", "island", "nothing"], True),
        True,
    ),
    # comparison of numbers
    ("a == 1", {"a": 1.0}, True),
    ("a = 1", {"a": 1}, True),
    ("a != 1", {"a": 2}, True),
    ("a != 1", {"a": 1}, False),
    ("a < 1", {"a": 1}, False),
    ("a <= 1", {"a": 1}, True),
    ("a > 1", {"a": 1}, False),
    ("a >= 1", {"a": 1}, True),
    ("1 < a", {"a": 2}, True),
    ("1 >= a", {"a": 2}, False),
    ("a == b", {"a": 2, "b": 2}, True),
    ("a < b", {"a": 2, "b": 3.5}, True),
    ("a > 1", {"a": HUGE}, True),
    ("a > 1.5", {"a": HUGE}, True),
    ("a > 1", {"a": INF}, True),
    ("a == 2", {"a": Level.TWO}, True),
    # comparison of strings: exact, by character
    ("a == 'x'", {"a": "x"}, True),
    ("a == 'x'", {"a": "X"}, False),
    ("a != 'x'", {"a": "y"}, True),
    ("a < 'b'", {"a": "a"}, True),
    ("'b' > a", {"a": "a"}, True),
    ("a == 'high'", {"a": Severity.HIGH}, True),
    ("a < '2026-01-02'", {"a": "2026-01-01T10:00:00Z"}, True),
    # comparison of booleans
    ("a == true", {"a": True}, True),
    ("a == true", {"a": False}, False),
    ("a != true", {"a": False}, True),
    ("true == a", {"a": True}, True),
    ("a == b", {"a": False, "b": False}, True),
    ("a > false", {"a": True}, None),
    # comparison of lists and mappings
    ("a == [1, 2]", {"a": [1, 2]}, True),
    ("a == [1, 2]", {"a": (1, 2)}, True),
    ("a == [1, 2]", {"a": [1, 3]}, False),
    ("a == [1, 2]", {"a": [1]}, False),
    ("a == [1, 2]", {"a": [1, "2"]}, None),
    ("a == [1, 2]", {"a": [2, "2"]}, False),
    ("a == b", {"a": {"x": 1}, "b": MappingProxyType({"x": 1.0})}, True),
    ("a == b", {"a": {"x": 1}, "b": {"y": 1}}, False),
    ("a == b", {"a": {"x": 1}, "b": {"x": True}}, None),
    ("a < b", {"a": [1], "b": [2]}, None),
    # chains
    ("1 < x < 5", {"x": 3}, True),
    ("1 < x < 5", {"x": 5}, False),
    ("1 < x < 5", {"x": 0}, False),
    ("1 < x < 5", {}, None),
    ("a == b == c", {"a": 1, "b": 1, "c": 1}, True),
    ("a == b == c", {"a": 1, "b": 1, "c": 2}, False),
    ("a < 5 < b", {"a": 1, "b": 9}, True),
    ("a == true == b", {"a": True, "b": True}, True),
    ("a == true < b", {"a": True, "b": 1}, None),
    ("a == true < b", {"a": False, "b": 1}, False),
    ("NOT 1 < x < 5", {"x": 7}, True),
    ("0 < x + 1 <= y < 10", {"x": 1, "y": 2}, True),
    ("1 < x < 'a'", {"x": 0}, False),
    ("1 < x < 'a'", {"x": 3}, None),
    # values of different kinds do not compare
    ("a == 1", {"a": "1"}, None),
    ("a != 1", {"a": "1"}, None),
    ("a == 1", {"a": True}, None),
    ("a != 1", {"a": True}, None),
    ("a == 'x'", {"a": 1}, None),
    ("a != 'x'", {"a": 1}, None),
    ("a > 1", {"a": [2]}, None),
    ("a == true", {"a": 1}, None),
    ("a != true", {"a": 1}, None),
    ("a == b", {"a": object(), "b": object()}, None),
    ("NOT a == 1", {"a": "1"}, None),
    # unknown
    ("a", {}, None),
    ("a", {"a": None}, None),
    ("a > 1", {}, None),
    ("NOT a > 1", {}, None),
    ("a > 1", {"a": NAN}, None),
    ("a != 1", {"a": NAN}, None),
    ("NOT a == 1", {"a": NAN}, None),
    ("a == b", {"a": NAN, "b": NAN}, None),
    ("null", {}, None),
    ("NOT null", {}, None),
    # a condition that is no boolean
    ("a", {"a": True}, True),
    ("a", {"a": False}, False),
    ("a", {"a": 1}, None),
    ("a", {"a": "yes"}, None),
    ("NOT a", {"a": "yes"}, None),
    ("a AND b", {"a": 1, "b": False}, False),
    ("a OR b", {"a": 1, "b": True}, True),
    ("5", {}, None),
    ("'x'", {}, None),
    ("true", {}, True),
    ("false", {}, False),
    ("a + 1", {"a": 1}, None),
    # IS NULL, absent
    ("a IS NULL", {}, True),
    ("a IS NULL", {"a": None}, True),
    ("a IS NULL", {"a": NAN}, True),
    ("a IS NULL", {"a": 0}, False),
    ("a IS NOT NULL", {"a": 0}, True),
    ("a.b IS NULL", {"a": {"b": 1}}, False),
    ("a.b IS NULL", {"a": 5}, True),
    ("a / 0 IS NULL", {"a": 1}, True),
    ("(a > 1) IS NULL", {"a": "x"}, True),
    ("absent(a)", {}, True),
    ("ABSENT(a.b)", {"a": {}}, True),
    ("absent(a)", {"a": False}, False),
    ("NOT absent(a)", {"a": 1}, True),
    ("a IS NULL OR a > 1", {}, True),
    # IN
    ("a IN ['x', 'y']", {"a": "y"}, True),
    ("a IN ['x', 'y']", {"a": "z"}, False),
    ("a IN ['x', 'y']", {"a": Severity.HIGH}, False),
    ("a IN ['high', 'y']", {"a": Severity.HIGH}, True),
    ("a IN ['x', 'y']", {"a": 1}, None),
    ("a IN ['x', 'y']", {}, None),
    ("a NOT IN ['x', 'y']", {"a": "z"}, True),
    ("a NOT IN ['x', 'y']", {"a": "x"}, False),
    ("a NOT IN ['x', 'y']", {"a": 1}, None),
    ("NOT a IN ['x']", {"a": "z"}, True),
    ("a IN [1, 2]", {"a": 2.0}, True),
    ("a IN [1, 2]", {"a": True}, None),
    ("a IN [1, 'x']", {"a": 1}, True),
    ("a IN [1, 'x']", {"a": 2}, None),
    ("a IN [b, c]", {"a": 1, "b": 0, "c": 1}, True),
    ("a IN [b, c]", {"a": 1, "b": 0}, None),
    ("a IN []", {"a": 1}, False),
    ("a IN b", {"a": 1, "b": [0, 1]}, True),
    ("a IN b", {"a": 1, "b": (0, 2)}, False),
    ("a IN b", {"a": "x", "b": "xyz"}, None),
    ("a IN b", {"a": "x", "b": {"x": 1}}, None),
    ("[1] IN [[1], [2]]", {}, True),
    # CONTAINS
    ("a CONTAINS 'b'", {"a": ["a", "b"]}, True),
    ("a CONTAINS 'c'", {"a": ["a", "b"]}, False),
    ("a CONTAINS 'c'", {"a": ["a", 1]}, None),
    ("a CONTAINS 1", {"a": [True]}, None),
    ("a CONTAINS 'bc'", {"a": "abcd"}, True),
    ("a CONTAINS 'x'", {"a": "abcd"}, False),
    ("a CONTAINS 1", {"a": "a1"}, None),
    ("a CONTAINS 'k'", {"a": {"k": None}}, True),
    ("a CONTAINS 'k'", {"a": {}}, False),
    ("a CONTAINS 'k'", {"a": Lazy({"k": 1})}, True),
    ("a CONTAINS 'k'", {"a": 5}, None),
    ("a CONTAINS 'k'", {}, None),
    # MATCHES
    (r"a MATCHES '^web-\d+$'", {"a": "web-12"}, True),
    (r"a MATCHES '\d'", {"a": "abc"}, False),
    ("a MATCHES 'b'", {"a": "abc"}, True),
    ("a MATCHES '(?i)ERROR'", {"a": "an error"}, True),
    ("a MATCHES 'b'", {"a": 5}, None),
    ("a MATCHES 'b'", {}, None),
    ("a MATCHES b", {"a": "x", "b": "x"}, None),
    ("a MATCHES 1", {"a": "x"}, None),
    ("NOT a MATCHES 'b'", {"a": "x"}, True),
    # STARTS WITH, ENDS WITH
    ("a STARTS WITH 'ab'", {"a": "abc"}, True),
    ("a STARTS WITH 'bc'", {"a": "abc"}, False),
    ("a STARTS WITH b", {"a": "abc", "b": "a"}, True),
    ("a STARTS WITH 'a'", {"a": ["a"]}, None),
    ("a ENDS WITH 'bc'", {"a": "abc"}, True),
    ("a ENDS WITH 'ab'", {"a": "abc"}, False),
    ("a ENDS WITH 1", {"a": "1"}, None),
    # arithmetic
    ("a + b == 3", {"a": 1, "b": 2}, True),
    ("a * 2 >= b", {"a": 1.5, "b": 3}, True),
    ("7 % 2 == 1", {}, True),
    ("-7 % 3 == 2", {}, True),
    ("a / 0 > 1", {"a": 1}, None),
    ("a % 0 > 1", {"a": 1}, None),
    ("a / 0.0 > 1", {"a": 1.0}, None),
    ("a + 1 > 0", {"a": "1"}, None),
    ("a + 1 > 0", {"a": True}, None),
    ("a + b == 'xy'", {"a": "x", "b": "y"}, None),
    ("-a < 0", {"a": "x"}, None),
    ("a * a > 0", {"a": 1e200}, None),
    ("a * 2 > 0", {"a": 2**1023}, None),
    ("a + 1.5 > 0", {"a": HUGE}, None),
    ("a / 2 > 0", {"a": HUGE}, None),
    ("a - a == 0", {"a": INF}, None),
    ("a + 1 > 0", {"a": NAN}, None),
    # paths
    ("event.data.x == 1", {"event": {"data": {"x": 1}}}, True),
    ("event.data.x == 1", {"event": {"data": 5}}, None),
    ("event.data.x == 1", {"event.data.x": 1}, None),
    ("a.b.c.d.e.f == 1", {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, True),
    ("a.b.c.d.e.f == 1", {"a": {"b": {}}}, None),
    ("x[0] == 1", {"x": [1, 2]}, True),
    ("x[-1] == 2", {"x": (1, 2)}, True),
    ("x[2] == 1", {"x": [1, 2]}, None),
    ("x[-3] == 1", {"x": [1, 2]}, None),
    ("x[0] == 1", {"x": {"0": 1}}, None),
    ("x[0] == 'a'", {"x": "abc"}, None),
    ("x.0 == 1", {"x": {"0": 1}}, True),
    ("x['0'] == 1", {"x": {"0": 1}}, True),
    ('x["key with-dash"].y[1] == 2', {"x": {"key with-dash": {"y": [1, 2]}}}, True),
    ("event.in == 1 AND event.type == 'x'", {"event": {"in": 1, "type": "x"}}, True),
    ("e.a == 1", {"e": Lazy({"a": 1})}, True),
    ("e.b IS NULL", {"e": Lazy({"a": 1})}, True),
    ("e.a.b == 1", {"e": {"a": ChainMap({}, {"b": 1})}}, True),
    ("a AND duration > 5", {"a": True, "duration": 10}, True),
    ("a AND duration > 5", {"a": True}, None),
]


def _name(row: tuple[str, Any, Any]) -> str:
    """A name for a row that is the same in each process: without the addresses of objects."""
    return re.sub(r"<.*? object at 0x\w+>", "object", f"{row[0]} {row[1]}")


@pytest.mark.parametrize(("text", "names", "expected"), ROWS, ids=[_name(row) for row in ROWS])
def test_a_condition_means(text: str, names: dict[str, Any], expected: bool | None) -> None:
    condition = compile_condition(text)

    assert condition.evaluate(names) is expected
    assert condition(names) is (expected is True)
    assert truth(condition.explain(names).value) is expected


THREE = (True, False, None)


@pytest.mark.parametrize("a", THREE)
@pytest.mark.parametrize("b", THREE)
def test_logic_is_that_of_kleene(a: bool | None, b: bool | None) -> None:
    names = {"a": a, "b": b}
    order = {False: 0, None: 1, True: 2}

    assert compile_condition("a AND b").evaluate(names) is min(a, b, key=order.__getitem__)
    assert compile_condition("a OR b").evaluate(names) is max(a, b, key=order.__getitem__)
    assert compile_condition("NOT a").evaluate(names) is (None if a is None else not a)
    # The same where the logic is an operand, and is computed as a value.
    assert compile_expression("[a AND b, a OR b, NOT a]")(names) == [
        min(a, b, key=order.__getitem__),
        max(a, b, key=order.__getitem__),
        None if a is None else not a,
    ]


EXPRESSIONS: list[tuple[str, dict[str, Any], Any]] = [
    ("1 + 2", {}, 3),
    ("7 / 2", {}, 3.5),
    ("6 / 2", {}, 3.0),
    ("2 * 3.0", {}, 6.0),
    ("replicas * 2", {"replicas": 3}, 6),
    ("replicas * 2", {}, None),
    ("event.data", {"event": {"data": {"x": [1]}}}, {"x": [1]}),
    ("'a'", {}, "a"),
    ("true", {}, True),
    ("null", {}, None),
    ("a", {"a": NAN}, None),
    ("[a, 1, [b]]", {"a": "x", "b": None}, ["x", 1, [None]]),
    ("a > 1", {"a": 2}, True),
    ("a > 1", {}, None),
    ("-a", {"a": 2}, -2),
    ("duration", {"duration": 3}, 3),
]


@pytest.mark.parametrize(("text", "names", "expected"), EXPRESSIONS)
def test_an_expression_gives_a_value(text: str, names: dict[str, Any], expected: Any) -> None:
    value = compile_expression(text)(names)

    assert value == expected
    assert type(value) is type(expected)


def test_a_list_of_an_expression_is_new_each_time() -> None:
    expression = compile_expression("[1, 2]")

    expression({}).append(3)

    assert expression({}) == [1, 2]


def test_only_what_decides_is_read() -> None:
    class Recording(dict[str, Any]):
        read: list[str] = []  # noqa: RUF012

        def get(self, key: str, default: Any = None) -> Any:
            self.read.append(key)
            return super().get(key, default)

    names = Recording(a=False, b=True)

    compile_condition("a AND b")(names)

    assert names.read == ["a"]


def test_names_may_be_any_object_with_get() -> None:
    names = SimpleNamespace(get={"a": 5}.get)

    assert compile_condition("a > 1 AND b IS NULL")(names)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'it\'s'", "it's"),
        (r'"say \"x\""', 'say "x"'),
        (r"'a\\b'", "a\\b"),
        (r"'a\nb\tc\r'", "a\nb\tc\r"),
        (r"'\u00e9'", "é"),
        (r"'\d\.\b'", r"\d\.\b"),
        (r"'\u12'", r"\u12"),
        ("'a\nb'", "a\nb"),
        ("''", ""),
        ("'AND'", "AND"),
        ("'日本'", "日本"),
    ],
)
def test_strings_and_their_escapes(text: str, value: str) -> None:
    assert compile_expression(text)({}) == value


def test_names_and_paths_are_told() -> None:
    condition = compile_condition(
        """cpu > 80 AND event.data.hosts[0].name == 'x' AND event["a b"] IS NULL AND absent(y) AND duration > 5m"""
    )

    assert condition.names == {"cpu", "event", "y"}
    assert condition.paths == {"cpu", "event.data.hosts[0].name", 'event["a b"]', "y"}


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("event.type == 'x'", {"x"}),
        ("'x' == event.type", {"x"}),
        ("event.type == 'x' AND a > 1", {"x"}),
        ("event.type IN ['x', 'y'] AND a", {"x", "y"}),
        ("event.type IN ['x', 1]", {"x"}),
        ("event.type IN ['x', true]", {"x"}),
        ("event.type IN [a, 'x']", None),
        ("event.type IN []", set()),
        ("event.type == 'x' OR event.type == 'y'", {"x", "y"}),
        ("event.type == 'x' OR a", None),
        ("(event.type == 'x' OR a) AND event.type IN ['x', 'z']", {"x", "z"}),
        ("event.type == 'x' AND event.type == 'y'", set()),
        ("NOT event.type != 'x'", {"x"}),
        ("NOT event.type NOT IN ['x', 'y']", {"x", "y"}),
        ("NOT (event.type != 'x' OR a)", {"x"}),
        ("NOT (event.type != 'x' AND a)", None),
        ("NOT event.type == 'x'", None),
        ("event.type != 'x'", None),
        ("event.type == a", None),
        ("a == event.type == 'x'", {"x"}),
        ("NOT a == event.type != 'x'", None),
        ("event.type STARTS WITH 'x'", None),
        ("event.data.type == 'x'", None),
        ("type == 'x'", None),
        ("a > 1", None),
    ],
)
def test_event_types_are_those_that_can_make_it_true(text: str, types: set[str] | None) -> None:
    assert compile_condition(text).event_types == types


def test_explain_shows_each_value_and_its_place() -> None:
    condition = compile_condition("cpu > 80 AND (region == 'eu' OR latency > 250ms)")

    explanation = condition.explain({"cpu": 91.5, "region": "us"})

    assert str(explanation).splitlines() == [
        'cpu > 80 AND (region == "eu" OR latency > 250ms)  →  unknown',
        "  cpu > 80  →  true",
        "    cpu  →  91.5",
        '  region == "eu" OR latency > 250ms  →  unknown',
        '    region == "eu"  →  false',
        '      region  →  "us"',
        "    latency > 250ms  →  unknown",
        "      latency  →  unknown",
        "      250ms  →  0.25",
    ]
    assert explanation.children[1].column == 15
    assert explanation.children[1].children[1].children[0].text == "latency"


def test_explain_shows_any_value_briefly() -> None:
    text = str(compile_expression("[a, b, c]").explain({"a": "x" * 500, "b": object(), "c": {"k": [1, None]}}))

    assert f'a  →  "{"x" * 76}...' in text
    assert "b  →  <object>" in text
    assert 'c  →  {"k": [1, null]}' in text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("(a - b) - c", "a - b - c"),
        ("a - (b - c)", "a - (b - c)"),
        ("a / (b * c)", "a / (b * c)"),
        ("(a * b) + (c % d)", "a * b + c % d"),
        ("(a + b) * c", "(a + b) * c"),
        ("-(a + b)", "-(a + b)"),
        ("(-a) * -(-b)", "-a * --b"),
        ("((a OR b)) AND c", "(a OR b) AND c"),
        ("a OR (b AND c)", "a OR b AND c"),
        ("(a AND b) AND c", "(a AND b) AND c"),
        ("NOT (NOT a)", "NOT NOT a"),
        ("NOT (a AND b)", "NOT (a AND b)"),
        ("(NOT a) AND b", "NOT a AND b"),
        ("NOT (a == b)", "NOT a == b"),
        ("(NOT a) == b", "(NOT a) == b"),
        ("(a == b) == c", "(a == b) == c"),
        ("a = b", "a == b"),
        ("(a IS NULL) IS NULL", "(a IS NULL) IS NULL"),
        ("(a IN b) IN c", "(a IN b) IN c"),
        ("[(a OR b), (c)]", "[a OR b, c]"),
        ("x['y']['z z'][0]['1']", 'x.y["z z"][0].1'),
    ],
)
def test_parentheses_stand_only_where_they_are_needed(text: str, canonical: str) -> None:
    assert str(compile_condition(text)) == canonical


def test_canonical_text() -> None:
    condition = compile_condition("not(a=1)and( b or c )  and x not in ['y'] and absent( z ) and q.r['s'] .t >-5.0")

    assert str(condition) == 'NOT a == 1 AND (b OR c) AND x NOT IN ["y"] AND absent(z) AND q.r.s.t > -5.0'
    assert repr(condition) == f"<Condition {condition}>"
    assert condition.text.startswith("not(a=1)")
