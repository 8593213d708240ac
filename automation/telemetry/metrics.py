"""The engine's Prometheus metrics: those of the specification by their names there, further ones as `automation_*`.

One registry an engine, so that two engines in one process do not count for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


class Metrics:
    """All metrics of one engine."""

    content_type = "text/plain; version=1.0.0; charset=utf-8"

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.workflow_executions = Counter(
            "workflow_executions_total", "Executions started.", ["workflow"], registry=registry
        )
        self.workflow_duration = Histogram(
            "workflow_execution_duration_seconds",
            "From the start of an execution to its end.",
            ["workflow"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.active_workflows = Gauge("active_workflows", "Executions that are not finished.", registry=registry)
        self.failed_workflows = Counter(
            "failed_workflows_total", "Executions that ended otherwise than succeeded.", ["workflow"], registry=registry
        )
        self.action_executions = Counter(
            "action_executions_total",
            "Attempts of actions, by how they ended.",
            ["operation", "status"],
            registry=registry,
        )
        self.action_duration = Histogram(
            "action_execution_duration_seconds",
            "One attempt of an action.",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.notifications_sent = Counter(
            "alert_notifications_sent_total",
            "Messages to people, by how they ended.",
            ["channel", "status"],
            registry=registry,
        )
        self.efficiency = Gauge(
            "automation_efficiency_ratio",
            "Share of the finished executions that succeeded, since the engine started.",
            registry=registry,
        )
        self.events_received = Counter(
            "automation_events_received_total", "Events published.", ["source"], registry=registry
        )
        self.events_not_started = Counter(
            "automation_events_suppressed_total",
            "Starts that did not happen, by why: duplicate, cooldown, disabled, refused, truncated.",
            ["reason"],
            registry=registry,
        )
        self.rollbacks_incomplete = Counter(
            "automation_rollbacks_incomplete_total",
            "Rollbacks that left something undone.",
            ["workflow"],
            registry=registry,
        )
        self.requests_refused = Counter(
            "automation_requests_refused_total", "HTTP requests refused, by why.", ["reason"], registry=registry
        )
        self.samples = Counter("automation_samples_total", "Metric samples observed.", registry=registry)
        self.samples_refused = Counter(
            "automation_samples_refused_total", "Metric samples refused, by why.", ["reason"], registry=registry
        )
        self.alerts = Gauge("automation_alerts", "Alerts of our rules, by state.", ["state"], registry=registry)
        self.reload_successful = Gauge(
            "automation_config_last_reload_successful",
            "1 if the last reading of definitions was valid.",
            registry=registry,
        )
        self.retention_deleted = Counter(
            "automation_retention_deleted_total",
            "Rows deleted for their age; of the journal, those that were packed.",
            ["table"],
            registry=registry,
        )
        self.retention_last_run = Gauge(
            "automation_retention_last_run_timestamp_seconds",
            "When this process last deleted what was past its time; 0 if it has not yet.",
            registry=registry,
        )
        self.pending = Gauge("automation_store_pending_writes", "Writes that wait for the writer.", registry=registry)
        self.availability = Gauge(
            "service_availability_percentage",
            "Share of good health probes, in percent.",
            ["service_name"],
            registry=registry,
        )
        self.before_render: list[Callable[[], None]] = []
        """Called before the metrics are shown: sets those that are looked up and not counted."""
        self._finished = 0
        self._succeeded = 0
        # Finding a labelled child takes longer than counting in it.
        self.action_counter: Callable[[str, str], Counter] = lru_cache(4096)(self.action_executions.labels)
        self.action_timer: Callable[[str], Histogram] = lru_cache(4096)(self.action_duration.labels)
        self.workflow_counter: Callable[[str], Counter] = lru_cache(4096)(self.workflow_executions.labels)
        self.workflow_timer: Callable[[str], Histogram] = lru_cache(4096)(self.workflow_duration.labels)
        self.workflow_failures: Callable[[str], Counter] = lru_cache(4096)(self.failed_workflows.labels)

    def workflow_finished(self, workflow: str, succeeded: bool, seconds: float) -> None:
        """Count the end of an execution."""
        self.workflow_timer(workflow).observe(seconds)
        self._finished += 1
        # Also for one that succeeded: a rate over a series that is not there yet misses the first failure.
        failures = self.workflow_failures(workflow)
        if succeeded:
            self._succeeded += 1
        else:
            failures.inc()
        self.efficiency.set(self._succeeded / self._finished)

    def watch_store(self, commits: Callable[[], int], pending: Callable[[], int]) -> None:
        """Ask these for the store's figures whenever the metrics are read."""
        self.pending.set_function(pending)
        self.registry.register(_Commits(commits))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for refresh in self.before_render:
            refresh()
        return generate_latest(self.registry)


class _Commits(Collector):
    def __init__(self, commits: Callable[[], int]) -> None:
        self._commits = commits

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily("automation_store_commits", "Transactions committed.", value=self._commits())
