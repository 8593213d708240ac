"""Takes events in: decides what each starts, writes event, starts and decisions in one transaction, then lets go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from automation.clock import Clock
from automation.errors import Conflict, InputError
from automation.model.event import Event, EventReceipt, as_mapping
from automation.store import events
from automation.store.audit import Fact
from automation.store.events import Decision
from automation.store.statement import Op, Unexpected
from automation.store.store import Store, encode
from automation.store.trigger_states import STATEMENT
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.triggers.deciding import Decider, P, Prepares, Taken, Verdict
from automation.triggers.index import Index
from automation.triggers.states import Draft, States
from automation.triggers.switches import Switches

T = TypeVar("T")

KEYED = "execution_keyed"
"""The statement that is refused where an idempotency key is known."""


class Workflows(Prepares[P], Protocol[P]):
    """What the dispatcher needs of the workflows room."""

    def launch(self, run: P, /) -> None:
        """Go on with it, now that it is written."""
        ...

    async def refusal(self, run: P, /) -> str | None:
        """Why there is no seat for it, or None."""
        ...


class Awaited(Protocol):
    """Executions that wait for events."""

    def match(self, event: Event) -> Sequence[Any]:
        """What waits for the event; nothing, at hardly any cost, for most events."""
        ...

    async def writes(self, met: Sequence[Any], event: Event) -> list[Op]:
        """What is committed with the event."""
        ...

    def tell(self, met: Sequence[Any], event: Event) -> tuple[str, ...]:
        """The event is on disk; returns the executions that it has woken."""
        ...


Companion = Callable[[Event], Iterable[Op]]
"""Writes that belong to an event and are committed with it."""

Retain = Literal["all", "matched", "none"]


@dataclass(slots=True)
class _Intake(Generic[P]):
    """What is committed together: writes, executions that start, and waits that are over."""

    taken: Taken
    """Claims for which there is no seat."""
    draft: Draft
    """What triggers are to remember."""
    ops: list[Op] = field(default_factory=list)
    starts: list[P] = field(default_factory=list)
    met: list[tuple[Sequence[Any], Event]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    """Those of the events, to be counted once they are on disk."""
    outcomes: list[str] = field(default_factory=list)
    """Those of the decisions, likewise."""


class Dispatcher(Generic[P]):
    """Publishes events. An event is acknowledged when its effects are on disk."""

    def __init__(
        self, store: Store, clock: Clock, metrics: Metrics, changes: Changes, workflows: Workflows[P], index: Index
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._changes = changes
        self._workflows = workflows
        self.index = index
        self.states = States(clock, store)
        self.switches = Switches(store, clock)
        self.decider: Decider[P] = Decider(index, clock, workflows, self.switches)
        self.companions: list[Companion] = []
        self.awaited: Awaited | None = None
        self.retain: Retain = "all"

    async def publish(
        self, event: Event, *, also: Sequence[Op] = (), hold: Mapping[str, str] | None = None
    ) -> EventReceipt:
        """Take an event in. Returns when it and all it starts are on disk; a duplicate starts nothing.

        `also` is committed with it; `hold` names workflows that must not start now, with the reason.
        """
        check(event)
        try:
            verdict, woken = await self._write(lambda intake: self._take_in(event, intake, hold or {}, also))
        except Unexpected as error:
            if error.statement != "event":
                raise
            return await self._duplicate(event)
        self._changes.tell("event", event.id)
        return EventReceipt(
            event_id=event.id,
            executions=tuple(prepared.id for prepared in verdict.starts),
            skipped=tuple(f"{decision.subject}: {decision.reason}" for decision in verdict.decisions),
            woken=woken,
        )

    async def announce(
        self, events: Sequence[Event], ops: Sequence[Op], facts: Sequence[Fact], *, patiently: bool = False
    ) -> None:
        """Commit writes together with events that tell of them, and with all that those start.

        With `patiently`, waits out a database that cannot be written now.
        """

        def take(intake: _Intake[P]) -> None:
            intake.ops += ops
            for event in events:
                self._take_in(event, intake)

        await self._write(take, facts, patiently=patiently)
        for event in events:
            self._changes.tell("event", event.id)

    async def fire(self, decide: Callable[[Draft], Verdict[P]]) -> None:
        """Commit what triggers do without an event: what they remember, events that they make, and what those start.

        `decide` is called again when another node, or an event, was quicker.
        """
        made: list[Event] = []

        def take(intake: _Intake[P]) -> None:
            verdict = decide(intake.draft)
            made[:] = verdict.made
            self._note(verdict.decisions, intake)
            for event in verdict.made:
                self._take_in(event, intake, made=True)

        await self._write(take)
        for event in made:
            self._changes.tell("event", event.id)

    async def _write(
        self, take: Callable[[_Intake[P]], T], facts: Sequence[Fact] = (), *, patiently: bool = False
    ) -> tuple[T, tuple[str, ...]]:
        """Decide and commit, again and again while what it was decided on is no longer so."""
        taken: Taken = {}
        while True:
            await self.states.settle()
            intake: _Intake[P] = _Intake(taken, self.states.draft())
            try:
                found = take(intake)
                return found, await self._commit(intake, facts, patiently)
            except Unexpected as error:
                self.states.doubt(intake.draft)
                if error.statement in ("event", KEYED):
                    raise
                if not error.statement.startswith(STATEMENT):
                    taken = await self._taken(intake.starts, error)
            except BaseException:
                self.states.doubt(intake.draft)
                raise

    async def _taken(self, starts: Sequence[P], error: Unexpected) -> Taken:
        """The claims for which there is no seat; raises the error if it is about something else."""
        exclusive = [prepared for prepared in starts if prepared.exclusive]
        if not exclusive:
            raise error
        reasons = [(prepared.claim, await self._workflows.refusal(prepared)) for prepared in exclusive]
        return {claim: reason for claim, reason in reasons if claim is not None and reason is not None}

    def _take_in(
        self,
        event: Event,
        intake: _Intake[P],
        hold: Mapping[str, str] | None = None,
        also: Sequence[Op] = (),
        *,
        made: bool = False,
    ) -> Verdict[P]:
        """What an event leads to; all that is to be written for it, and all that starts, is added to `intake`."""
        intake.sources.append(event.source)
        verdict = self.decider.decide(event, intake.draft, hold or {}, intake.taken, made=made)
        ops = intake.ops
        met = self.awaited.match(event) if self.awaited is not None else ()
        if met:
            intake.met.append((met, event))
        matched = bool(verdict.starts or met or verdict.made)
        # What a trigger remembers of it must not be counted twice either; what was refused can be replayed.
        refused = any(decision.outcome == "refused" for decision in verdict.decisions)
        known = matched or bool(intake.draft.touched) or made or refused
        if known or self.retain == "all" or (verdict.decisions and self.retain == "matched"):
            ops.append(events.insert(event, self._clock.now(), matched))
        ops += also
        for companion in self.companions:
            ops += companion(event)
        self._note(verdict.decisions, intake)
        for prepared in verdict.starts:
            self._add(prepared, intake)
        for each in verdict.made:
            further = self._take_in(each, intake, made=True)
            verdict.starts += further.starts
            verdict.decisions += further.decisions
        return verdict

    @staticmethod
    def _note(decisions: Iterable[Decision], intake: _Intake[P]) -> None:
        for decision in decisions:
            intake.ops.append(decision.op())
            intake.outcomes.append(decision.outcome)

    def _add(self, prepared: P, intake: _Intake[P]) -> None:
        """Have it start with what was taken in."""
        intake.starts.append(prepared)
        intake.ops += prepared.ops
        # What is only proposed asks people, and that is told in the same transaction.
        told, prepared.ops, prepared.events = prepared.events or (), [], None
        for each in told:
            self._take_in(each, intake)

    async def restart(self, workflow: str, event: Event, reason: str, key: str) -> str | None:
        """Start a workflow with an event that was taken in before; None if the same key has started it already.

        Raises NotFound, InputError when its inputs do not fit, Conflict where there is no seat for it.
        """

        def take(intake: _Intake[P]) -> str:
            prepared = self._workflows.prepare(workflow, as_mapping(event), reason, key)
            if prepared.claim is not None and prepared.claim in intake.taken:
                raise Conflict(intake.taken[prepared.claim])
            self._add(prepared, intake)
            return prepared.id

        try:
            return (await self._write(take))[0]
        except Unexpected as error:
            if error.statement != KEYED:
                raise
            return None

    async def _commit(self, intake: _Intake[P], facts: Sequence[Fact], patiently: bool = False) -> tuple[str, ...]:
        """Write what was taken in and let go of it; returns the executions that had waited for an event of it."""
        all_facts = list(facts)
        for prepared in intake.starts:
            all_facts += prepared.facts
            prepared.facts = []
        for met, event in intake.met:
            assert self.awaited is not None
            intake.ops += await self.awaited.writes(met, event)
        intake.ops += intake.draft.ops(self._clock.now())
        if intake.ops:
            await (self._store.commit_patiently if patiently else self._store.commit)(intake.ops, all_facts)
        for source in intake.sources:
            self._metrics.events_received.labels(source).inc()
        for outcome in intake.outcomes:
            self._metrics.events_not_started.labels(outcome).inc()
        for prepared in intake.starts:
            self._workflows.launch(prepared)
        woken: list[str] = []
        for met, event in intake.met:
            assert self.awaited is not None
            woken += self.awaited.tell(met, event)
        return tuple(woken)

    async def _duplicate(self, event: Event) -> EventReceipt:
        reason = f"({event.source}, {event.id}) was published before"
        self._metrics.events_not_started.labels("duplicate").inc()
        decision = Decision(self._clock.now(), "event", event.type, "duplicate", reason, event.source, event.id)
        await self._store.commit([decision.op()])
        return EventReceipt(event_id=event.id, duplicate=True)


def check(event: Event) -> None:
    """Refuse an event that could not be stored; raises InputError."""
    for name, value, limit in (
        ("type", event.type, 200),
        ("source", event.source, 200),
        ("id", event.id, 500),
        ("subject", event.subject, 500),
    ):
        if not isinstance(value, str) or len(value) > limit:
            raise InputError(f"event.{name}: must be text of at most {limit} characters")
        _check_text(name, value)
    if not event.type or not event.source or not event.id:
        raise InputError("event: type, source and id must not be empty")
    if not isinstance(event.data, dict):
        raise InputError(f"event.data: must be a mapping, not {type(event.data).__name__}")
    try:
        encode(event.data)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"event.data: cannot be stored as JSON: {error}") from None
    if event.severity is not None:
        _check_text("severity", event.severity)
    if event.labels:
        try:
            encode(event.labels)
        except (TypeError, ValueError) as error:
            raise InputError(f"event.labels: cannot be stored as JSON: {error}") from None


def _check_text(name: str, value: str) -> None:
    # No database takes these. Refused only there, one would fail whoever sends it again and again.
    if "\0" in value:
        raise InputError(f"event.{name}: must not contain NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"event.{name}: must not contain half of a surrogate pair") from None
