"""How long what is over is kept: the section `retention` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from automation.model.base import Definition

Days = Annotated[float, Field(ge=1)] | Literal["forever"]
"""How many days something is kept."""


class Retention(Definition):
    """How many days is kept what is over; `forever` keeps all. What has not finished stays, however old it is."""

    enabled: bool = True
    """Whether the engine deletes; without it, only `automation db compact` does."""
    executions_days: Days = 90.0
    """Executions, from their end, with journals and large values. For so long their idempotency keys are known."""
    journals_days: Days = 7.0
    """From when on the journal of a finished execution is kept in one compressed row; nothing of it is lost."""
    events_days: Days = 30.0
    """Events. For so long after it was last published, an event that is published again is known as a duplicate."""
    decisions_days: Days = 90.0
    """Decisions, and what could not be taken in."""
    notifications_days: Days = 90.0
    """Messages to people."""
    alerts_days: Days = 90.0
    """Resolved alerts."""
    tokens_days: Days = 90.0
    """Tokens and sessions, from when they expired or were revoked."""
    interval_seconds: Annotated[float, Field(ge=1)] = 3600
    """Seconds between two runs."""
    batch_rows: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many rows are deleted in one transaction."""
    pause_seconds: Annotated[float, Field(ge=0)] = 0.1
    """Seconds between two transactions, in which others write."""
