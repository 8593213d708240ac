"""`duration`: how long the rest of an AND group has held."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.conditions import Condition, Held, compile_condition
from automation.errors import ConditionError


def run(condition: Condition, samples: list[tuple[float, dict[str, Any]]]) -> list[bool | None]:
    """The values of a condition over time."""
    since, values = condition.initial_since, []
    for now, names in samples:
        held = condition.hold(names, since, now)
        since = held.since  # type: ignore[assignment]
        values.append(held.value)
    return values


def test_it_becomes_true_once_the_rest_has_held() -> None:
    condition = compile_condition("cpu > 80 AND duration > 5m")

    values = run(condition, [(time, {"cpu": 90}) for time in (0, 60, 299, 300, 301, 1000)])

    assert values == [False, False, False, False, True, True]


def test_at_the_moment_the_rest_becomes_true_the_duration_is_0() -> None:
    condition = compile_condition("a AND duration >= 0s AND duration < 1s")

    assert condition.hold({"a": True}, condition.initial_since, 77.5) == Held(True, (77.5,))


@pytest.mark.parametrize("broken", [{"cpu": 70}, {}, {"cpu": None}, {"cpu": "90"}, {"cpu": float("nan")}])
def test_a_break_or_the_unknown_starts_it_again(broken: dict[str, Any]) -> None:
    condition = compile_condition("cpu > 80 AND duration > 10")

    held = condition.hold(broken, (0.0,), 100)

    assert held.since == (None,)
    assert not held.value
    assert run(
        condition, [(0, {"cpu": 90}), (11, broken), (12, {"cpu": 90}), (22, {"cpu": 90}), (23, {"cpu": 90})]
    ) == [
        False,
        held.value,
        False,
        False,
        True,
    ]


def test_each_series_has_its_own_since() -> None:
    condition = compile_condition("cpu > 80 AND duration > 10")

    first = condition.hold({"cpu": 90}, condition.initial_since, 0)
    second = condition.hold({"cpu": 90}, condition.initial_since, 8)

    assert condition.hold({"cpu": 90}, first.since, 11).value is True
    assert condition.hold({"cpu": 90}, second.since, 11).value is False


@pytest.mark.parametrize(
    ("text", "names", "slots"),
    [
        ("a AND duration > 5", {"a"}, 1),
        ("duration > 5 AND a AND b", {"a", "b"}, 1),
        ("a AND (b AND duration > 5)", {"a", "b"}, 1),
        ("a AND duration > 5 AND duration < 9", {"a"}, 1),
        ("a AND NOT duration > 5", {"a"}, 1),
        ("a AND (b OR duration > 5)", {"a"}, 1),
        ("a AND (b OR duration > 5 AND duration < 9)", {"a"}, 1),
        ("a AND duration > 5 OR b AND duration > 9", {"a", "b"}, 2),
        ("a AND (b OR c AND duration > 5)", {"c"}, 1),
        ("NOT (a AND duration > 5)", {"a"}, 1),
        ("a AND duration > 5 AND (b OR c AND duration > 9)", {"a", "b", "c"}, 2),
    ],
)
def test_each_and_group_has_a_slot(text: str, names: set[str], slots: int) -> None:
    """`names` are those that must be true for all groups to hold."""
    condition = compile_condition(text)
    true = dict.fromkeys(names, True)

    assert condition.has_duration
    assert condition.initial_since == (None,) * slots
    assert None not in condition.hold(true, condition.initial_since, 1).since
    for name in names:
        assert None in condition.hold({**true, name: False}, (0,) * slots, 1).since


def test_groups_hold_for_different_times() -> None:
    condition = compile_condition("(a AND duration > 5) OR (b AND duration > 50)")

    assert run(
        condition,
        [
            (0, {"a": False, "b": True}),
            (10, {"a": True, "b": True}),
            (14, {"a": True, "b": True}),
            (16, {"a": True, "b": True}),
            (17, {"a": False, "b": True}),
            (51, {"a": False, "b": True}),
        ],
    ) == [False, False, False, True, False, True]


def test_a_group_within_the_rest_counts_with_its_own_time() -> None:
    condition = compile_condition("a AND duration > 5 AND (b OR c AND duration > 10)")
    names = {"a": True, "b": False, "c": True}

    # c holds from 0, so the inner group is true from 11; the outer rest holds from then and is true from 17.
    assert run(condition, [(time, names) for time in (0, 10, 11, 16, 17)]) == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NOT (a AND duration > 5)", True),
        ("a AND duration > 5", False),
        ("a OR b AND duration > 5", None),
    ],
)
def test_where_the_rest_does_not_hold_the_duration_is_unknown(text: str, value: bool | None) -> None:
    condition = compile_condition(text)

    assert condition.hold({"a": False}, condition.initial_since, 1).value is value


def test_duration_can_be_computed_with() -> None:
    condition = compile_condition("a AND duration / 60 > minutes AND 1m < duration * 2 < 1h")

    assert condition.hold({"a": True, "minutes": 1}, (0,), 61).value is True
    assert condition.hold({"a": True, "minutes": 2}, (0,), 61).value is False
    assert condition.hold({"a": True}, (0,), 61).value is None
    assert condition.hold({"a": True, "minutes": 1}, (0,), 60).value is False


def test_a_condition_without_duration_needs_no_state() -> None:
    condition = compile_condition("a > 1")

    assert not condition.has_duration
    assert condition.initial_since == ()
    assert condition.hold({"a": 2}, (), 0) == Held(True, ())
    assert condition.next_check((), 0) is None


def test_called_with_a_duration_it_uses_that() -> None:
    condition = compile_condition("cpu > 80 AND duration > 5m")

    assert condition({"cpu": 90, "duration": 301})
    assert not condition({"cpu": 90, "duration": 300})
    assert condition.evaluate({"cpu": 90}) is None


def test_the_field_of_an_event_is_not_the_duration() -> None:
    condition = compile_condition("event.duration > 5m")

    assert not condition.has_duration
    assert condition({"event": {"duration": 301}})


def test_since_survives_json() -> None:
    condition = compile_condition("a AND duration > 5 OR b AND duration > 5")
    held = condition.hold({"a": True}, condition.initial_since, 1.5)

    again = json.loads(json.dumps(held.since))

    assert again == [1.5, None]
    assert condition.hold({"a": True}, again, 7).value is True


def test_since_of_another_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 1 times in since, got 2"):
        compile_condition("a AND duration > 5").hold({}, (None, None), 0)


def test_a_clock_that_steps_back_gives_0() -> None:
    condition = compile_condition("a AND duration >= 0 AND duration <= 0")

    assert condition.hold({"a": True}, (100,), 50) == Held(True, (100,))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("duration > 5m", 1),
        ("a OR duration > 5m", 6),
        ("NOT duration > 5m", 5),
        ("duration > 5m AND duration < 1h", 1),
        ("a AND b OR duration > 5m", 12),
        ("[duration] CONTAINS 1", 2),
    ],
)
def test_a_duration_of_nothing_is_refused(text: str, column: int) -> None:
    with pytest.raises(ConditionError, match=r"duration needs something that holds: write x > 1 AND") as caught:
        compile_condition(text)

    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "since", "now", "expected"),
    [
        ("a AND duration >= 5m", (100.0,), 100, 400),
        ("a AND duration > 5m", (100.0,), 100, math.nextafter(400, math.inf)),
        ("a AND duration > 5m", (100.0,), 400, math.nextafter(400, math.inf)),
        ("a AND 5m <= duration", (100.0,), 100, 400),
        ("a AND 5m < duration < 1h", (100.0,), 100, math.nextafter(400, math.inf)),
        ("a AND duration >= 2 * 5m - 1m", (100.0,), 100, 640),
        ("a AND duration >= 5m", (100.0,), 400, None),
        ("a AND duration > 5m", (100.0,), 401, None),
        ("a AND duration >= 5m", (None,), 100, None),
        ("a AND duration < 5m", (100.0,), 100, None),
        ("a AND duration >= limit", (100.0,), 100, None),
        ("a AND duration >= 'x'", (100.0,), 100, None),
        ("a AND duration >= true", (100.0,), 100, None),
        ("a AND duration / 2 >= 5m", (100.0,), 100, None),
        ("a AND duration >= 5m AND duration >= 1m", (100.0,), 100, 160),
        ("a AND duration >= 5m AND duration >= 1m", (100.0,), 200, 400),
        ("a AND duration >= 5m OR b AND duration >= 1m", (100.0, 350.0), 350, 400),
        ("a AND duration >= 5m OR b AND duration >= 1m", (100.0, 300.0), 350, 360),
        ("a AND duration >= 5m OR b AND duration >= 1m", (100.0, None), 350, 400),
        ("a AND (b OR c AND duration >= 1m) AND duration >= 5m", (300.0, 100.0), 350, 360),
    ],
)
def test_the_next_check_is_when_a_comparison_becomes_true(
    text: str, since: tuple[float | None, ...], now: float, expected: float | None
) -> None:
    assert compile_condition(text).next_check(since, now) == expected


@given(
    st.floats(0, 2e9),
    st.sampled_from(["0.1s", "1s", "0.3s", "5m", "1w", "100us"]),
    st.sampled_from([">", ">="]),
)
def test_at_the_next_check_it_is_true(start: float, bound: str, operator: str) -> None:
    condition = compile_condition(f"a AND duration {operator} {bound}")
    since = condition.hold({"a": True}, condition.initial_since, start).since

    due = condition.next_check(since, start)

    assert due is not None
    assert due >= start
    assert condition.hold({"a": True}, since, due).value is True
    assert condition.next_check(since, due) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([True, False, None])), max_size=30))
def test_it_agrees_with_the_whole_history(steps: list[tuple[int, bool | None]]) -> None:
    condition = compile_condition("a AND duration > 5")
    now, history, samples = 0, [], []
    for wait, value in steps:
        now += wait
        samples.append((float(now), {"a": value}))
        history.append((now, value))

    values = run(condition, samples)

    for place, (time, value) in enumerate(history):
        broken = [index for index in range(place + 1) if history[index][1] is not True]
        first = broken[-1] + 1 if broken else 0
        expected = value if value is not True else time - history[first][0] > 5
        assert values[place] is expected
