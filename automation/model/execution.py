"""One run of a workflow: its states, its result, its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import msgspec

from automation.model.workflow import WorkflowDefinition


class WorkflowStatus(Enum):
    """Where an execution is in its life."""

    PROPOSED = "proposed"
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"

    @property
    def finished(self) -> bool:
        """Whether this is final: nothing more will happen."""
        return self in _FINISHED


_FINISHED = frozenset(
    {
        WorkflowStatus.SUCCEEDED,
        WorkflowStatus.FAILED,
        WorkflowStatus.TIMED_OUT,
        WorkflowStatus.CANCELLED,
        WorkflowStatus.ROLLED_BACK,
    }
)


class ActionStatus(Enum):
    """Where an action of an execution is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether this action will not run again by itself."""
        return self in _ACTION_FINISHED


_ACTION_FINISHED = frozenset(
    {ActionStatus.SUCCEEDED, ActionStatus.FAILED, ActionStatus.SKIPPED, ActionStatus.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What one start is given: the variables that `${...}` and conditions can name, and who asked."""

    variables: dict[str, Any] = field(default_factory=dict)
    event: dict[str, Any] | None = None
    actor: str = "local"
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ActionRun:
    """One action of one execution, as the journal tells it."""

    name: str
    operation: str
    status: ActionStatus
    attempt: int = 0
    outputs: Any = None
    error: dict[str, Any] | None = None
    reason: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    wake_at: float | None = None
    waits_for: str | None = None
    """While it waits: for `approval`, a `time`, an `event`, a `workflow`, or its `items`."""
    iteration: int = 1
    """Which run of it this is, where it has a `repeat`."""
    approval: str | None = None
    """The approval that it waits for."""
    heartbeat: Any = None
    """What its last heartbeat said, as far as that is stored."""
    heartbeat_at: float | None = None
    """When that was stored."""


@dataclass(frozen=True, slots=True)
class Wish:
    """That somebody wants an execution paused or resumed, as long as its journal does not say that it is."""

    act: Literal["pause", "resume"]
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a workflow: the summary row."""

    id: str
    workflow: str
    definition_id: str
    status: WorkflowStatus
    priority: int
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    event_source: str | None = None
    event_id: str | None = None
    reason: str = ""
    actor: str = "local"
    idempotency_key: str | None = None
    error: dict[str, Any] | None = None
    wish: Wish | None = None
    rerun_of: str | None = None
    """The execution that this one repeats from its beginning."""
    forked_from: str | None = None
    """The execution whose completed actions this one has taken over."""
    concurrency_key: str | None = None
    """Of those with the same key, only so many run at the same time."""
    parent: str | None = None
    """The execution that has started this one."""
    parent_action: str | None = None
    """The action by which it has."""


@dataclass(frozen=True, slots=True)
class StartReceipt:
    """That a start is on disk."""

    execution_id: str
    repeated: bool = False
    """Whether its idempotency key has started this execution before, so that nothing was started now."""


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """How an execution ended."""

    execution_id: str
    workflow: str
    status: WorkflowStatus
    outputs: dict[str, Any]
    """What each action returned, by the action's name."""
    error: str | None = None
    actions: tuple[ActionRun, ...] = ()
    duration_seconds: float = 0.0


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of an execution. An execution is the fold over its entries, in the order of `seq`."""

    execution_id: str
    seq: int
    at: float
    kind: str
    action: str | None = None
    body: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExecutionDetail:
    """All that is known of one execution."""

    execution: Execution
    definition: WorkflowDefinition
    actions: tuple[ActionRun, ...]
    variables: dict[str, Any]
    event: dict[str, Any] | None
    journal: tuple[JournalEntry, ...]
    children: tuple[Execution, ...] = ()
    """What its actions have started."""
