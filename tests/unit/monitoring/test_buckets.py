"""Buckets say of samples what the samples say themselves, however they are cut and put together."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.conditions import Gap, Window
from automation.model.metric import Sample
from automation.monitoring.buckets import coarser, fold, total_of
from automation.monitoring.metrics import MOST_PENDING, MetricStore
from automation.monitoring.past import ANSWERED, Past
from automation.monitoring.windows import Windows

POINTS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(-100, 100)), min_size=2, max_size=60, unique_by=lambda p: p[0]
).map(sorted)


def window(function: str, since: float, now: float) -> Window:
    return Window("w", function, "x", now - since, ahead=60.0)


@given(points=POINTS, cut=st.integers(0, 60))
def test_windows_over_whole_buckets_are_as_over_the_samples(points: list[tuple[int, int]], cut: int) -> None:
    times, values = [float(time) for time, _ in points], [float(value) for _, value in points]
    first, rest = coarser(fold(times[:cut], values[:cut], None, 10), 100), []
    if cut < len(times):
        rest = fold(times[cut:], values[cut:], values[cut - 1] if cut else None, 10)
    past = Past(first, 100, 10_000, 0.0)

    store = MetricStore()
    for time, value in zip(times, values, strict=True):
        store.record(Sample(name="x", value=value, subject="s", time=time))
    look = Windows(store).view
    for function in ANSWERED - {"forecast", "rate"}:
        wanted = look(window(function, -4000.0, 6000.0), Sample(name="x", value=0, subject="s"), 6000.0).value
        found = past.value(window(function, -4000.0, 6000.0), 6000.0, rest)
        assert found == pytest.approx(wanted), function


@given(values=st.lists(st.integers(-100, 100), min_size=2, max_size=60))
def test_a_forecast_from_buckets_is_that_of_samples_in_the_middle_of_them(values: list[int]) -> None:
    times = [10.0 * place + 5 for place in range(len(values))]
    samples = [float(value) for value in values]
    past, now = Past(fold(times, samples, None, 10), 10, 10_000, 0.0), 10.0 * len(values)

    store = MetricStore()
    for time, value in zip(times, samples, strict=True):
        store.record(Sample(name="x", value=value, subject="s", time=time))
    asked = window("forecast", -4000.0, now)
    wanted = Windows(store).view(asked, Sample(name="x", value=0, subject="s"), now).value
    assert past.value(asked, now, []) == pytest.approx(wanted)


@given(points=POINTS)
def test_longer_buckets_are_the_same_whichever_way_they_are_made(points: list[tuple[int, int]]) -> None:
    times, values = [float(time) for time, _ in points], [float(value) for _, value in points]

    assert coarser(coarser(fold(times, values, None, 10), 50), 200) == fold(times, values, None, 200)


@given(points=POINTS, cuts=st.lists(st.integers(0, 60), max_size=4))
def test_a_past_that_is_given_parts_of_buckets_is_the_same(points: list[tuple[int, int]], cuts: list[int]) -> None:
    times, values = [float(time) for time, _ in points], [float(value) for _, value in points]
    past = Past([], 100, 10_000, 0.0)
    edges = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for begin, end in itertools.pairwise(edges):
        for bucket in fold(times[begin:end], values[begin:end], values[begin - 1] if begin else None, 10):
            past.add(bucket)

    whole = Past(fold(times, values, None, 100), 100, 10_000, 0.0)
    for function in sorted(ANSWERED):
        assert past.value(window(function, -4000.0, 6000.0), 6000.0, []) == whole.value(
            window(function, -4000.0, 6000.0), 6000.0, []
        )


def test_a_past_forgets_what_lies_further_back_than_it_is_asked_for() -> None:
    past = Past([], 100, 1000, 0.0)
    for time in range(0, 10_000, 100):
        past.add(fold([float(time)], [1.0], None, 100)[0])

    assert past.value(window("count", 8950.0, 9990.0), 9990.0, []) == 11
    assert isinstance(past.value(window("count", 0.0, 9990.0), 9990.0, []), int)
    assert past.value(window("count", 0.0, 9990.0), 9990.0, []) < 30  # type: ignore[operator]


def test_nothing_in_the_window_is_unknown_but_counted() -> None:
    past = Past([], 100, 1000, 0.0)

    assert past.value(window("count", 0.0, 1.0), 1.0, []) == 0
    assert past.value(window("avg", 0.0, 1.0), 1.0, []) == Gap("no sample in the window")
    assert past.value(window("rate", 0.0, 1.0), 1.0, fold([5.0], [1.0], None, 10)) == Gap(
        "rate needs two samples in the window"
    )


def test_what_is_too_large_for_a_number_stays_one() -> None:
    assert math.isfinite(1000 * total_of([1e308, 1e308]))
    assert total_of([-1e308, -1e308]) < -1e299


class TestSeries:
    def test_what_makes_room_before_it_is_written_is_gathered(self) -> None:
        store = MetricStore(samples=8)
        store.resolution = 10.0
        for time in range(100):
            store.record(Sample(name="x", value=float(time), subject="s", time=float(time)))
        (series,) = store.series("x")

        given_over = series.hand_over()

        assert given_over == fold([float(t) for t in range(100)], [float(t) for t in range(100)], None, 10.0)
        assert len(series) == 8

    def test_what_was_not_taken_is_given_again_with_what_came_meanwhile(self) -> None:
        store = MetricStore()
        store.resolution = 10.0
        store.record(Sample(name="x", value=1.0, subject="s", time=1.0))
        (series,) = store.series("x")
        first = series.hand_over()
        store.record(Sample(name="x", value=3.0, subject="s", time=2.0))

        assert series.hand_over() == first
        assert [bucket.count for bucket in series.unsaved()] == [1, 1]
        series.handed_over(False)
        assert coarser(series.hand_over(), 10) == fold([1.0, 2.0], [1.0, 3.0], None, 10.0)
        series.handed_over(True)
        assert series.unsaved() == [] == series.hand_over()

    def test_what_cannot_be_written_for_too_long_is_lost_and_counted(self) -> None:
        store = MetricStore()
        store.resolution = 10.0
        for turn in range(MOST_PENDING + 5):
            store.record(Sample(name="x", value=1.0, subject="s", time=turn * 10.0))
        (series,) = store.series("x")

        assert len(series.hand_over()) == MOST_PENDING
        assert series.lost == 5
