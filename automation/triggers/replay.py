"""Replays stored events: what each would start now and has neither started nor held back on purpose is started.

So a workflow that came too late, or was refused for an input that it lacked, gets its events after all. Nothing is
started twice, however often and by however many it is asked for: an event starts a workflow once. Patterns, throttles
and cooldowns are left alone; they were about then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from automation.clock import Clock
from automation.errors import AutomationError, Conflict, InputError, NotFound
from automation.model.event import Event, EventReceipt, as_mapping
from automation.store import dead_letters, events, executions
from automation.store.audit import Fact
from automation.store.dead_letters import DeadLetter
from automation.store.events import Span, StoredEvent
from automation.store.pages import LIMIT, Page
from automation.store.store import Store, encode, to_json
from automation.triggers.index import Index
from automation.triggers.rules import EventScope, Rule

PAGE = 200
REPLAYED = frozenset({"refused", "disabled", "duplicate", "no_key"})
"""Outcomes of decisions that do not keep an event from being replayed; all others were meant."""

_event = msgspec.json.Decoder(Event)


Publish = Callable[[Event], Awaitable[EventReceipt]]


class Restart(Protocol):
    """Starts a workflow with a stored event, once."""

    def __call__(self, workflow: str, event: Event, reason: str, key: str) -> Awaitable[str | None]: ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay makes of one event for one workflow, or of one dead letter."""

    source: str
    event_id: str
    type: str
    received_at: float
    workflow: str | None
    outcome: str
    """`started`, `would_start`, `started_before`, `held_back`, `refused`; of a dead letter: `accepted`, `would_try`."""
    reason: str = ""
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One portion of a replay."""

    events: int
    """How many were looked at."""
    items: tuple[Replayed, ...]
    after: int | None
    """Where the next portion begins; None at the end."""


class Replay:
    """Replays what was stored."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        index: Index,
        publish: Callable[[Event], Awaitable[EventReceipt]],
        restart: Restart,
    ) -> None:
        self._store = store
        self._clock = clock
        self._index = index
        self._publish = publish
        self._restart = restart

    async def dead(
        self, *, source: str | None = None, cursor: str | None = None, limit: int = LIMIT
    ) -> Page[DeadLetter]:
        """What could not be taken in, newest first."""
        return await dead_letters.page(self._store, source=source, cursor=cursor, limit=limit)

    async def run(
        self, since: float, *, type: str | None = None, after: int = 0, dry_run: bool = False, actor: str = "local"
    ) -> Report:
        """Replay one portion of the events that were received from a time on, and at its end the dead letters.

        With `dry_run` nothing is changed. Raises InputError.
        """
        now = self._clock.now()
        if since > now:
            raise InputError("since: is in the future", path="since")
        found = await events.received(self._store, Span(since, now, type), after, PAGE)
        items: list[Replayed] = []
        for _, stored in found:
            items += [await self._one(stored, rule, dry_run, actor) for rule in self._rules(stored.event)]
        last = found[-1][0] if len(found) == PAGE else None
        if last is None and type is None:
            items += [item async for item in self._dead(since, dry_run)]
        started = sum(item.outcome in ("started", "accepted") for item in items)
        if started:
            detail = to_json({"since": since, "type": type, "started": started})
            await self._store.commit(
                [], [Fact(now, "system_modification", actor, "events.replay", "events", "ok", detail)]
            )
        return Report(len(found), tuple(items), last)

    def _rules(self, event: Event) -> Iterator[Rule]:
        """One rule for each workflow that the event would start by itself."""
        scope = EventScope(as_mapping(event))
        seen: set[str] = set()
        for rule in self._index.candidates(event, scope):
            if rule.part is None and rule.workflow not in seen and rule.refuses(event, scope) is None:
                seen.add(rule.workflow)
                yield rule

    async def _one(self, stored: StoredEvent, rule: Rule, dry_run: bool, actor: str) -> Replayed:
        event = stored.event

        def so(outcome: str, reason: str = "", execution_id: str | None = None) -> Replayed:
            place = (event.source, event.id, event.type, stored.received_at, rule.workflow)
            return Replayed(*place, outcome, reason, execution_id)

        for execution in await executions.by_event(self._store, event.source, event.id):
            if execution.workflow == rule.workflow:
                return so("started_before", "", execution.id)
        for decision in await events.decisions_of(self._store, event.source, event.id):
            if decision.subject == rule.workflow and decision.outcome not in REPLAYED:
                return so("held_back", f"{decision.outcome}: {decision.reason}")
        if not rule.enabled:
            return so("held_back", "disabled: the workflow or its trigger is disabled")
        if dry_run:
            return so("would_start", rule.about)
        key = f"replay:{encode([event.source, event.id, rule.workflow]).decode()}"
        try:
            reason = f"{rule.about}: event {event.type} of {event.source}, replayed by {actor}"
            execution_id = await self._restart(rule.workflow, event, reason, key)
        except (InputError, NotFound, Conflict) as error:
            return so("refused", error.message)
        return so("started", "", execution_id) if execution_id is not None else so("started_before")

    async def _dead(self, since: float, dry_run: bool) -> Any:
        cursor: str | None = None
        while True:
            page = await dead_letters.page(self._store, since=since, waiting=True, cursor=cursor, limit=1000)
            for letter in page.items:
                yield await self._letter(letter, dry_run)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _letter(self, letter: DeadLetter, dry_run: bool) -> Replayed:
        """Take in a dead letter, if it is an event by now."""
        place = (letter.source, letter.id, "dead_letter", letter.at, None)
        try:
            event = _event.decode(letter.body)
        except (msgspec.MsgspecError, UnicodeError):
            return Replayed(*place, "refused", f"it is not an event: {letter.error}")
        if dry_run:
            return Replayed(*place, "would_try", letter.error)
        try:
            receipt = await self._publish(event)
        except AutomationError as error:
            if error.retryable:
                raise
            return Replayed(*place, "refused", error.message)
        await self._store.commit([letter.replayed(self._clock.now())])
        return Replayed(*place, "accepted", "it was known" if receipt.duplicate else "", None)
