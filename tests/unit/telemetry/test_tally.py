"""The light counters say to Prometheus what its own client would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from automation.telemetry.tally import Stopwatch, Tally

BUCKETS = (0.001, 0.25, 1, 60)


def lines(registry: CollectorRegistry) -> set[str]:
    # The client adds the time at which it made each series, which ours do not know.
    return {line for line in generate_latest(registry).decode().splitlines() if "_created" not in line}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["succeeded", 'odd "one"\n']))))
def test_a_tally_is_a_counter(counted: list[tuple[str, str]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("runs_total", "Runs.", ["operation", "status"], ours)
    counter = Counter("runs_total", "Runs.", ["operation", "status"], registry=theirs)
    for labels in counted:
        tally.add(*labels)
        counter.labels(*labels).inc()

    assert lines(ours) == lines(theirs)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.001, 0.0011, 0.25, 0.5, 1, 59.9, 60, 61]))))
def test_a_stopwatch_is_a_histogram(timed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    stopwatch = Stopwatch("run_seconds", "A run.", "operation", BUCKETS, ours)
    histogram = Histogram("run_seconds", "A run.", ["operation"], buckets=BUCKETS, registry=theirs)
    for operation, seconds in timed:
        stopwatch.observe(operation, seconds)
        histogram.labels(operation).observe(seconds)

    assert lines(ours) == lines(theirs)


def test_counting_zero_makes_the_series_appear() -> None:
    registry = CollectorRegistry()
    Tally("failures_total", "Failures.", ["workflow"], registry).add("w", by=0)

    assert 'failures_total{workflow="w"} 0.0' in lines(registry)


def test_a_name_that_is_taken_is_refused() -> None:
    registry = CollectorRegistry()
    Tally("runs_total", "Runs.", ["operation"], registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("runs_total", "Runs.", ["operation"], registry=registry)
