"""`wait_for`: an action that waits for an event, in a row and not in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from automation.clock import Clock
from automation.errors import ActionTimeout
from automation.model.ids import new_id
from automation.store import statements, waits
from automation.store.store import Store
from automation.store.waits import Wait
from automation.workflows.durations import seconds_in
from automation.workflows.plan import EventWait
from automation.workflows.run import Run, Turn
from automation.workflows.settled import patiently
from automation.workflows.state import Scope
from automation.workflows.waits import Waits, names_for

EVENT = "event"
"""What such an action waits for."""


class Arrivals:
    """Begins waits for events, and looks whether they have come."""

    def __init__(self, waits: Waits, store: Store, clock: Clock, flush: Callable[[Run], Awaitable[None]]) -> None:
        self._waits = waits
        self._store = store
        self._clock = clock
        self._flush = flush

    async def come(self, run: Run, turn: Turn) -> Mapping[str, Any] | None:
        """The event that has come for the action; or None, and it is noted that it waits, or has waited in vain.

        Raises InputError, Refused where what it waits for cannot be known.
        """
        state = run.state.action(turn.key)
        if state.wait is None:
            await self._begin(run, turn)
            return None
        wait, event = run.met.pop(turn.key, (None, None))
        if wait == state.wait and event is not None:
            return dict(event)
        for met in await patiently(lambda: waits.met_of(self._store, run.id)):
            # Another node has taken it in, and this one has not been told.
            if met.id == state.wait and met.event is not None:
                return met.event
        self._in_vain(run, turn, state.wait)
        return None

    def forget(self, run: Run, wait_id: str) -> None:
        """Nothing is waited for any more; the row goes with the next commit."""
        self._waits.discard(wait_id)
        run.write(statements.WAIT_DELETE(where_id=wait_id))

    async def _begin(self, run: Run, turn: Turn) -> None:
        wanted = _wanted(turn)
        now = self._clock.now()
        own = {"attempt": run.state.action(turn.key).attempt + 1, **turn.own}
        scope = Scope(run.state, own)
        names: dict[str, Any] = {}
        text = None
        if wanted.condition is not None:
            condition = wanted.condition.condition
            names = {**names_for(condition, run.state, own), **wanted.condition.given(scope)}
            text = condition.text
        until = None
        if wanted.timeout is not None:
            until = now + seconds_in(wanted.timeout, scope, "wait_for.timeout")
        wait = Wait(
            id=new_id(),
            execution_id=run.id,
            action=turn.key,
            created_at=now,
            event_type=wanted.event_type,
            condition=text,
            names=names,
        )
        reason = f"waits for an event {wanted.event_type}"
        if wanted.condition is not None:
            reason += f" with {wanted.condition.text}"
        run.note(now, "action_started", turn.key, {"attempt": own["attempt"], "operation": turn.step.plugin.name})
        body = {"until": until, "reason": reason, "wait": wait.id, "for": EVENT}
        run.note(now, "action_awaits", turn.key, body)
        run.write(wait.op())
        # Known before it is on disk: no event may fall between. One that meets it is written after it.
        awaiting = self._waits.add(wait)
        try:
            await self._flush(run)
        finally:
            self._waits.settle(awaiting)

    def _in_vain(self, run: Run, turn: Turn, wait_id: str) -> None:
        now = self._clock.now()
        definition = turn.step.definition.wait_for
        assert definition is not None
        self.forget(run, wait_id)
        if definition.on_timeout == "continue":
            run.note(now, "action_completed", turn.key, {"outputs": {"timed_out": True}})
            return
        message = f"no event {definition.event} came within {definition.timeout}"
        if isinstance(definition.timeout, float):
            message = f"no event {definition.event} came within {definition.timeout:g} s"
        error = {"type": ActionTimeout.__name__, "message": message}
        run.note(now, "action_failed", turn.key, {"error": error})
        run.fact(now, "action_execution", turn.step.plugin.name, "failed", {"action": turn.key, **error})


def _wanted(turn: Turn) -> EventWait:
    wanted = turn.step.wait_for
    assert wanted is not None
    return wanted
