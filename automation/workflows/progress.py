"""How far a verification and a rollback have come, as the journal tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.model.execution import WorkflowStatus


class Verifying:
    """What the journal says of an action that has done its work and whose `verify` must become true."""

    __slots__ = ("began", "since", "until")

    def __init__(self, began: float, until: float) -> None:
        self.began = began
        """When the work was done."""
        self.until = until
        """Until when the condition must have become true."""
        self.since: float | None = None
        """Since when it has held."""


class Rollback:
    """What the journal says of the undoing of an execution."""

    __slots__ = ("began", "error", "failed", "held_at", "order", "reason", "status", "undone", "until", "without_undo")

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.reason: str = body["reason"]
        self.order: list[str] = list(body["order"])
        """Actions to undo, the last completed first."""
        self.without_undo: list[str] = list(body["without_undo"])
        """Actions that have changed something and that nothing can undo."""
        self.until: float = body["until"]
        self.status = WorkflowStatus(body["status"])
        """How the execution would have ended without it."""
        self.error: dict[str, Any] | None = body.get("error")
        self.began: dict[str, float] = {}
        """When an undo was first begun: by that it knows, called again, what it has waited for."""
        self.undone: list[str] = []
        self.failed: dict[str, str] = {}
        self.held_at: float | None = None
        """Since when it is held up by a stop of all changes."""

    def hold(self, since: float | None, at: float) -> None:
        """It is held up since then, or from now on no longer: what it has waited is added to its time."""
        if since is None and self.held_at is not None:
            self.until += at - self.held_at
        self.held_at = since

    def apply(self, kind: str, action: str, at: float, body: Mapping[str, Any]) -> None:
        """Take in one entry."""
        if kind == "undo_started":
            self.began.setdefault(action, at)
        elif kind == "undo_completed":
            self.undone.append(action)
        elif kind == "undo_failed":
            self.failed[action] = body["error"]["message"]
