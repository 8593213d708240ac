"""What the metrics say of sources."""

from __future__ import annotations

from collections.abc import Mapping

from automation.sources.supervisor import SourceState
from automation.telemetry.metrics import Metrics


def show_sources(metrics: Metrics, states: Mapping[str, SourceState]) -> None:
    """Put how each source is doing into the metrics; what is gone is not shown any more."""
    for gauge in (metrics.source_up, metrics.source_lag, metrics.source_last_event):
        gauge.clear()
    metrics.source_restarts.counts.clear()
    metrics.source_items.counts.clear()
    for name, state in states.items():
        metrics.source_up.labels(name).set(state.status == "running" and not state.held_back)
        metrics.source_restarts.add(name, by=state.restarts)
        metrics.source_items.add(name, "event", by=state.events - state.duplicates)
        metrics.source_items.add(name, "duplicate", by=state.duplicates)
        metrics.source_items.add(name, "rejected", by=state.rejected)
        if state.lag is not None:
            metrics.source_lag.labels(name).set(state.lag)
        if state.last_event_at is not None:
            metrics.source_last_event.labels(name).set(state.last_event_at)
