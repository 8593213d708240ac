"""What commands ask of triggers and of stored events, of a server or of the configured database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from automation.clock import iso

if TYPE_CHECKING:
    from automation.cli.client import Document, Slice
    from automation.engine import AutomationEngine
    from automation.model.workflow import WorkflowDefinition


@dataclass(frozen=True, slots=True)
class Portion:
    """Which stored events are replayed, and whether that is only tried."""

    since: float
    type: str | None = None
    after: int = 0
    dry_run: bool = False


class TriggersClient(Protocol):
    """Asks something of triggers. Raises AutomationError."""

    async def switch(self, workflow: str, trigger: int | None, reason: str, *, on: bool) -> Document:
        """Switch a workflow, or one of its triggers; the triggers as they are then."""
        ...

    async def list(self, workflow: str) -> Document:
        """The triggers of a workflow."""
        ...

    async def explain(self, event_id: str, source: str | None) -> Document:
        """An event, what became of it, and how the rules of now see it."""
        ...

    async def dead(self, source: str | None, part: Slice) -> Document:
        """What could not be taken in."""
        ...

    async def replay(self, portion: Portion) -> Document:
        """Replay a portion of stored events."""
        ...

    async def backtest(self, workflow: str, since: float, definition: WorkflowDefinition | None) -> Document:
        """What a version of a workflow would have started."""
        ...


class RemoteTriggers:
    """Asks a server."""

    def __init__(
        self, get: Callable[..., Awaitable[Document]], post: Callable[[str, Mapping[str, Any]], Awaitable[Document]]
    ) -> None:
        self._get = get
        self._post = post

    async def switch(self, workflow: str, trigger: int | None, reason: str, *, on: bool) -> Document:
        """Switch a workflow, or one of its triggers."""
        act = "enable" if on else "disable"
        return await self._post(f"/workflows/{_part(workflow)}/{act}", {"trigger": trigger, "reason": reason})

    async def list(self, workflow: str) -> Document:
        """The triggers of a workflow."""
        return await self._get(f"/workflows/{_part(workflow)}/triggers")

    async def explain(self, event_id: str, source: str | None) -> Document:
        """An event, what became of it, and how the rules of now see it."""
        return await self._get(f"/events/{_part(event_id)}", source=source)

    async def dead(self, source: str | None, part: Slice) -> Document:
        """What could not be taken in."""
        return await self._get("/dead-letters", source=source, limit=part.limit, cursor=part.cursor)

    async def replay(self, portion: Portion) -> Document:
        """Replay a portion of stored events."""
        order = {"since": iso(portion.since), "type": portion.type, "after": portion.after, "dry_run": portion.dry_run}
        return await self._post("/events/replay", order)

    async def backtest(self, workflow: str, since: float, definition: WorkflowDefinition | None) -> Document:
        """What a version of a workflow would have started."""
        from automation.api.render import plain

        body = {"since": iso(since), "definition": plain(definition) if definition is not None else None}
        return await self._post(f"/workflows/{_part(workflow)}/backtest", body)


class LocalTriggers:
    """Asks an engine in this process: with the definitions of the files, and running only where something starts."""

    def __init__(
        self,
        defined: Callable[[], Awaitable[AutomationEngine]],
        acting: Callable[[str], Awaitable[AutomationEngine]],
    ) -> None:
        self._defined = defined
        self._acting = acting

    async def switch(self, workflow: str, trigger: int | None, reason: str, *, on: bool) -> Document:
        """Switch a workflow, or one of its triggers; a running engine sees it within seconds."""
        from automation.api.routes.triggers import Switch, switch

        engine = await self._defined()
        await switch(engine, workflow, Switch(trigger=trigger, reason=reason), on=on, actor="local")
        return await self.list(workflow)

    async def list(self, workflow: str) -> Document:
        """The triggers of a workflow."""
        from automation.api.routes.triggers import triggers_of

        engine = await self._defined()
        await engine.triggers.refresh()
        return _document(triggers_of(engine, workflow))

    async def explain(self, event_id: str, source: str | None) -> Document:
        """An event, what became of it, and how the rules of now see it."""
        from automation.api.routes.events import view_of

        engine = await self._defined()
        await engine.triggers.refresh()
        return _document(await view_of(engine, event_id, source))

    async def dead(self, source: str | None, part: Slice) -> Document:
        """What could not be taken in."""
        engine = await self._defined()
        return _document(await engine.triggers.replay.dead(source=source, cursor=part.cursor, limit=part.limit))

    async def replay(self, portion: Portion) -> Document:
        """Replay a portion of stored events; what starts is run in this process."""
        engine = await (self._defined() if portion.dry_run else self._acting("replay events"))
        found = await engine.triggers.replay.run(
            portion.since, type=portion.type, after=portion.after, dry_run=portion.dry_run
        )
        return _document(found)

    async def backtest(self, workflow: str, since: float, definition: WorkflowDefinition | None) -> Document:
        """What a version of a workflow would have started."""
        from automation.api.routes.triggers import tried

        return _document(await tried(await self._defined(), workflow, definition, since))


def _document(value: Any) -> Document:
    from automation.api.render import plain

    document: Document = plain(value)
    return document


def _part(text: str) -> str:
    return quote(text, safe="")
