"""The index leaves out what cannot hold, nothing else, and looks at few rules however many there are."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import Event
from automation.conditions import compile_condition
from automation.model.event import as_mapping
from automation.triggers.index import Index
from automation.triggers.rules import EventScope, Rule


def rule(name: str, *texts: str, **further: Any) -> Rule:
    compiled = tuple(compile_condition(text) for text in texts)
    types = next((c.event_types for c in compiled if c.event_types is not None), None)
    return Rule(name, "conditions", types, conditions=compiled, **further)


def index_of(*rules: Rule) -> Index:
    index = Index()
    for number, each in enumerate(rules):
        index.put(f"{each.workflow}-{number}", [each])
    return index


_NAMES = st.sampled_from(["a", "b", "c", "boom"])
_TEXTS = st.sampled_from(
    [
        "a",
        "boom",
        "b > 1",
        "absent(c)",
        "event.type == 'boom'",
        "event.type IN ['boom', 'a']",
        "NOT a",
        "NOT (a AND event.data.b > 0)",
        "a OR c",
        "1 < 2",
        "event.data.b IS NULL",
        "event.data.c IS NOT NULL OR b == 2",
        "b IS NOT NULL AND c == 3",
        "c == 1 OR c == 2",
        "NOT (event.data.b != 1)",
        "event.subject == 's' AND event.data.b + 1 > c",
        "event.subject IN ['s', 't']",
        "event.severity == 'high'",
        "b IN [1, c]",
        "NOT (0 < a < b)",
    ]
)


@given(
    texts=st.lists(st.lists(_TEXTS, min_size=1, max_size=2), max_size=6),
    type=_NAMES,
    subject=st.sampled_from(["", "s"]),
    data=st.dictionaries(_NAMES, st.one_of(st.booleans(), st.integers(0, 3)), max_size=3),
)
def test_the_index_finds_every_rule_that_holds(
    texts: list[list[str]], type: str, subject: str, data: dict[str, Any]
) -> None:
    rules = [rule(f"w{number}", *some) for number, some in enumerate(texts)]
    event = Event(type=type, subject=subject, data=data)
    scope = EventScope(as_mapping(event))

    candidates = index_of(*rules).candidates(event)

    holding = {each.workflow for each in rules if each.refuses(event, scope) is None}
    assert holding == {each.workflow for each in rules if each.fits(event, scope)}
    assert holding <= {each.workflow for each in candidates}
    assert len(candidates) == len(set(candidates))


@given(
    st.lists(_TEXTS, min_size=1, max_size=4),
    st.dictionaries(_NAMES, st.integers(0, 3), max_size=3),
)
def test_what_was_taken_out_is_not_found_and_leaves_nothing_behind(texts: list[str], data: dict[str, Any]) -> None:
    index = Index()
    for number, text in enumerate(texts):
        index.put(f"w{number}", [rule(f"w{number}", text)])
    for number in range(len(texts)):
        index.take_out(f"w{number}")
        found = {each.workflow for each in index.candidates(Event(type="boom", subject="s", data=data))}
        assert found <= {f"w{later}" for later in range(number + 1, len(texts))}
    assert not index._by_type
    assert not index._by_name
    assert not index._always


def test_a_rule_that_is_taken_out_is_gone() -> None:
    index = Index()
    index.put("w", [rule("w", "a"), rule("w", "absent(b)"), rule("w", "event.type == 'a'")])
    assert len(index.candidates(Event(type="a"))) == 3

    index.take_out("w")

    assert index.candidates(Event(type="a")) == []


@pytest.mark.parametrize(
    "text",
    [
        "event.type == 'metric' AND event.subject == 'host-{}'",
        "event.type == 'type-{}'",
        "event.data.host == 'host-{}'",
        "host == 'host-{}' AND event.severity == 'high'",
        "number IN [{}] AND event.data.load > 5",
        "event.data.only_{} > 5",
        "event.subject == 'host-{}'",
    ],
)
def test_of_thousands_of_rules_one_is_looked_at(text: str) -> None:
    index = index_of(*(rule(f"w{number}", text.format(number)) for number in range(2_000)))
    event = Event(
        type="metric",
        subject="host-77",
        data={"host": "host-78", "number": 79, "load": 6, "only_80": 6},
        severity="high",
    )
    assert len(index.candidates(event)) <= 1
    assert len(index.candidates(Event(type="type-81"))) <= 1


def test_many_schedules_and_alerts_are_told_apart() -> None:
    index = index_of(
        *(Rule(f"s{number}", "schedule", frozenset({"schedule"}), f"nightly-{number}") for number in range(300)),
        *(Rule(f"a{number}", "alert", frozenset({"alert.firing"}), None, f"Alert{number}") for number in range(300)),
    )
    assert [each.workflow for each in index.candidates(Event(type="schedule", subject="nightly-7"))] == ["s7"]
    assert [each.workflow for each in index.candidates(Event(type="alert.firing", data={"alert": "Alert8"}))] == ["a8"]


class Region(StrEnum):
    """A program's own word for a constant."""

    NORTH = "north"


def test_an_enumeration_is_found_by_its_value() -> None:
    index = index_of(rule("w", "region == 'north'"))
    assert len(index.candidates(Event(type="x", data={"region": Region.NORTH}))) == 1
