"""The engine's Prometheus metrics: those of the specification by their names there, further ones as `automation_*`.

One registry an engine, so that two engines in one process do not count for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from automation.telemetry.tally import Stopwatch, Tally

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


class WorkflowMetrics:
    """Executions of workflows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workflow_executions = Tally("workflow_executions_total", "Executions started.", ["workflow"], registry)
        self.workflow_duration = Stopwatch(
            "workflow_execution_duration_seconds",
            "From the start of an execution to its end.",
            "workflow",
            _SECONDS,
            registry,
        )
        self.active_workflows = Gauge(
            "active_workflows",
            "Executions that this process runs now; those that wait for a time or a person are not counted.",
            registry=registry,
        )
        self.failed_workflows = Tally(
            "failed_workflows_total", "Executions that ended otherwise than succeeded.", ["workflow"], registry
        )
        self.efficiency = Gauge(
            "automation_efficiency_ratio",
            "Share of the finished executions that succeeded, since the engine started.",
            registry=registry,
        )
        self.rollbacks_incomplete = Counter(
            "automation_rollbacks_incomplete_total",
            "Rollbacks that left something undone.",
            ["workflow"],
            registry=registry,
        )
        self._finished = 0
        self._succeeded = 0
        self.efficiency.set_function(lambda: self._succeeded / self._finished if self._finished else 0.0)

    def workflow_finished(self, workflow: str, succeeded: bool, seconds: float) -> None:
        """Count the end of an execution."""
        self.workflow_duration.observe(workflow, seconds)
        self._finished += 1
        self._succeeded += succeeded
        # Also for one that succeeded: a rate over a series that is not there yet misses the first failure.
        self.failed_workflows.add(workflow, by=not succeeded)


class ActionMetrics:
    """Attempts of actions, and what is left behind by them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.action_executions = Tally(
            "action_executions_total",
            "Attempts of actions, by how they ended.",
            ["operation", "status"],
            registry,
        )
        self.action_duration = Stopwatch(
            "action_execution_duration_seconds", "One attempt of an action.", "operation", _SECONDS, registry
        )
        self.retries_refused = Counter(
            "automation_retries_refused_total",
            "Failed actions that were not tried again because a retry budget was spent, by workflow.",
            ["workflow"],
            registry=registry,
        )
        self.handlers_left_behind = Counter(
            "automation_handlers_left_behind_total",
            "Handlers that ignored their cancellation and run on although their action has ended.",
            ["operation"],
            registry=registry,
        )
        self.stray_threads = Gauge(
            "automation_threads_left_behind",
            "Plain functions that run on in a thread although their action has ended.",
            registry=registry,
        )


class GuardMetrics:
    """What holds actions back."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.guardrail_refusals = Counter(
            "guardrail_refusals_total",
            "Actions that a guardrail held back, by which: stop, freeze, cooldown, rate, blast_radius.",
            ["guardrail"],
            registry=registry,
        )
        self.breakers = Gauge(
            "circuit_breaker_state",
            "The circuit of an operation on a target, once it has opened: 0 closed, 1 half open, 2 open.",
            ["operation", "target"],
            registry=registry,
        )


class EventMetrics:
    """Events and samples, and what is refused at the door."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events_received = Tally("automation_events_received_total", "Events published.", ["source"], registry)
        self.events_not_started = Counter(
            "automation_events_suppressed_total",
            "Starts that did not happen, by why: duplicate, cooldown, disabled, throttled, refused, as decisions say.",
            ["reason"],
            registry=registry,
        )
        self.samples = Counter("automation_samples_total", "Metric samples observed.", registry=registry)
        self.samples_refused = Counter(
            "automation_samples_refused_total", "Metric samples refused, by why.", ["reason"], registry=registry
        )
        self.series_without_history = Counter(
            "automation_series_without_history_total",
            "Series of samples that have no history because there were `metrics.history.max_series` already.",
            registry=registry,
        )
        self.buckets_lost = Counter(
            "automation_metric_buckets_lost_total",
            "Buckets of samples that the history has not got because the database could not be written for too long.",
            registry=registry,
        )
        self.requests_refused = Counter(
            "automation_requests_refused_total", "HTTP requests refused, by why.", ["reason"], registry=registry
        )
        self.webhooks_refused = Counter(
            "automation_webhooks_refused_total",
            "Webhooks refused, by why: a signature or a certificate that does not hold, or a body that cannot be read. "
            "Those without an entry in `webhooks` and of no known format count as `other`.",
            ["webhook", "reason"],
            registry=registry,
        )


class SourceMetrics:
    """Sources of events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.source_up = Gauge(
            "automation_source_up",
            "1 while a source runs and what it gives is stored; 0 while it is starting, failed, stopped or held back.",
            ["source"],
            registry=registry,
        )
        self.source_restarts = Tally(
            "automation_source_restarts_total", "Starts of a source after a fault.", ["source"], registry
        )
        self.source_items = Tally(
            "automation_source_items_total",
            "What a source gave, by what became of it: event, duplicate, rejected.",
            ["source", "outcome"],
            registry,
        )
        self.source_lag = Gauge(
            "automation_source_lag",
            "Items that wait where a source takes them from, when it took the last ones; only of sources that know.",
            ["source"],
            registry=registry,
        )
        self.source_last_event = Gauge(
            "automation_source_last_event_timestamp_seconds",
            "When a source gave its last event.",
            ["source"],
            registry=registry,
        )


class AlertMetrics:
    """Alerts, services, and what people are told."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.alerts = Gauge("automation_alerts", "Alerts of our rules, by state.", ["state"], registry=registry)
        self.notifications_sent = Counter(
            "alert_notifications_sent_total",
            "Messages to people, by how they ended.",
            ["channel", "status"],
            registry=registry,
        )
        self.availability = Gauge(
            "service_availability_percentage",
            "Share of good health probes, in percent.",
            ["service_name"],
            registry=registry,
        )

    def notified(self, channel: str, status: str) -> None:
        """Count a message to people, by how it ended."""
        self.notifications_sent.labels(channel, status).inc()


class UpkeepMetrics:
    """Definitions, and the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
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


class Metrics(WorkflowMetrics, ActionMetrics, GuardMetrics, EventMetrics, SourceMetrics, AlertMetrics, UpkeepMetrics):
    """All metrics of one engine."""

    content_type = "text/plain; version=1.0.0; charset=utf-8"

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        WorkflowMetrics.__init__(self, registry)
        ActionMetrics.__init__(self, registry)
        GuardMetrics.__init__(self, registry)
        EventMetrics.__init__(self, registry)
        SourceMetrics.__init__(self, registry)
        AlertMetrics.__init__(self, registry)
        UpkeepMetrics.__init__(self, registry)
        self.before_render: list[Callable[[], None]] = []
        """Called before the metrics are shown: sets those that are looked up and not counted."""

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
