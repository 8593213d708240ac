from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.model.metric import Sample
from automation.monitoring.metrics import MetricStore


def sample(value: float, time: float, name: str = "cpu_usage", subject: str = "api", **labels: str) -> Sample:
    return Sample(name=name, value=value, subject=subject, labels=labels, time=time)


def test_samples_are_found_by_name_subject_and_labels() -> None:
    store = MetricStore()
    store.record(sample(1, 10, subject="a", host="x"))
    store.record(sample(2, 30, subject="a", host="y"))
    store.record(sample(3, 20, subject="b"))
    store.record(sample(4, 5, name="load"))

    assert store.names() == ["cpu_usage", "load"]
    assert len(store) == 4
    assert len(store.series("cpu_usage")) == 3
    assert len(store.series("cpu_usage", "a")) == 2
    assert store.latest("cpu_usage") == sample(2, 30, subject="a", host="y")
    assert store.latest("cpu_usage", "b") == sample(3, 20, subject="b")
    assert store.latest("cpu_usage", "c") is None
    assert store.latest("nothing") is None


def test_what_is_not_a_number_is_refused_and_counted() -> None:
    store = MetricStore()
    for value in (math.nan, math.inf, -math.inf):
        assert not store.record(sample(value, 1))
    assert not store.record(sample(1, math.nan))

    assert store.dropped == {"not_finite": 4}
    assert store.names() == []


def test_older_samples_are_refused_and_equally_old_ones_replace() -> None:
    store = MetricStore()
    store.record(sample(1, 10))

    assert not store.record(sample(2, 9))
    assert store.record(sample(3, 10))

    assert store.series("cpu_usage")[0].points() == [(10, 3)]
    assert store.dropped == {"out_of_order": 1}


@given(count=st.integers(1, 40), limit=st.integers(1, 12))
def test_a_full_series_keeps_the_newest(count: int, limit: int) -> None:
    store = MetricStore(samples=limit)
    for time in range(count):
        store.record(sample(time * 2, time))

    (series,) = store.series("cpu_usage")
    assert series.points() == [(time, time * 2) for time in range(count)][-limit:]
    assert series.points(since=count - 2) == [(time, time * 2) for time in range(count)][-min(2, limit) :]
    assert len(series) == min(count, limit)
    assert series.last() == sample(count * 2 - 2, count - 1)


def test_a_window_ends_with_the_newest_sample() -> None:
    store = MetricStore(window_seconds=100)
    for time in (0, 50, 120, 150):
        store.record(sample(time, time))

    assert [time for time, _ in store.window(store.series("cpu_usage")[0])] == [50, 120, 150]


def test_too_many_series_are_refused_until_old_ones_have_gone_silent() -> None:
    store = MetricStore(series_per_metric=2, window_seconds=100)
    store.record(sample(1, 0, replica="a"))
    store.record(sample(1, 90, replica="b"))

    assert not store.record(sample(1, 95, replica="c"))
    assert store.record(sample(1, 95, replica="a", name="other"))
    assert store.record(sample(1, 150, replica="c"))

    assert store.dropped == {"series_limit": 1}
    assert {series.labels for series in store.series("cpu_usage")} == {(("replica", "b"),), (("replica", "c"),)}


def test_too_many_series_in_all_are_refused() -> None:
    store = MetricStore(total_series=2, window_seconds=100)
    store.record(sample(1, 0, name="a"))
    store.record(sample(1, 0, name="b"))

    assert not store.record(sample(1, 0, name="c"))
    assert store.record(sample(1, 500, name="d"))

    assert store.names() == ["d"]
    assert len(store) == 1
    assert store.dropped == {"total_limit": 1}


def test_labels_that_explode_cost_no_walk_through_all_series_each(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MetricStore(series_per_metric=3, window_seconds=100)
    for replica in "abc":
        store.record(sample(1, 0, replica=replica))
    walks = 0
    walk = store._forget_silent

    def counted(name: str, now: float) -> float:
        nonlocal walks
        walks += 1
        return walk(name, now)

    monkeypatch.setattr(store, "_forget_silent", counted)
    assert not any(store.record(sample(1, time, replica=f"x{time}")) for time in range(100))
    assert walks == 1

    # All are silent now and make room, and what comes after them does in its time.
    assert store.record(sample(1, 101, replica="d"))
    assert len(store) == 1
    assert store.record(sample(1, 50, replica="late"))
    assert store.record(sample(1, 102, replica="e"))
    assert not store.record(sample(1, 150, replica="f"))
    assert store.record(sample(1, 151, replica="f"))
    assert walks == 3


@given(moves=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=60))
def test_room_is_found_as_if_all_were_looked_at_each_time(moves: list[tuple[int, int]]) -> None:
    store = MetricStore(series_per_metric=2, total_series=3, window_seconds=10)
    plain = MetricStore(series_per_metric=2, total_series=3, window_seconds=10)
    for number, time in moves:
        plain._full_until.clear()
        each = sample(1, time, name=f"m{number % 2}", replica=str(number))
        assert store.record(each) == plain.record(each)
