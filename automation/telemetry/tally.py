"""Counters and histograms for the hot path: counted on the event loop alone, so without a lock for each count."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Tally(Collector):
    """A counter. Finding a child of `prometheus_client.Counter`, and its lock, cost more than counting."""

    def __init__(self, name: str, help: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name.removesuffix("_total")
        self._help = help
        self._labelnames = tuple(labels)
        self.counts: dict[Labels, int] = {}
        registry.register(self)

    def add(self, *labels: str, by: int = 1) -> None:
        """Count one, or `by`; zero makes the series appear."""
        self.counts[labels] = self.counts.get(labels, 0) + by

    def describe(self) -> Iterator[CounterMetricFamily]:
        """What it is, without a number."""
        yield CounterMetricFamily(self._name, self._help, labels=self._labelnames)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What Prometheus is told."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labelnames)
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        yield family


class Stopwatch(Collector):
    """A histogram of seconds, by one label."""

    def __init__(self, name: str, help: str, label: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help
        self._labelnames = (label,)
        self._buckets = tuple(map(float, buckets))
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def observe(self, label: str, seconds: float) -> None:
        """Count one that took so long."""
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = [0] * (len(self._buckets) + 1)
            self._sums[label] = 0.0
        counts[bisect_left(self._buckets, seconds)] += 1
        self._sums[label] += seconds

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """What it is, without a number."""
        yield HistogramMetricFamily(self._name, self._help, labels=self._labelnames)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What Prometheus is told: each bucket counts all that took no longer than its bound."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labelnames)
        for label, counts in self._counts.items():
            total, buckets = 0, []
            for bound, count in zip((*self._buckets, inf), counts, strict=True):
                total += count
                buckets.append(("+Inf" if bound == inf else str(bound), total))
            family.add_metric([label], buckets, self._sums[label])
        yield family
