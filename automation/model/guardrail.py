"""What holds actions back: limits, freeze windows, the global stop."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from automation.model.base import Definition, Name

LONGEST_WINDOW = 604_800.0
"""Seconds: acts are remembered for a week."""

Window = Annotated[float, Field(gt=0, le=LONGEST_WINDOW)]


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


Moment = Annotated[datetime.datetime, AfterValidator(_aware)]
"""A time; without a zone it is UTC."""


class Rate(Definition):
    """At most so many acts within a window."""

    limit: Annotated[int, Field(ge=1)]
    """How many."""
    window_seconds: Window = 3600.0
    """Within how many seconds."""


class BlastRadius(Definition):
    """How much of what runs may be acted on at once. An act counts while it runs, and for a window after its end."""

    share: Annotated[float, Field(gt=0, le=100)] | None = None
    """Which share of a service's living replicas: `0.5` is half of them. One replica always may."""
    services: Annotated[int, Field(ge=1)] | None = None
    """How many services at a time."""
    window_seconds: Annotated[float, Field(ge=0, le=LONGEST_WINDOW)] = 0.0
    """For how many seconds after its end an act still counts."""


class FreezeWindow(Definition):
    """A time in which nothing is changed: from one moment to another, or again and again."""

    name: Name
    reason: Annotated[str, Field(max_length=1000)] = ""
    """Why, for whoever is refused."""
    starts_at: Moment | None = None
    """Its begin, such as `2026-12-20T00:00:00Z`; without a zone it is UTC."""
    ends_at: Moment | None = None
    """Its end."""
    cron: Annotated[str, Field(max_length=200)] | None = None
    """Instead: when it begins each time, five fields."""
    timezone: str = "UTC"
    """The IANA time zone of `cron`."""
    duration_seconds: Annotated[float, Field(gt=0, le=31 * 86_400)] | None = None
    """How long it lasts each time."""
    services: tuple[str, ...] = ()
    """Only for actions on these; `*` stands for any text, as in `payment-*`."""
    workflows: tuple[str, ...] = ()
    """Only for these workflows; `*` stands for any text."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Only where the workflow or the service has all of these labels."""
    on_freeze: Literal["refuse", "wait"] = "refuse"
    """Whether an action is refused, or waits for the end."""
    spares_critical: bool = False
    """Whether workflows of critical priority go on."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.cron is None:
            if self.starts_at is None or self.ends_at is None or self.duration_seconds is not None:
                raise ValueError("needs either starts_at and ends_at, or cron and duration_seconds")
            if self.ends_at <= self.starts_at:
                raise ValueError("ends_at must be after starts_at")
        elif self.duration_seconds is None or self.starts_at is not None or self.ends_at is not None:
            raise ValueError("needs either starts_at and ends_at, or cron and duration_seconds")
        else:
            _check_times(self.cron, self.timezone)
        return self


def _check_times(cron: str, timezone: str) -> None:
    from zoneinfo import ZoneInfo

    from cronsim import CronSim, CronSimError

    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"timezone: {timezone!r} is not an IANA time zone such as Europe/Berlin") from None
    try:
        found = next(CronSim(cron, datetime.datetime(2026, 1, 1, tzinfo=zone)), None)
    except CronSimError as error:
        raise ValueError(f"cron: {cron!r} is not a cron expression of five fields: {error}") from None
    if found is None:
        raise ValueError(f"cron: {cron!r} has no time within 50 years")


class Limits(Definition):
    """How often, and how much at once."""

    cooldown_seconds: Annotated[float, Field(ge=0, le=LONGEST_WINDOW)] = 0.0
    """Seconds between two acts of one operation on one target."""
    target_rate: Rate | None = None
    """At most so many acts on one target, of whatever operation."""
    workflow_rate: Rate | None = None
    """At most so many acts of one workflow."""
    blast_radius: BlastRadius = BlastRadius()
    """How much of what runs may be acted on at once."""

    def over(self, general: Limits) -> Limits:
        """These limits, with those of `general` where nothing is said."""
        own: dict[str, Any] = {key: getattr(self, key) for key in self.model_fields_set if key in Limits.model_fields}
        return Limits(**{**{key: getattr(general, key) for key in Limits.model_fields}, **own})

    @property
    def longest(self) -> float:
        """How far back they look, in seconds."""
        rates = [rate.window_seconds for rate in (self.target_rate, self.workflow_rate) if rate is not None]
        return max(self.cooldown_seconds, self.blast_radius.window_seconds, *rates, 0.0)

    @property
    def any(self) -> bool:
        """Whether they limit anything."""
        blast = self.blast_radius
        limited = (self.target_rate, self.workflow_rate, blast.share, blast.services)
        return self.cooldown_seconds > 0 or any(limit is not None for limit in limited)


class WorkflowGuardrails(Limits):
    """Limits and freeze windows of one workflow. They hold beside those of the configuration, never instead of them."""

    freezes: tuple[FreezeWindow, ...] = ()
    """When its actions change nothing."""


class Guardrails(Limits):
    """What holds actions back. Nothing does by default: which limits are right only who runs the services knows."""

    operations: dict[str, Limits] = Field(default_factory=dict)
    """Limits of single operations, by full name. What is said here holds instead of the general limit."""
    freezes: tuple[FreezeWindow, ...] = ()
    """When nothing is changed."""
    exempt_workflows: tuple[str, ...] = ()
    """Workflows for which the limits and freeze windows of the configuration do not hold."""


@dataclass(frozen=True, slots=True)
class Act:
    """One action that has begun to change something."""

    execution_id: str
    action: str
    workflow: str
    operation: str
    target: str
    service: str | None
    """The service it acts on, if the target is one."""
    replicas: int
    """How many of its replicas."""
    replicas_of: int
    """How many it had."""
    began_at: float
    until: float
    """When it ended; while it runs, when it is given up for dead."""


@dataclass(frozen=True, slots=True)
class HeldAct:
    """An action that a guardrail lets wait."""

    execution_id: str
    action: str
    workflow: str
    operation: str
    target: str
    guardrail: str
    since: float
    until: float
    """When it is tried again, unless something changes before."""


class Stop(Definition):
    """The global stop: nothing that changes anything begins."""

    reason: str = ""
    actor: str = ""
    since: float = 0.0
