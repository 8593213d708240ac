"""Conditions of ansible-rulebook, read and said in our language."""

from __future__ import annotations

from typing import Any

import pytest

from automation.conditions import compile_condition
from automation.definitions.rulebook.conditions import NoEquivalent, Scope, read, translated
from automation.definitions.rulebook.layout import Layout

PLAIN = Scope(Layout(("t",)), {"limit": 5, "person": {"ages": [1, 2]}, "pattern": "^a"})


def ours(text: str, scope: Scope = PLAIN) -> str:
    return translated(read(text).tree, scope)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        # `and` and `or` have the same precedence there, and are read from left to right.
        (
            "event.a == 1 or event.b == 2 and event.c == 3",
            "(event.data.a == 1 OR event.data.b == 2) AND event.data.c == 3",
        ),
        (
            "event.a == 1 and event.b == 2 or event.c == 3",
            "event.data.a == 1 AND event.data.b == 2 OR event.data.c == 3",
        ),
        ("event.a and (event.b or event.c)", "event.data.a AND (event.data.b OR event.data.c)"),
        ("event.a and event.b and event.c", "event.data.a AND event.data.b AND event.data.c"),
        ("not event.i > 50", "NOT event.data.i > 50"),
        ("not event.a or event.b", "NOT event.data.a OR event.data.b"),
        ("event.a - 1 - 2 == 0", "event.data.a - 1 - 2 == 0"),
        ("event.a-1 == -2.5", "event.data.a - 1 == -2.5"),
        ("event.x is defined", "event.data.x IS NOT NULL"),
        ("event.x.y is not defined", "event.data.x.y IS NULL"),
        ("event.x == null", 'event.data CONTAINS "x" AND event.data.x IS NULL'),
        ("event.x != null", "event.data.x IS NOT NULL"),
        ("event.x in [1, 'a', event.y]", 'event.data.x IN [1, "a", event.data.y]'),
        ("event.x NOT IN [1]", "event.data.x NOT IN [1]"),
        ("event.x contains 'a'", '"a" IN event.data.x'),
        ("event.x not contains 1", "1 NOT IN event.data.x"),
        ("event.x is select('==', 1)", "1 IN event.data.x"),
        ("event.u is match('https://a/b')", 'event.data.u STARTS WITH "https://a/b"'),
        ("event.u is match('a.c|b')", 'event.data.u MATCHES "^(?:a.c|b)"'),
        ("event.u is search('ab', ignorecase=true, multiline=true)", 'event.data.u MATCHES "(?im)ab"'),
        (r"event.u is not regex('a\.b$')", r'NOT event.data.u MATCHES "a\\.b$"'),
        ("event.u is regex(vars.pattern)", 'event.data.u MATCHES "^a"'),
        ("event.i < vars.limit", "event.data.i < 5"),
        ("event.i in vars.person.ages", "event.data.i IN [1, 2]"),
        ("event.a == word", 'event.data.a == "word"'),
        (r"event.a == 'a\tb'", r'event.data.a == "a\tb"'),
        ("event['a b'][0][\"c-d\"][-1] == True", 'event.data["a b"][0]["c-d"][-1] == true'),
        ("event.meta.uuid == 'x'", 'event.id == "x"'),
    ],
)
def test_a_condition_is_said_in_our_language(theirs: str, expected: str) -> None:
    assert ours(theirs) == expected


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ("fact.os == 'linux'", "fact.os is a fact"),
        ("event.i == vars.missing", "vars.missing is not in the file of variables"),
        ("event.x is selectattr('a', '==', 1)", "`is selectattr(...)` has no equivalent"),
        ("event.x is select('>', 1)", "`is select(...)` has no equivalent"),
        ("event.x is not select('==', 1)", "`is not select(...)` has no equivalent"),
        ("event.x is search(event.y)", "must be a text that is known beforehand"),
        ("event.x is search('a', dotall=true)", "search has no option dotall"),
        ("event.x is search('(a+)+$')", "where the pattern"),
        ("event.x is odd", "`is` takes defined, match"),
        ("events.other.x == 1", "events.other.x names no other event of this rule"),
        ("event.x == '{{ y }}'", "is a template"),
        ("event.x == 1 AND event.y == 2", "does not expect 'AND' at column 14"),
        ("event.x ==", "does not expect the end at column 11"),
        ("event.x == ¤", "cannot be read at column 12"),
        ("event.x == 1e999", "a number that is too large"),
        ("(" * 30 + "event.x" + ")" * 30, "nested deeper than 20 levels"),
        ("not " * 5000 + "event.x", "more than 10,000 characters"),
        (" and ".join(["event.x"] * 100), "more than 80 operators"),
        ("event.first << event.i == 0", "`<<` takes events.<name> on its left"),
        ("facts.first << event.i == 0", "facts.first is a fact"),
    ],
)
def test_what_has_no_equivalent_says_why(theirs: str, why: str) -> None:
    with pytest.raises(NoEquivalent) as refused:
        ours(theirs)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("theirs", "data", "expected"),
    [
        # As ansible-rulebook 1.3.2 with Drools decides them.
        ("event.a == 1 or event.b == 2 and event.c == 3", {"a": 1}, False),
        ("event.a == 1 or event.b == 2 and event.c == 3", {"a": 1, "c": 3}, True),
        ("event.a == 1 or event.b == 2", {"a": 1}, True),
        ("not (event.i > 50)", {"j": 1}, False),
        ("not (event.a == 1 or event.b == 2)", {"a": 2}, False),
        ("not (event.a == 1 and event.b == 2)", {"a": 2}, True),
        ("event.x != 1", {"y": 2}, False),
        ("event.x == null", {"y": 2}, False),
        ("event.x == null", {"x": None}, True),
        ("event.l contains 'a'", {"l": "abc"}, False),
        ("event.l contains 'a'", {"l": ["a"]}, True),
        ("event.a == 1", {"a": "1"}, False),
        ("event.s is match('ab')", {"s": "xab"}, False),
        ("event.s is regex('a.b$')", {"s": "xaxb"}, True),
        ("event.l is select('==', 1)", {"l": [2, 1]}, True),
    ],
)
def test_it_is_true_for_the_same_events(theirs: str, data: dict[str, Any], expected: bool) -> None:
    assert compile_condition(ours(theirs))({"event": {"data": data}}) is expected


def test_the_name_depends_on_the_source() -> None:
    alerts = Scope(Layout(("alert.firing",), alerts=True))
    assert ours("event.alert.labels.job == 'a' and event.alert.status == 'firing'", alerts) == (
        'event.labels.job == "a" AND event.data.status == "firing"'
    )
    wrapped = Scope(Layout(("webhook.a",), frozenset({"payload"})))
    assert ours("event.payload.x == 1 and event.y == 2", wrapped) == "event.data.x == 1 AND event.data.y == 2"


@pytest.mark.parametrize("text", ["event.a or event.b and event.c", "event.a and (event.b and event.c or event.d)"])
def test_a_mix_without_parentheses_is_noticed(text: str) -> None:
    assert read(text).mixed
    assert not read("event.a or (event.b and event.c)").mixed


def test_an_alias_is_read() -> None:
    found = read("events.first << event.i == 0")
    assert (found.alias, translated(found.tree, PLAIN)) == ("first", "event.data.i == 0")
