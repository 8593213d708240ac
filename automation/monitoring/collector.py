"""What a collector is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from automation.clock import Clock
from automation.infrastructure.services import Services
from automation.model.metric import Sample


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """How the engine itself is doing."""

    executions: Mapping[str, int]
    """How many there are in each status, up to 10,001; a status that has none is not there or 0."""
    oldest_unfinished: float | None
    """When the oldest execution was created that has not ended, in seconds since the epoch."""
    pending_writes: int
    source_lag: Mapping[str, int]
    """How many items wait for each source, of those that know."""


Figures = Callable[[], Awaitable[EngineFigures]]


@dataclass(slots=True)
class Probe:
    """What a collector is given each round."""

    services: Services
    clock: Clock
    interval_seconds: float
    """Time from one round to the next."""
    previous: dict[str, Any] = field(default_factory=dict)
    """The collector's own notes from round to round; empty when the engine has started."""
    figures: Figures | None = None
    """Those of the engine; None where there is no engine."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many results in a row change what is held true."""

    failures: int = 2
    successes: int = 1


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check of one target came out."""

    check: str
    """Such as `service_health`."""
    subject: str
    """The service (or host) that it says something of."""
    target: str
    """What was asked: the id of a replica, or a URL."""
    ok: bool
    time: float
    """When, in seconds since the epoch."""
    detail: str = ""
    latency_seconds: float | None = None
    address: str = ""
    thresholds: Thresholds = Thresholds()
    of_availability: bool = True
    """Whether it counts for the availability of the subject: not where all may be well today and a date is near."""


@dataclass(frozen=True, slots=True)
class Observations:
    """What one round of a collector has found."""

    samples: list[Sample] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    covered: list[tuple[str, str]] = field(default_factory=list)
    """Each (check, subject) of which this round asked all targets: a target not among `checks` is no more."""
    problems: list[str] = field(default_factory=list)
    """What could not be found out, where the rest could."""
    next_seconds: float | None = None
    """When to be called again, if sooner than after the interval."""
