"""What the journal says of one action, or of one item of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.model.execution import ActionRun, ActionStatus
from automation.workflows.progress import Verifying


class ActionState:
    """What the journal says of one action."""

    __slots__ = (
        "approval",
        "approved",
        "attempt",
        "attempt_at",
        "awaits",
        "began_at",
        "delayed",
        "error",
        "finished_at",
        "heartbeat",
        "heartbeat_at",
        "held_by",
        "hindered",
        "interrupted",
        "interruptions",
        "items",
        "iteration",
        "late",
        "operation",
        "outputs",
        "parameters",
        "reason",
        "started_at",
        "status",
        "taken_over",
        "verifying",
        "wait",
        "wake_at",
    )

    def __init__(self) -> None:
        self.status = ActionStatus.PENDING
        self.items: list[Any] | None = None
        """For `for_each`: the list that it runs over."""
        self.operation = ""
        self.parameters: Any = {}
        """As they were given, with the names of secrets in place of their values."""
        self.attempt = 0
        self.attempt_at: float | None = None
        """When this attempt began."""
        self.outputs: Any = None
        self.error: dict[str, Any] | None = None
        self.reason: str | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.wake_at: float | None = None
        self.approval: str | None = None
        """The approval that was asked for it."""
        self.approved: bool | None = None
        self.hindered = False
        """Whether it was skipped because of how the execution was ending, and not by a condition of its own."""
        self.interrupted = False
        """Whether a person is asked what becomes of it, because the engine has died while it ran."""
        self.interruptions = 0
        """How often it was run again because the engine had died or was stopped while it ran."""
        self.iteration = 1
        """For `repeat`: which run of it this is."""
        self.began_at: float | None = None
        """When this iteration began, where it is not the first."""
        self.delayed = False
        """Whether it was held back for its delay: that is over when its time has come."""
        self.late: str | None = None
        """What is said of it when what it waits for has ended, because its time was over before."""
        self.wait: str | None = None
        """The id of the wait that holds it up."""
        self.awaits: str | None = None
        """What it waits for beside a time or a person: an event, a workflow, its items."""
        self.verifying: Verifying | None = None
        """While its work is done and its `verify` is not yet true."""
        self.heartbeat: Any = None
        """What the last heartbeat said: what the next attempt is given."""
        self.heartbeat_at: float | None = None
        self.held_by: str | None = None
        """The guardrail that it waits for."""
        self.taken_over = False
        """Whether another execution has done it, from which this one was forked."""

    def repeat(self, body: Mapping[str, Any]) -> None:
        """An iteration has ended, and the next one begins at its time."""
        self.status = ActionStatus.WAITING
        self.outputs = body["outputs"]
        self.iteration = body["iteration"] + 1
        self.wake_at = body["until"]
        self.reason = body["reason"]
        self.attempt = self.interruptions = 0
        self.heartbeat = self.heartbeat_at = None
        self.error = self.began_at = self.verifying = self.wait = self.awaits = self.late = None

    def as_run(self, name: str) -> ActionRun:
        """The frozen form."""
        return ActionRun(
            name=name,
            operation=self.operation,
            status=self.status,
            attempt=self.attempt,
            outputs=self.outputs,
            error=self.error,
            reason=self.reason,
            started_at=self.started_at,
            finished_at=self.finished_at,
            wake_at=self.wake_at,
            waits_for=self._waits_for(),
            iteration=self.iteration,
            approval=self.approval if self.approved is None else None,
            heartbeat=self.heartbeat,
            heartbeat_at=self.heartbeat_at,
        )

    def _waits_for(self) -> str | None:
        if self.status is not ActionStatus.WAITING:
            return None
        if self.approval is not None and self.approved is None:
            return "approval"
        return self.awaits or ("approval" if self.wake_at is None else "time")
