"""Runs a workflow from its start to its end in virtual time, by a script of events and answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from automation.errors import Conflict
from automation.model.event import Event
from automation.model.execution import (
    ActionRun,
    ActionStatus,
    Execution,
    ExecutionContext,
    JournalEntry,
    WorkflowStatus,
)
from automation.model.workflow import AutomationLevel, WorkflowDefinition
from automation.store.events import Decision
from automation.testing.recorder import Recorded, Sent
from automation.testing.stage import YEAR, EngineUnderTest, crash_and_recover
from automation.testing.stage import engine as engine_under_test
from automation.triggers.rules import rules_of

T = TypeVar("T")

Events = Event | Sequence[Event] | Mapping[float, Event]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person answers when an action asks for approval, `after` so many seconds."""

    agreed: bool = True
    after: float = 0.0
    actor: str = "tester"
    reason: str = ""


Answers = bool | Answer | Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What became of a workflow, and of all that it asked of the world."""

    status: WorkflowStatus | None
    """How the execution ended, or what it waits for at the end; None if nothing was started: see `decisions`."""
    execution_id: str | None
    outputs: dict[str, Any]
    """What each action returned, by the action's name."""
    error: dict[str, Any] | None
    began_at: float
    """When the test began, in seconds since the epoch."""
    ended_at: float
    actions: tuple[ActionRun, ...]
    """All actions, in the order in which they began; those that did not begin come last."""
    calls: tuple[Recorded, ...]
    """Every call of an operation, in order."""
    journal: tuple[JournalEntry, ...]
    notifications: tuple[Sent, ...]
    """Every message that a channel was given."""
    decisions: tuple[Decision, ...]
    """Why something did not start, or was not done; the oldest first."""
    executions: tuple[Execution, ...]
    """All executions that were started, the oldest first; the first is the one told of above."""

    def action(self, name: str) -> ActionRun:
        """What became of one action."""
        return next(action for action in self.actions if action.name == name)

    def began_after(self, name: str) -> float:
        """How many seconds after the beginning of the test an action began."""
        action = self.action(name)
        if action.started_at is None:
            raise ValueError(f"action {name!r} did not begin: it was {action.status.value}; {action.reason}")
        return action.started_at - self.began_at

    @property
    def seconds(self) -> float:
        """How long it took, by the virtual clock."""
        return self.ended_at - self.began_at


async def run_workflow(
    definition: WorkflowDefinition | Sequence[WorkflowDefinition],
    *,
    variables: Mapping[str, Any] | None = None,
    events: Events = (),
    outcomes: Mapping[str, Any] | None = None,
    approvals: Mapping[str | None, Answers] | None = None,
    level: AutomationLevel = AutomationLevel.AUTONOMOUS,
    until: float = YEAR,
) -> Rehearsal:
    """Run a workflow to its end in virtual time, without doing anything for real.

    It is started by hand with `variables`, or by the `events`, where some are given and its triggers or conditions wait
    for any. Of several definitions the first is run; the others are there to be started by it or by events.

    `events` are published at the beginning or, given as a mapping, after so many seconds each. `outcomes` says what
    comes of each operation, as for `Recorder`. `approvals` answers for people: by the action's name, `"*"` for any, or
    None for an execution that was only proposed; several answers to one question are given one after the other.
    It ends when all executions have ended or wait for what will not come, or after `until` seconds.

    Raises DefinitionError and InputError as registration and start do, and NotFaked if an operation has no outcome.
    """
    definitions = _all_of("definition", WorkflowDefinition, definition)
    if not definitions:
        raise ValueError("definition: the list is empty: give at least one")
    async with engine_under_test(outcomes=outcomes, level=level) as engine:
        # What would be a start of its own at a time of day has to be asked for.
        await engine.watching.scheduler.stop()
        for each in definitions:
            await engine.register_workflow(each)
        began = engine.clock.now()
        script = _Script(_schedule(events, began), _answers(approvals or {}))
        if not (script.events and rules_of(engine.workflow_manager.plan(definitions[0].name))):
            await engine.start_workflow(definitions[0].name, ExecutionContext(variables=dict(variables or {})))
        elif variables:
            raise ValueError("variables are for a start by hand; this workflow is started by the events")
        engine = await script.play(engine, began + until)
        return await _rehearsal(engine, definitions[0].name, began)


class _Script:
    """What happens from outside, and when."""

    def __init__(self, events: list[tuple[float, Event]], answers: Mapping[str | None, Sequence[Answer]]) -> None:
        self.events = events
        self._answers = answers
        self._given: Counter[tuple[str, str | None]] = Counter()

    async def play(self, engine: EngineUnderTest, end: float) -> EngineUnderTest:
        """Let time pass until nothing is to come any more; returns the engine that was there last."""
        while True:
            await engine.clock.settle()
            if engine.recorder.crashed is not None:
                engine = await crash_and_recover(engine)
                continue
            now = engine.clock.now()
            if self.events and self.events[0][0] <= now:
                _, event = self.events.pop(0)
                await engine.publish(msgspec.structs.replace(event, time=now))
                continue
            answered, answer_at = await self._answer(engine)
            if answered:
                continue
            times = [await engine.next_due(), answer_at, self.events[0][0] if self.events else None]
            due = min((moment for moment in times if moment is not None), default=math.inf)
            await engine.clock.advance(min(due, end) - now if due < math.inf else 0.0)
            if due > end or due == math.inf:
                return engine

    async def _answer(self, engine: EngineUnderTest) -> tuple[bool, float | None]:
        """Give the first answer that is due; whether one was, or when the next will be."""
        times: list[float] = []
        for execution_id, action, asked_at in await _questions(engine) if self._answers else ():
            answers = self._answers.get(action, self._answers.get("*", ()) if action is not None else ())
            given = self._given[execution_id, action]
            if given >= len(answers):
                continue
            answer = answers[given]
            if asked_at + answer.after > engine.clock.now():
                times.append(asked_at + answer.after)
                continue
            try:
                await engine.decide(execution_id, action, answer.agreed, reason=answer.reason, actor=answer.actor)
            except Conflict:
                # It waits for something else than an approval.
                continue
            self._given[execution_id, action] += 1
            return True, None
        return False, min(times, default=None)


async def _questions(engine: EngineUnderTest) -> list[tuple[str, str | None, float]]:
    """What may wait for a person: execution, action or None for all of it, and since when."""
    found: list[tuple[str, str | None, float]] = []
    for execution in (await engine.queries.executions(limit=1000)).items:
        if execution.status is WorkflowStatus.PROPOSED:
            found.append((execution.id, None, execution.created_at))
        elif not execution.status.finished:
            detail = await engine.queries.execution_detail(execution.id)
            since = {entry.action: entry.at for entry in detail.journal if entry.kind == "action_waiting"}
            found += [
                (execution.id, action.name, since[action.name])
                for action in detail.actions
                if action.status is ActionStatus.WAITING and action.name in since
            ]
    return found


def _all_of(what: str, kind: type[T], given: T | Iterable[T]) -> list[T]:
    """One or several of a kind as a list; raises TypeError for what is something else."""
    many = isinstance(given, Iterable) and not isinstance(given, kind | str | Mapping)
    found: list[Any] = list(cast("Iterable[T]", given)) if many else [given]
    for each in found:
        if not isinstance(each, kind):
            hint = f"{kind.__name__}(...)"
            if kind is WorkflowDefinition:
                hint = "WorkflowDefinition.model_validate(...), or definitions.read_or_raise([Path(...)]).workflows"
            raise TypeError(f"{what}: {each!r:.80} is no {kind.__name__}: give {hint}")
    return found


def _schedule(events: Events, began: float) -> list[tuple[float, Event]]:
    if isinstance(events, Mapping):
        _all_of("events", Event, events.values())
        pairs = list(events.items())
    else:
        pairs = [(0.0, event) for event in _all_of("events", Event, events)]
    return sorted(((began + after, event) for after, event in pairs), key=lambda pair: pair[0])


def _answers(approvals: Mapping[str | None, Answers]) -> dict[str | None, Sequence[Answer]]:
    found: dict[str | None, Sequence[Answer]] = {}
    for action, answers in approvals.items():
        one = Answer(answers) if isinstance(answers, bool) else answers
        found[action] = [one] if isinstance(one, Answer) else list(one)
    return found


async def _rehearsal(engine: EngineUnderTest, workflow: str, began: float) -> Rehearsal:
    executions = sorted(
        (await engine.queries.executions(limit=1000)).items, key=lambda each: (each.created_at, each.id)
    )
    first = next((execution for execution in executions if execution.workflow == workflow), None)
    detail = await engine.queries.execution_detail(first.id) if first else None
    actions = sorted(detail.actions, key=lambda action: action.started_at or math.inf) if detail else ()
    decisions = (await engine.queries.decisions(limit=1000)).items
    return Rehearsal(
        status=first.status if first else None,
        execution_id=first.id if first else None,
        outputs={action.name: action.outputs for action in actions if action.status is ActionStatus.SUCCEEDED},
        error=first.error if first else None,
        began_at=began,
        ended_at=(first.finished_at if first else None) or engine.clock.now(),
        actions=tuple(actions),
        calls=tuple(engine.recorder.calls),
        journal=detail.journal if detail else (),
        notifications=tuple(engine.recorder.sent),
        decisions=tuple(reversed(decisions)),
        executions=tuple(executions),
    )
