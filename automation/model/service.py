"""Services: what actions act on and monitors watch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from automation.model.base import Definition, Name


class HealthCheck(Definition):
    """How the health of each replica of a service is probed over HTTP."""

    path: str = "/health"
    interval_seconds: Annotated[float, Field(gt=0)] | None = None
    """How often; by default `monitoring_interval` of the configuration."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 2.0
    failures: Annotated[int, Field(ge=1)] = 2
    """After how many failed probes in a row `service_health_check_failed` is published."""
    successes: Annotated[int, Field(ge=1)] = 1
    """After how many good probes in a row `service_health_check_recovered` is published."""


class ServiceDefinition(Definition):
    """One service: where it runs, how many replicas it has, how it is watched."""

    name: Name
    platform: Name = "process"
    replicas: Annotated[int, Field(ge=0)] = 1
    """How many to start with; scaling changes the running number, not this."""
    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 10
    cpu: Annotated[float, Field(gt=0)] = 1.0
    """CPU cores that one replica may use: `cpu_usage` is percent of this, as a Kubernetes CPU request."""
    autostart: bool = False
    """Whether the engine starts the missing replicas when it starts itself."""
    health: HealthCheck | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the platform needs to know; each platform documents its own keys."""
    labels: dict[str, str] = Field(default_factory=dict)


class Replica(Definition):
    """One running (or dead) copy of a service."""

    id: str
    service: str
    address: str | None = None
    """Base URL, such as `http://127.0.0.1:4711`."""
    pid: int | None = None
    alive: bool = True
    started_at: float = 0.0
    reason: str = ""
    """Why it is not alive, where known."""
