"""Approvals: what asks people before something is done, how it is asked, and what they answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field

from automation.model.base import Definition

OnExpiry = Literal["deny", "approve", "fail"]
Length = Annotated[float, Field(gt=0)] | Annotated[str, Field(min_length=1, max_length=100)]
"""Seconds, or a duration of the condition language such as `90s`, `5m` or `1h30m`."""


class ApprovalPolicy(Definition):
    """How people are asked. What is left out is as the workflow says, else as the configuration says."""

    required: bool = False
    """Ask whatever the level is and whatever the operation does."""
    quorum: Annotated[int, Field(ge=1, le=20)] | None = None
    """How many people must approve. One denial denies."""
    expires: Length | None = None
    """After how long without a decision it expires: seconds, `30m`, `1d`."""
    on_expiry: OnExpiry | None = None
    """What an expiry means: it is denied, it is approved, or the action fails with `ApprovalExpired`."""
    escalate_after: Length | None = None
    """After how long without a decision the event `approval_escalated` is published."""
    notify: tuple[str, ...] = ()
    """Whom to tell: names that the events carry as `event.data.notify`, for the workflows that tell people."""
    roles: tuple[str, ...] = ()
    """Only who has one of these roles may answer, beside `system:admin`; by default whoever has the permission."""
    not_self: bool | None = None
    """Whether who started the execution by hand may not be the only one to approve."""


class Approvals(Definition):
    """How people are asked, where a definition does not say."""

    quorum: Annotated[int, Field(ge=1, le=20)] = 1
    """How many people must approve."""
    expires_seconds: Annotated[float, Field(gt=0)] | None = None
    """After how long without a decision an approval expires; never by default."""
    on_expiry: OnExpiry = "deny"
    """What an expiry means: it is denied, it is approved, or the action fails."""
    escalate_seconds: Annotated[float, Field(gt=0)] | None = None
    """After how long without a decision `approval_escalated` is published; never by default."""
    roles: tuple[str, ...] = ()
    """Only who has one of these roles may answer, beside `system:admin`; by default whoever has the permission."""
    not_self: bool = False
    """Whether who started an execution by hand may not be the only one to approve."""


class ApprovalStatus(Enum):
    """Where an approval is in its life."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    """Its execution has ended otherwise: nothing is left to decide."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person answered."""

    actor: str
    agreed: bool
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Terms:
    """How one approval is asked for."""

    quorum: int
    expires_at: float | None
    on_expiry: OnExpiry
    escalate_at: float | None
    notify: tuple[str, ...]
    roles: tuple[str, ...]
    not_self: bool


@dataclass(frozen=True, slots=True)
class Approval:
    """One question to people: whether an action, or a proposed execution as a whole, may go on."""

    id: str
    execution_id: str
    workflow: str
    action: str | None
    """The action that waits; None for a proposed execution."""
    operation: str | None
    effect: str
    """`standard` or `critical`: who may approve it."""
    reason: str
    """Why it is asked."""
    asked_at: float
    started_by: str
    by_hand: bool
    """Whether a person or a program asked for the execution, and not an event."""
    terms: Terms
    status: ApprovalStatus = ApprovalStatus.PENDING
    answers: tuple[Answer, ...] = ()
    """In the order in which they came; of each actor the last."""
    escalated_at: float | None = None
    decided_at: float | None = None
    revision: int = 0
    """How often it has changed: a change is made to the revision that was read, or not at all."""

    @property
    def agreed(self) -> int:
        """How many people have approved so far."""
        return sum(answer.agreed for answer in self.answers)

    @property
    def permission(self) -> str:
        """What is needed to approve it."""
        return "actions:execute_critical" if self.effect == "critical" else "actions:execute_standard"

    def changed(self, **values: object) -> Approval:
        """The next revision, with these values."""
        return replace(self, revision=self.revision + 1, **values)  # type: ignore[arg-type]
