"""What the page of an execution shows of its actions and its journal. Pure: facts in, rows out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from automation.console.drawing import operation_of
from automation.console.graph import needs_of
from automation.console.words import brief, duration, failure
from automation.model.execution import ActionRun, ActionStatus, ExecutionDetail, JournalEntry

MOST_ENTRIES = 500
"""How many entries of a journal a page shows: the last ones."""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One action in the table."""

    name: str
    operation: str
    description: str
    status: str
    attempt: int
    took: str
    needs: tuple[str, ...]
    reason: str
    error: dict[str, Any] | None
    wake_at: float | None
    parameters: Any
    outputs: Any


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One fact of an execution, with the time since its start."""

    seq: int
    at: float
    offset: str
    kind: str
    action: str | None
    text: str
    body: dict[str, Any]


def actions_of(detail: ExecutionDetail, now: float) -> list[ActionRow]:
    """All actions in the order of the definition."""
    defined = {action.name: action for action in detail.definition.actions}
    needs = needs_of(detail.definition)
    rendered = {
        entry.action: entry.body["parameters"]
        for entry in detail.journal
        if entry.kind == "action_started" and "parameters" in entry.body
    }
    rows = []
    for run in detail.actions:
        action = defined.get(run.name)
        took = ""
        if run.started_at is not None:
            took = duration((run.finished_at or now) - run.started_at)
        rows.append(
            ActionRow(
                name=run.name,
                operation=run.operation or (operation_of(action) if action else ""),
                description=action.description if action else "",
                status=run.status.value,
                attempt=run.attempt,
                took=took,
                needs=needs.get(run.name, ()),
                reason=run.reason or _sign_of_life(run, now),
                error=run.error,
                # For one that waits for people it is when its approval escalates or expires: that is told with it.
                wake_at=run.wake_at if run.status is ActionStatus.WAITING and not waits_for_person(run) else None,
                parameters=rendered.get(run.name, action.parameters if action else None),
                outputs=run.outputs,
            )
        )
    return rows


def _sign_of_life(run: ActionRun, now: float) -> str:
    if run.status is not ActionStatus.RUNNING or run.heartbeat_at is None:
        return ""
    said = "" if run.heartbeat is None else f": {brief(run.heartbeat)}"
    return f"heartbeat {duration(now - run.heartbeat_at)} ago{said}"


def waits_for_person(run: ActionRun) -> bool:
    """Whether an action waits for approval, and not for a time, an event or a workflow."""
    return run.waits_for == "approval"


def journal_of(detail: ExecutionDetail) -> list[JournalRow]:
    """The last facts of an execution, in their order."""
    began = detail.journal[0].at if detail.journal else 0.0
    asked: set[str] = set()
    return [
        JournalRow(
            seq=entry.seq,
            at=entry.at,
            offset=f"+{duration(entry.at - began)}",
            kind=entry.kind,
            action=entry.action,
            text=_ASKED_ALREADY if _asked_already(entry, asked) else _text(entry),
            body=entry.body,
        )
        for entry in detail.journal[-MOST_ENTRIES:]
    ]


_ASKED_ALREADY = "it still waits for approval"


def _asked_already(entry: JournalEntry, asked: set[str]) -> bool:
    """Whether an entry only says anew that an action waits, as it does when its approval has escalated."""
    approval = entry.body.get("approval") if entry.kind == "action_waiting" else None
    if approval is None or approval in asked:
        return approval is not None
    asked.add(approval)
    return False


_SAID = {"action_verifying": "its work is done; what must be true is awaited"}


def _text(entry: JournalEntry) -> str:
    body = entry.body
    error = body.get("error")
    if isinstance(error, dict):
        return brief(failure(error), 160)
    if entry.kind == "finished":
        return str(body.get("status", ""))
    if entry.kind in _SAID:
        return _SAID[entry.kind]
    if entry.kind == "action_holding":
        return "its condition holds" if body.get("since") is not None else "its condition no longer holds"
    if entry.kind == "action_heartbeat":
        return "" if body.get("details") is None else brief(body["details"], 160)
    if entry.kind == "action_started" and body.get("attempt", 1) > 1:
        return f"attempt {body['attempt']}"
    said = [body[key] for key in ("actor", "reason") if body.get(key)]
    return brief(": ".join(str(part) for part in said), 160)
