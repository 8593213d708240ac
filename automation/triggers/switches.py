"""What people have switched off by hand: workflows, and single triggers of them."""

from __future__ import annotations

from automation.clock import Clock, iso
from automation.errors import Conflict
from automation.store import guards, statements
from automation.store.audit import Fact
from automation.store.guards import Hold
from automation.store.store import Store, to_json

KIND = "off"
"""Of rows of what is held by hand."""


class Switches:
    """Which workflows and triggers are off. A definition that says `enabled: false` is off whatever these say."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._off: dict[str, Hold] = {}

    async def refresh(self) -> None:
        """See what other nodes have switched."""
        self._off = {hold.name: hold for hold in await guards.all_holds(self._store) if hold.kind == KIND}

    def off(self, workflow: str, trigger: str | None) -> str | None:
        """Why triggers do not start a workflow, or this one does not; None if they do."""
        for name, what in ((workflow, "the workflow"), (trigger, "the trigger")):
            hold = self._off.get(name) if name is not None else None
            if hold is not None:
                reason = hold.body.get("reason")
                return f"{what} was disabled by {hold.actor} at {iso(hold.at)}" + (f": {reason}" if reason else "")
        return None

    async def turn(self, name: str, *, on: bool, actor: str, reason: str = "") -> None:
        """Switch a workflow or a trigger, for all nodes; it is audited. Raises Conflict if it is on already."""
        now = self._clock.now()
        await self.refresh()
        if on and name not in self._off:
            raise Conflict(f"{name} was not disabled by hand", hint="its definition says whether it is enabled")
        if on:
            op = statements.HOLD_DELETE(where_kind=KIND, where_name=name)
        else:
            body = to_json({"reason": reason})
            op = statements.HOLD(kind=KIND, name=name, body=body, actor=actor, at=now)
        act = f"workflow.{'enable' if on else 'disable'}"
        detail = to_json({"reason": reason} if reason else {})
        await self._store.commit([op], [Fact(now, "configuration_change", actor, act, name, "ok", detail)])
        await self.refresh()
