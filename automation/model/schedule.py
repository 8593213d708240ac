"""Schedules and sources, as users define them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from automation.model.base import Definition, Name
from automation.model.normaliser import Normaliser


class ScheduleDefinition(Definition):
    """Publishes an event of type `schedule` at the times of a cron expression, and starts a workflow with it."""

    name: Name
    cron: str
    """Five fields: minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """An IANA time zone; times that a change of the clock skips or repeats fire once."""
    workflow: Name | None = None
    """The workflow to start; without it, only those whose trigger or conditions fit the event."""
    variables: dict[str, Any] = Field(default_factory=dict)
    enabled: bool = True


class SourceDefinition(Definition):
    """A source of events that the engine runs."""

    name: Name
    type: Name
    """The source plug-in, such as `file`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the source needs to know; each source documents its own keys."""
    normalise: tuple[Normaliser, ...] = ()
    """What is made of its events before any rule sees them, one after the other."""


class MonitorDefinition(Definition):
    """A collector that the engine runs beside those of the services."""

    name: Name
    type: Name
    """The collector plug-in, such as `prometheus_scrape`."""
    interval_seconds: float | None = Field(default=None, gt=0)
    """How often; by default `monitoring_interval` of the configuration."""
    settings: dict[str, Any] = Field(default_factory=dict)
