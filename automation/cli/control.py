"""What commands ask of executions, of a server or of an engine in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from automation.cli.client import Document, Slice
    from automation.engine import AutomationEngine

Ask = Literal["pause", "resume", "retry"]


@dataclass(frozen=True, slots=True)
class Repetition:
    """How an execution is to be done again by a new one."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    newest: bool = False
    reason: str = ""
    action: str | None = None
    """For a fork: the first action that runs again."""
    key: str | None = None
    """An idempotency key."""


class Control(Protocol):
    """Asks something of executions. Raises AutomationError."""

    async def ask(self, act: Ask, execution_id: str, reason: str) -> Document:
        """Pause it, let it go on, or retry it; the execution as it is then."""
        ...

    async def repeat(self, execution_id: str, how: Repetition) -> Document:
        """Rerun it or, from an action on, fork it; the new execution as it is then."""
        ...

    async def approvals(self, status: str | None, workflow: str | None, part: Slice) -> Document:
        """Approvals, newest first."""
        ...

    async def answer(self, approval_id: str, agreed: bool, reason: str) -> Document:
        """Approve or deny; the approval as it is then."""
        ...


class RemoteControl:
    """Asks a server."""

    def __init__(
        self,
        get: Callable[..., Awaitable[Document]],
        post: Callable[..., Awaitable[Document]],
    ) -> None:
        self._get = get
        self._post = post

    async def ask(self, act: Ask, execution_id: str, reason: str) -> Document:
        """Pause it, let it go on, or retry it."""
        return await self._post(f"/executions/{quote(execution_id, safe='')}/{act}", {"reason": reason})

    async def repeat(self, execution_id: str, how: Repetition) -> Document:
        """Rerun it or, from an action on, fork it."""
        body: dict[str, Any] = {"variables": dict(how.variables), "newest": how.newest, "reason": how.reason}
        headers = {"Idempotency-Key": how.key} if how.key is not None else None
        if how.action is None:
            return await self._post(f"/executions/{quote(execution_id, safe='')}/rerun", body, headers=headers)
        body["action"] = how.action
        return await self._post(f"/executions/{quote(execution_id, safe='')}/fork", body, headers=headers)

    async def approvals(self, status: str | None, workflow: str | None, part: Slice) -> Document:
        """Approvals, newest first."""
        return await self._get("/approvals", status=status, workflow=workflow, limit=part.limit, cursor=part.cursor)

    async def answer(self, approval_id: str, agreed: bool, reason: str) -> Document:
        """Approve or deny."""
        act = "approve" if agreed else "deny"
        return await self._post(f"/approvals/{quote(approval_id, safe='')}/{act}", {"reason": reason})


class LocalControl:
    """Asks an engine that runs in this process for as long as it takes."""

    def __init__(
        self,
        reading: Callable[[], Awaitable[AutomationEngine]],
        acting: Callable[[str], Awaitable[AutomationEngine]],
        settled: Callable[[str], Awaitable[Document]],
    ) -> None:
        self._reading = reading
        self._acting = acting
        self._settled = settled

    async def ask(self, act: Ask, execution_id: str, reason: str) -> Document:
        """Pause it, let it go on, or retry it."""
        engine = await self._acting(f"{act} {execution_id}")
        asked = {"pause": engine.executions.pause, "resume": engine.executions.resume, "retry": engine.executions.retry}
        await asked[act](execution_id, reason)
        return await self._settled(execution_id)

    async def repeat(self, execution_id: str, how: Repetition) -> Document:
        """Rerun it or, from an action on, fork it."""
        from automation.workflows.control import Again

        engine = await self._acting(f"{'rerun' if how.action is None else 'fork'} {execution_id}")
        again = Again(how.variables, how.newest, how.reason, idempotency_key=how.key)
        if how.action is None:
            return await self._settled(await engine.executions.rerun(execution_id, again))
        return await self._settled(await engine.executions.fork(execution_id, how.action, again))

    async def approvals(self, status: str | None, workflow: str | None, part: Slice) -> Document:
        """Approvals, newest first."""
        from automation.api.render import plain
        from automation.model.approval import ApprovalStatus

        engine = await self._reading()
        wanted = ApprovalStatus(status) if status else None
        page = await engine.approvals.list(status=wanted, workflow=workflow, cursor=part.cursor, limit=part.limit)
        document: Document = plain(page)
        return document

    async def answer(self, approval_id: str, agreed: bool, reason: str) -> Document:
        """Approve or deny, and run what follows."""
        from automation.api.render import plain

        engine = await self._acting(f"answer {approval_id}")
        approval = await engine.approvals.answer(approval_id, agreed, reason=reason)
        await self._settled(approval.execution_id)
        document: Document = plain(approval)
        return document
