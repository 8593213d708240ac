"""Alert rules and alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydantic import Field

from automation.model.base import Definition, Name


class AlertSeverity(Enum):
    """How bad it is."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"


class AlertState(Enum):
    """Where an alert is in its life."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class AlertAction(Definition):
    """One action of an alert: the short form of an action of a workflow."""

    type: Name
    """The operation, by its full name or its last part."""
    parameters: dict[str, Any] = Field(default_factory=dict)


class AlertRule(Definition):
    """A condition with a life, and what to do when it fires."""

    name: Name
    condition: str
    severity: AlertSeverity = AlertSeverity.MEDIUM
    actions: tuple[AlertAction, ...] = ()
    cooldown_period: float | str = 0.0
    """How long after a start of its actions they are not started again, for the same series: seconds, or `10m`."""
    resolve_when: str | None = None
    """The condition that resolves it; by default that `condition` no longer holds."""
    subject: str | None = None
    """Only samples of this subject; by default of any."""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: a rule (ours or another system's) for one series."""

    fingerprint: str
    name: str
    state: AlertState
    severity: str
    source: str
    subject: str
    starts_at: float
    updated_at: float
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    fired_at: float | None = None
    resolved_at: float | None = None
    value: float | None = None
    since: tuple[float | None, ...] = ()
    """For each AND group with `duration`: since when the rest of it has held."""
    cooldown_until: float | None = None
    execution_id: str | None = None
    reason: str = ""
