"""What patterns find, against what they say: each is compared with its meaning, over events and times at random."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.triggers.patterns import Arrival, Outcome, Pattern, Piece, advance, expire

WITHIN = 10.0
NAMES = ("a", "b", "c")

Come = tuple[float, str]
"""When, and what."""

histories = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(NAMES)), max_size=12).map(
    lambda gaps: [(float(sum(gap for gap, _ in gaps[: place + 1])), name) for place, (_, name) in enumerate(gaps)]
)


def pattern(kind: str, names: tuple[str, ...] = NAMES, **further: Any) -> Pattern:
    return Pattern(kind, tuple(Piece(name, name) for name in names), WITHIN, **further)


def play(wanted: Pattern, history: list[Come], *, lazily: bool = False) -> list[tuple[float, dict[str, Any]]]:
    """What is found and when; `lazily`, nobody looks at a time that is over before the next event comes."""
    body: dict[str, Any] | None = None
    found: list[tuple[float, dict[str, Any]]] = []

    def take(at: float, outcome: Outcome) -> None:
        nonlocal body
        body = outcome.body
        assert (body is None) == (outcome.until is None)
        assert body is None or body["until"] == outcome.until
        found.extend((at, match) for match in outcome.matches)

    for at, name in history:
        if body is not None and body["until"] <= at and not lazily:
            take(body["until"], expire(wanted, body))
        fitting = [place for place, piece in enumerate(wanted.pieces) if piece.event == name]
        if fitting:
            take(at, advance(wanted, body, Arrival({"id": f"{name}@{at}", "type": name}, at, fitting)))
    if body is not None:
        take(body["until"], expire(wanted, body))
    return found


@given(histories)
def test_all_is_found_as_soon_as_each_has_come_lately(history: list[Come]) -> None:
    expected: list[float] = []
    since = 0
    for end, (at, _) in enumerate(history):
        lately = {name for moment, name in history[since : end + 1] if at - moment < WITHIN}
        if lately == set(NAMES):
            expected.append(at)
            since = end + 1
    assert [at for at, _ in play(pattern("all"), history)] == expected


@given(histories)
def test_a_sequence_is_found_if_any_way_to_read_it_is_one(history: list[Come]) -> None:
    expected: list[float] = []
    since = 0
    for end, (at, _) in enumerate(history):
        for places in combinations(range(since, end + 1), len(NAMES)):
            told = [history[place] for place in places]
            if places[-1] == end and tuple(name for _, name in told) == NAMES and at - told[0][0] < WITHIN:
                expected.append(at)
                since = end + 1
                break
    assert [at for at, _ in play(pattern("sequence"), history)] == expected


@given(histories, st.integers(2, 4))
def test_a_count_is_found_with_the_last_of_so_many_in_a_sliding_window(history: list[Come], count: int) -> None:
    expected: list[float] = []
    counted: list[float] = []
    for at, name in history:
        if name != "a":
            continue
        counted = [moment for moment in counted if at - moment < WITHIN] + [at]
        if len(counted) == count:
            expected.append(at)
            counted = []
    assert [at for at, _ in play(pattern("count", ("a",), count=count), history)] == expected


@given(histories, st.booleans())
def test_absence_is_found_once_after_each_last_one(history: list[Come], lazily: bool) -> None:
    beats = [at for at, name in history if name == "a"]
    following = [*beats, float("inf")][1:]
    expected = [at + WITHIN for at, then in zip(beats, following, strict=True) if then >= at + WITHIN]
    found = play(pattern("absence", ("a",)), history, lazily=lazily)
    if lazily:
        assert len(found) == len(expected)
    else:
        assert [at for at, _ in found] == expected


@given(histories, st.booleans())
def test_absence_after_something_is_found_unless_it_comes_in_time(history: list[Come], lazily: bool) -> None:
    expected: list[float] = []
    armed: float | None = None
    for at, name in history:
        if armed is not None and at >= armed + WITHIN:
            expected.append(armed + WITHIN)
            armed = None
        if name == "a":
            armed = None
        if name == "b" and armed is None:
            armed = at
    if armed is not None:
        expected.append(armed + WITHIN)
    found = play(pattern("absence", ("a", "b")), history, lazily=lazily)
    assert len(found) == len(expected)
    if not lazily:
        assert [at for at, _ in found] == expected


@given(histories, st.booleans())
def test_not_all_is_found_at_the_end_of_a_window_that_is_not_complete(history: list[Come], lazily: bool) -> None:
    expected: list[tuple[float, set[str]]] = []
    begun: float | None = None
    come: set[str] = set()
    for at, name in [*history, (float("inf"), "")]:
        if begun is not None and at >= begun + WITHIN:
            expected.append((begun + WITHIN, set(NAMES) - come))
            begun, come = None, set()
        if name:
            begun = at if begun is None else begun
            come.add(name)
            if come == set(NAMES):
                begun, come = None, set()
    found = play(pattern("not_all"), history, lazily=lazily)
    assert [set(match["missing"]) for _, match in found] == [missing for _, missing in expected]
    if not lazily:
        assert [at for at, _ in found] == [at for at, _ in expected]


@given(histories, st.sampled_from(["all", "sequence", "not_all", "any"]))
def test_what_is_found_names_events_that_fit(history: list[Come], kind: str) -> None:
    for at, match in play(pattern(kind), history):
        for name, event in match["steps"].items():
            assert event["type"] == name
            assert at - float(event["id"].partition("@")[2]) <= WITHIN


@given(histories, st.sampled_from(["all", "sequence", "not_all", "count", "absence", "any"]))
def test_a_partial_match_is_bounded(history: list[Come], kind: str) -> None:
    wanted = pattern(kind, NAMES[:2] if kind == "absence" else NAMES, count=3)
    body: dict[str, Any] | None = None
    for at, name in history:
        fitting = [place for place, piece in enumerate(wanted.pieces) if piece.event == name]
        if fitting:
            body = advance(wanted, body, Arrival({"type": name}, at, fitting)).body
        assert body is None or len(repr(body)) < 1000
        assert body is None or body["until"] <= at + WITHIN


def test_an_event_may_be_several_parts() -> None:
    wanted = pattern("all", ("a", "a"))
    assert len(play(wanted, [(0.0, "a")])) == 1


@pytest.mark.parametrize("kind", ["all", "sequence"])
def test_at_the_very_end_it_is_over(kind: str) -> None:
    assert play(pattern(kind, ("a", "b")), [(0.0, "a"), (WITHIN - 0.001, "b")])
    assert not play(pattern(kind, ("a", "b")), [(0.0, "a"), (WITHIN, "b")])


def test_of_a_sequence_the_way_that_began_last_counts() -> None:
    ((at, match),) = play(pattern("sequence", ("a", "b")), [(0.0, "a"), (8.0, "a"), (12.0, "b")])
    assert (at, match["steps"]["a"]["id"], match["first_at"]) == (12.0, "a@8.0", 8.0)
