"""Takes events in: decides what each starts, writes event, starts and decisions in one transaction, then lets go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Generic, Literal, TypeVar

from automation.clock import Clock
from automation.errors import Conflict, InputError
from automation.model.event import Event, EventReceipt, as_mapping
from automation.store import events, seats
from automation.store.audit import Fact
from automation.store.events import Decision
from automation.store.statement import Op, Unexpected
from automation.store.store import Store
from automation.store.trigger_states import STATEMENT
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.triggers.checking import check
from automation.triggers.deciding import Decider, P, Taken, Verdict
from automation.triggers.index import Index
from automation.triggers.partners import Awaited, Companion, Workflows
from automation.triggers.states import Draft, States
from automation.triggers.switches import Switches

T = TypeVar("T")

PORTION = 2000
"""How many events that are published together share a transaction, at most: to decide about them takes milliseconds."""
MOST_STARTS = 100
"""After how many executions that start the next events come with the next transaction: one takes as long as some dozen
events that start nothing, and nothing else runs meanwhile."""
KEYED = "execution_keyed"
"""The statement that is refused where an idempotency key is known."""


Retain = Literal["all", "matched", "none"]


@dataclass(slots=True)
class _Intake(Generic[P]):
    """What is committed together: writes, executions that start, and waits that are over."""

    taken: Taken
    """Claims for which there is no seat."""
    draft: Draft
    """What triggers are to remember."""
    head: list[Op] = field(default_factory=list)
    """What is written first: what was given, then the rows of events. One that is there already has done no harm."""
    ops: list[Op] = field(default_factory=list)
    starts: list[P] = field(default_factory=list)
    met: list[tuple[Sequence[Any], Event]] = field(default_factory=list)
    landed: list[Callable[[], None]] = field(default_factory=list)
    """What is called once all is on disk."""
    sources: list[str] = field(default_factory=list)
    """Those of the events, to be counted then."""
    outcomes: list[str] = field(default_factory=list)
    """Those of the decisions, likewise."""


@dataclass(frozen=True, slots=True)
class _Led(Generic[P]):
    """What an event has led to."""

    event: Event
    verdict: Verdict[P]
    met: slice
    """Which of the waits that are over it has ended."""

    def receipt(self, woken: Sequence[tuple[str, ...]]) -> EventReceipt:
        """The answer to who has published it."""
        return EventReceipt(
            event_id=self.event.id,
            executions=tuple([prepared.id for prepared in self.verdict.starts]),
            skipped=tuple([f"{decision.subject}: {decision.reason}" for decision in self.verdict.decisions]),
            woken=tuple(chain.from_iterable(woken[self.met])),
        )


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
        self._companions: dict[str, list[Companion]] = {}
        """By the type of event."""
        self.awaited: Awaited | None = None
        self.retain: Retain = "all"
        self.waiting = 0
        """How many published events are not acknowledged yet."""

    def accompany(self, companion: Companion) -> None:
        """Have something more committed with events."""
        for event_type in companion.types:
            self._companions.setdefault(event_type, []).append(companion)

    async def publish(
        self, event: Event, *, also: Sequence[Op] = (), hold: Mapping[str, str] | None = None
    ) -> EventReceipt:
        """Take an event in. Returns when it and all it starts are on disk; a duplicate starts nothing.

        `also` is committed with it; `hold` names workflows that must not start now, with the reason.
        """
        check(event)
        self._check_further(event)
        self.waiting += 1
        try:
            verdict, woken = await self._write(lambda intake: self._take_in(event, intake, hold or {}, also))
        except Unexpected as error:
            if error.statement != "event":
                raise
            return await self._duplicate(event)
        finally:
            self.waiting -= 1
        self._changes.tell("event", event.id)
        return _Led(event, verdict, slice(None)).receipt(woken)

    async def publish_many(self, events: Sequence[Event]) -> list[EventReceipt]:
        """Take events in, in their order; returns the receipt of each when all, and what they start, are on disk.

        One that is wrong refuses all, before anything is written. Many share a transaction, not all: when one cannot be
        written, those before it are, and are duplicates when all are given again.
        """
        for place, event in enumerate(events):
            try:
                check(event)
                if event.type in self._companions:
                    self._check_further(event)
            except InputError as error:
                path = f"[{place}]"
                raise InputError(f"{path}: {error.message}", path=path) from None
        receipts: list[EventReceipt] = []
        self.waiting += len(events)
        try:
            while (done := len(receipts)) < len(events):
                receipts += await self._together(events[done : done + PORTION])
        finally:
            self.waiting -= len(events)
        return receipts

    def _check_further(self, event: Event) -> None:
        for companion in self._companions.get(event.type, ()):
            companion.check(event)

    async def _together(self, given: Sequence[Event]) -> list[EventReceipt]:
        """Take in the first of these events, in one transaction; at least one, and all where that is possible."""
        repeated: set[tuple[str, str]] = set()
        while True:
            try:
                found, woken = await self._write(lambda intake: self._take_many(given, repeated, intake))
                break
            except Unexpected as error:
                if error.statement != "event":
                    raise
            known = await events.known(self._store, [(event.source, event.id) for event in given])
            if known <= repeated:
                # It is not one of these that is there already, but one that a trigger makes of them.
                return [await self.publish(event) for event in given]
            repeated.update(known)
        receipts = [each if isinstance(each, EventReceipt) else each.receipt(woken) for each in found]
        if self._changes:
            for receipt in receipts:
                if not receipt.duplicate:
                    self._changes.tell("event", receipt.event_id)
        return receipts

    def _take_many(
        self, given: Sequence[Event], repeated: Set[tuple[str, str]], intake: _Intake[P]
    ) -> list[EventReceipt | _Led[P]]:
        """What each of the first of these events leads to: its receipt already, where that is nothing."""
        found: list[EventReceipt | _Led[P]] = []
        seen = set(repeated)
        for event in given:
            name = (event.source, event.id)
            if name in seen:
                self._note([self._repetition(event)], intake)
                found.append(EventReceipt(event_id=event.id, duplicate=True))
                continue
            seen.add(name)
            starts, met = len(intake.starts), len(intake.met)
            verdict = self._take_in(event, intake)
            if verdict is self.decider.nothing and len(intake.met) == met:
                found.append(EventReceipt(event_id=event.id))
                continue
            found.append(_Led(event, verdict, slice(met, len(intake.met))))
            if len(intake.starts) >= MOST_STARTS:
                break
            if any(prepared.exclusive for prepared in intake.starts[starts:]):
                # Whether there is a seat for another one is known when this one is written.
                break
        return found

    async def announce(
        self, events: Sequence[Event], ops: Sequence[Op], facts: Sequence[Fact], *, patiently: bool = False
    ) -> None:
        """Commit writes together with events that tell of them, and with all that those start.

        With `patiently`, waits out a database that cannot be written now.
        """

        def take(intake: _Intake[P]) -> None:
            intake.head += ops
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
    ) -> tuple[T, list[tuple[str, ...]]]:
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
                if error.statement != seats.TAKE_ALONE.name and not error.statement.startswith(STATEMENT):
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
        looks = intake.draft.looks
        verdict = self.decider.decide(event, intake.draft, hold or {}, intake.taken, made=made)
        met = self.awaited.match(event) if self.awaited is not None else ()
        if met and intake.met:
            over = {id(wait) for waits, _ in intake.met for wait in waits}
            met = [wait for wait in met if id(wait) not in over]
        if met:
            intake.met.append((met, event))
        matched = bool(verdict.starts or met or verdict.made)
        # What a trigger remembers of it must not be counted twice either.
        known = matched or made or intake.draft.looks > looks
        if known or self.retain == "all" or (verdict.decisions and self._keeps(verdict.decisions)):
            intake.head.append(events.insert(event, self._clock.now(), matched))
        intake.ops += also
        for companion in self._companions.get(event.type, ()):
            if (told := companion.writes(event)) is not None:
                intake.ops += told[0]
                intake.landed.append(told[1])
        if verdict is self.decider.nothing:
            return verdict
        self._note(verdict.decisions, intake)
        for prepared in verdict.starts:
            self._add(prepared, intake)
        for each in verdict.made:
            further = self._take_in(each, intake, made=True)
            verdict.starts += further.starts
            verdict.decisions += further.decisions
        return verdict

    def _keeps(self, decisions: Sequence[Decision]) -> bool:
        """Whether an event of which only these were made is kept; what was refused can be replayed."""
        return self.retain == "matched" or any(decision.outcome == "refused" for decision in decisions)

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

    async def _commit(
        self, intake: _Intake[P], facts: Sequence[Fact], patiently: bool = False
    ) -> list[tuple[str, ...]]:
        """Write what was taken in and let go of it; returns for each of `met` the executions that had waited."""
        all_facts = list(facts)
        for prepared in intake.starts:
            all_facts += prepared.facts
            prepared.facts = []
        for met, event in intake.met:
            assert self.awaited is not None
            intake.ops += await self.awaited.writes(met, event)
        ops = [*intake.head, *intake.ops, *intake.draft.ops(self._clock.now())]
        if ops:
            await (self._store.commit_patiently if patiently else self._store.commit)(ops, all_facts)
        for land in intake.landed:
            land()
        for source, count in Counter(intake.sources).items():
            self._metrics.events_received.add(source, by=count)
        for outcome in intake.outcomes:
            self._metrics.events_not_started.labels(outcome).inc()
        for prepared in intake.starts:
            self._workflows.launch(prepared)
        woken = []
        for met, event in intake.met:
            assert self.awaited is not None
            woken.append(self.awaited.tell(met, event))
        return woken

    async def _duplicate(self, event: Event) -> EventReceipt:
        decision = self._repetition(event)
        self._metrics.events_not_started.labels(decision.outcome).inc()
        await self._store.commit([decision.op()])
        return EventReceipt(event_id=event.id, duplicate=True)

    def _repetition(self, event: Event) -> Decision:
        reason = f"({event.source}, {event.id}) was published before"
        return Decision(self._clock.now(), "event", event.type, "duplicate", reason, event.source, event.id)
