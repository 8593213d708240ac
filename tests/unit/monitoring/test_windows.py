"""What windows show, against a model in plain Python that knows nothing of rings and arrays."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.conditions import Gap, View, Window, compile_condition
from automation.model.metric import Sample
from automation.monitoring.metrics import MetricStore
from automation.monitoring.windows import Windows

START = 1_000_000.0
FUNCTIONS = (
    *("avg", "min", "max", "sum", "count", "rate", "increase", "stddev", "p50", "p75", "p90", "p95", "p99"),
    *("last", "delta", "changed", "absent", "anomaly", "forecast"),
)
AHEAD = 90.0
SAMPLE = Sample(name="x", value=0)


def store_of(points: list[tuple[float, float]], **settings: Any) -> MetricStore:
    store = MetricStore(**settings)
    for time, value in points:
        assert store.record(Sample(name="x", value=value, time=START + time))
    return store


def view(store: MetricStore, function: str, seconds: float, at: float, sample: Sample = SAMPLE) -> View:
    return Windows(store).view(Window(f"{function}(x)", function, "x", seconds, AHEAD), sample, START + at)


def value(store: MetricStore, function: str, seconds: float, at: float) -> Any:
    found = view(store, function, seconds, at).value
    return None if isinstance(found, Gap) else found


def increase(values: list[float]) -> float:
    total = 0.0
    for old, new in pairwise(values):
        total += new - old if new >= old else new
    return total


def unusual(numbers: list[float]) -> float:
    *before, last = numbers
    median = statistics.median(before)
    deviations = sorted(abs(number - median) for number in before)
    if (usual := statistics.median(deviations)) > 0:
        return (last - median) / (1.4826 * usual)
    mean = (math.fsum(deviations) + abs(last - median)) / len(numbers)
    return (last - median) / (mean * math.sqrt(math.pi / 2)) if mean else 0.0


def model(function: str, points: list[tuple[float, float]], seconds: float, at: float, known_from: float) -> Any:
    """The same from its definition; None is unknown."""
    inside = [(time, number) for time, number in points if time >= at - seconds]
    numbers = [number for _, number in inside]
    known = known_from <= at - seconds
    if function == "absent":
        return False if numbers else True if known else None
    if function == "count":
        return len(numbers) if known else None
    if function == "last":
        return numbers[-1] if numbers else None
    if function == "changed":
        return None if not numbers else True if len(set(numbers)) > 1 else False if known else None
    if not numbers or not known or (function in ("rate", "increase", "delta", "forecast") and len(numbers) < 2):
        return None
    if function == "anomaly":
        return unusual(numbers) if len(numbers) > 10 else None
    if function == "forecast":
        line = statistics.linear_regression([time - at for time, _ in inside], numbers)
        return line.intercept + line.slope * AHEAD
    if function.startswith("p"):
        cuts = statistics.quantiles(numbers, n=100, method="inclusive") if len(numbers) > 1 else numbers * 99
        return cuts[int(function[1:]) - 1]
    return {
        "avg": lambda: statistics.fmean(numbers),
        "min": lambda: min(numbers),
        "max": lambda: max(numbers),
        "sum": lambda: math.fsum(numbers),
        "stddev": lambda: statistics.pstdev(numbers),
        "increase": lambda: increase(numbers),
        "rate": lambda: increase(numbers) / (inside[-1][0] - inside[0][0]),
        "delta": lambda: numbers[-1] - numbers[0],
    }[function]()


steps = st.lists(st.tuples(st.integers(1, 40), st.integers(-20, 20) | st.floats(-1e6, 1e6)), max_size=30)


@given(
    steps=steps,
    function=st.sampled_from(FUNCTIONS),
    seconds=st.integers(1, 300),
    later=st.integers(0, 200),
    room=st.integers(1, 40),
    kept_from=st.none() | st.integers(-300, 300),
)
def test_a_window_is_what_its_definition_says(
    steps: list[tuple[int, float]], function: str, seconds: int, later: int, room: int, kept_from: int | None
) -> None:
    points: list[tuple[float, float]] = []
    for gap, number in steps:
        points.append(((points[-1][0] if points else 0.0) + gap, float(number)))
    at = (points[-1][0] if points else 0.0) + later
    began = -math.inf if kept_from is None else float(kept_from)
    kept, lost = points[-room:], points[:-room]
    known_from = max(began, lost[-1][0] + 1e-6 if lost else -math.inf)

    store = store_of(points, samples=room, kept_from=START + began)
    found, expected = value(store, function, seconds, at), model(function, kept, seconds, at, known_from)

    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
    else:
        assert found is expected or found == expected


@given(steps=st.lists(st.floats(0.001, 50), min_size=1, max_size=8), seconds=st.floats(0.01, 100))
def test_absence_begins_exactly_when_it_is_looked_at_again(steps: list[float], seconds: float) -> None:
    store, time = MetricStore(), START
    for step in steps:
        time += step
        store.record(Sample(name="x", value=1, time=time))
    look = Windows(store).view
    window = Window("absent(x)", "absent", "x", seconds)

    before = look(window, SAMPLE, time)
    assert before.value is False
    assert before.until is not None
    assert look(window, SAMPLE, before.until).value is True
    assert look(window, SAMPLE, math.nextafter(before.until, 0)).value is False


def test_a_sample_as_old_as_the_window_counts() -> None:
    store = store_of([(0, 1), (10, 3)])

    assert value(store, "count", 10, 10) == 2
    assert value(store, "count", 10, 10.001) == 1


def test_a_sample_from_a_clock_that_is_ahead_counts_once_it_has_come() -> None:
    assert value(store_of([(5, 1)]), "absent", 10, 0) is False


def test_a_counter_that_starts_again_has_not_gone_down() -> None:
    store = store_of([(0, 100), (10, 130), (20, 5), (30, 25)])

    assert value(store, "increase", 30, 30) == 30 + 5 + 20
    assert value(store, "rate", 30, 30) == pytest.approx(55 / 30)
    assert value(store, "delta", 30, 30) == -75


def test_no_samples_is_unknown_except_to_what_counts_them() -> None:
    store = store_of([(0, 1)])

    assert view(store, "avg", 10, 60).value == Gap("no sample of x in the window")
    assert value(store, "count", 10, 60) == 0
    assert value(store, "absent", 10, 60) is True
    assert view(store, "rate", 60, 60).value == Gap("rate needs two samples in the window")


def test_a_window_that_reaches_behind_what_is_kept_is_unknown() -> None:
    store = store_of([(0, 1), (10, 2), (20, 3)], samples=2)

    assert view(store, "avg", 20, 20).value == Gap("only the last 20 of 20 seconds are known")
    assert value(store, "avg", 19, 20) == 2.5
    assert value(store, "last", 20, 20) == 3
    assert value(store, "changed", 20, 20) is True
    young = store_of([], kept_from=START)
    assert view(young, "absent", 300, 60) == View(Gap("only the last 60 of 300 seconds are known"), until=START + 300)
    assert value(young, "absent", 300, 300) is True


def test_what_is_too_large_for_a_number_is_unknown() -> None:
    store = store_of([(0, -1.7e308), (1, 1.7e308), (2, 1.7e308), (3, 1.7e308)])

    for function in ("sum", "stddev", "increase", "delta", "rate"):
        assert view(store, function, 10, 3).value == Gap("too large for a number"), function


def test_whose_series_is_looked_at() -> None:
    store = MetricStore()
    for time, subject, labels in [(0, "a", {}), (1, "a", {"path": "/"}), (2, "a", {"path": "/x"}), (3, "b", {})]:
        store.record(Sample(name="x", value=time, subject=subject, labels=labels, time=START + time))

    def last(name: str, subject: str, **labels: str) -> Any:
        found = view(store, "last", 60, 3, Sample(name=name, value=0, subject=subject, labels=labels)).value
        return None if isinstance(found, Gap) else found

    assert last("x", "a", path="/") == 1
    assert last("x", "a", path="/y") is None, "its own series and no other"
    assert last("other", "a", path="/") == 1
    assert last("other", "a", path="/y") == 2, "the newest of the subject"
    assert last("other", "c") is None
    assert last("", "") == 3
    assert last("", "a") == 2


def test_explain_says_why_a_window_is_unknown() -> None:
    condition = compile_condition("avg(x, 10m) > 2 * avg(x, 1h)", kept=3600)
    store = store_of([(0, 4), (10, 8)], kept_from=START - 1200)
    look = Windows(store).view
    names = {window.text: look(window, SAMPLE, START + 10).value for window in condition.windows}

    assert condition.evaluate(names) is None
    assert str(condition.explain(names)) == (
        "avg(x, 10m) > 2 * avg(x, 1h)  →  unknown\n"
        "  avg(x, 10m)  →  6.0\n"
        "  2 * avg(x, 1h)  →  unknown\n"
        "    avg(x, 1h)  →  unknown (only the last 1210 of 3600 seconds are known)"
    )
    assert compile_condition("avg(x, 1h) IS NULL", kept=3600).evaluate(names) is True


@given(steps=st.lists(st.floats(0.001, 50), min_size=1, max_size=8), seconds=st.floats(0.01, 100))
def test_a_count_is_looked_at_again_within_a_second_of_its_fall(steps: list[float], seconds: float) -> None:
    store, time, times = MetricStore(), START, []
    for step in steps:
        time += step
        times.append(time)
        store.record(Sample(name="x", value=1, time=time))
    look = Windows(store).view
    window = Window("count(x)", "count", "x", seconds)

    now = look(window, SAMPLE, time)
    oldest = min(each for each in times if each >= time - seconds)
    assert now.until is not None
    assert now.until - 1 <= math.nextafter(oldest + seconds, math.inf)
    assert look(window, SAMPLE, now.until).value < now.value  # type: ignore[operator]


def test_a_percent_is_scaled_against_samples_and_not_against_their_count() -> None:
    names = {"avg(cpu, 5m)": 60.0, "count(cpu, 5m)": 60.0}
    units = {"cpu": "percent"}

    assert compile_condition("avg(cpu, 5m) > 50%", units=units, kept=300).evaluate(names) is True
    assert compile_condition("avg(cpu, 5m) > 70%", units=units, kept=300).evaluate(names) is False
    assert compile_condition("count(cpu, 5m) > 70%", units=units, kept=300).evaluate(names) is True
