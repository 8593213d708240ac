"""Stories: workflows made up at random, and what people, events, dying engines and a failing database do to them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from automation import AutomationLevel, Event, WorkflowDefinition, WorkflowStatus
from automation.errors import AutomationError, DefinitionError, Refused, StoreUnavailable, TryLater
from automation.model.approval import Approval, ApprovalStatus
from automation.model.execution import ExecutionDetail
from automation.store import writer
from automation.store.writer import InDoubt
from automation.testing import CRASH, After, EngineUnderTest, crash_and_recover
from automation.workflows.compiler import compile_workflow
from automation.workflows.settled import patiently
from automation.workflows.state import fold
from tests.support import side_effects  # noqa: F401 - registers the operations
from tests.support.stage import engine_on

Deed = Callable[[EngineUnderTest], Awaitable[Any]]
HOUR = 3600.0
ROUNDS = 60
"""How often all that waits is answered and time passes, until everything must have come to its end."""
LONGEST = 400
"""Entries of a journal: no story is so long that one which does not run in circles has more."""
_OPERATIONS = ("side.critical", "side.again", "side.once", "side.undoable")
_EVENTS = ("e1", "e2")
_TROUBLES = ("refused", "unread", "written", "lost")
"""What befalls a write or a read: it is refused, or its connection breaks when it is written, or before."""


class Story:
    """A workflow, one that it may start, and what happens to their executions. The same seed is the same story.

    With two engines on one database, what happens comes to the one or the other, and either may die.
    """

    def __init__(self, seed: int, engines: int, url: str, folder: Path) -> None:
        self._random = random.Random(seed)
        self._url, self._folder = url, folder
        self._many = engines
        self._alive: list[EngineUnderTest] = []
        self._outcomes: dict[str, Any] = {}
        child = self._workflow("child", may_start=False)
        self.definitions = (child, self._workflow("w", may_start=True))
        self.level = self._random.choice(list(AutomationLevel))
        self.told: list[str] = []
        """What has happened, for whoever looks into a story that ends badly."""

    def _workflow(self, name: str, *, may_start: bool) -> WorkflowDefinition:
        """One that can be compiled."""
        while True:
            definition = self._definition(name, may_start)
            try:
                compile_workflow(definition)
            except DefinitionError:
                # A join of which too many can never succeed, for one.
                continue
            return definition

    def _definition(self, name: str, may_start: bool) -> WorkflowDefinition:
        pick = self._random
        names = "abcd"[: pick.randint(1, 4)]
        found: dict[str, Any] = {
            "name": name,
            "actions": [self._action(each, names[:index], may_start) for index, each in enumerate(names)],
        }
        if self._is(0.5):
            triggers = ["action_failure", "timeout", "cancelled"]
            found["rollback_strategy"] = {"triggers": pick.sample(triggers, pick.randint(1, 3))}
        if self._is(0.3):
            found["timeout_seconds"] = pick.choice([30, 300])
        if self._is(0.3):
            found["concurrency"] = {
                "key": "k",
                "limit": pick.randint(1, 2),
                "on_conflict": pick.choice(["queue", "skip", "replace"]),
            }
        return WorkflowDefinition.model_validate(found)

    def _action(self, name: str, before: str, may_start: bool) -> dict[str, Any]:
        pick = self._random
        action: dict[str, Any] = {"name": name}
        if self._is(0.2):
            action["wait_for"] = {"event": pick.choice(_EVENTS)}
            if self._is(0.5):
                action["wait_for"] |= {
                    "timeout": pick.choice([10, 100]),
                    "on_timeout": pick.choice(["continue", "fail"]),
                }
        elif may_start and self._is(0.2):
            action |= {"action_type": "flow.workflow", "parameters": {"workflow": "child", "wait": self._is(0.8)}}
        else:
            action["action_type"] = pick.choice(_OPERATIONS)
            if self._is(0.3):
                action["retry"] = {"attempts": pick.randint(1, 3), "initial_seconds": pick.choice([0.5, 20])}
            if self._is(0.2):
                action["verify"] = "v >= 0 within 5s"
        if self._is(0.5):
            items = list(range(pick.randint(0, 4)))
            action["for_each"] = {"items": items, "concurrency": pick.randint(1, 3)}
            self._outcomes |= {f"{name}[{item}]": self._outcome() for item in items}
        elif self._is(0.25) and "wait_for" not in action:
            action["repeat"] = {"until": "v >= 2", "max": pick.randint(1, 3), "delay": pick.choice([0, 5])}
        self._outcomes[name] = self._outcome()
        if before and self._is(0.6):
            action["depends_on"] = pick.sample(before, pick.randint(0, len(before)))
            if action["depends_on"] and self._is(0.4):
                action["join"] = pick.choice(["any", len(action["depends_on"])])
        for chance, key, values in (
            (0.2, "delay", [1, 30]),
            (0.2, "on_failure", ["continue"]),
            (0.15, "always", [True]),
            (0.2, "on_interrupt", ["ask", "retry", "fail"]),
        ):
            if self._is(chance):
                action[key] = pick.choice(values)
        return action

    def _outcome(self) -> list[Any]:
        """What comes of the calls for an action; in the end each succeeds."""
        pick = self._random
        some: list[Any] = [
            {"v": 1},
            After(pick.choice([1, 50, 150]), {"v": 1}),
            TryLater("later"),
            Refused("no"),
            After(pick.choice([2, 20]), TryLater("slow")),
            After(400, {}),
            After(pick.choice([1, 5]), CRASH),
        ]
        weights = (45, 15, 12, 8, 8, 5, 7)
        return [*pick.choices(some, weights, k=pick.randint(1, 3)), {"v": 2}]

    def _is(self, chance: float) -> bool:
        return self._random.random() < chance

    async def tell(self) -> None:
        """Live through it, to the end of all; raises AssertionError, TimeoutError where something does not end well."""
        # A database in trouble is tried again at once: time would be over before, where it is virtual.
        with patch.object(writer, "PATIENCE_SECONDS", (0.0, 0.0)):
            await self._tell()

    async def _tell(self) -> None:
        async with engine_on(self._url, self._folder, outcomes=self._outcomes, level=self.level) as first:
            self._alive = [first]
            for definition in self.definitions:
                await first.register_workflow(definition)
            await first.save()
            while len(self._alive) < self._many:
                await self._join()
            try:
                await self._happen(_start)
                for _ in range(self._random.randint(3, 14)):
                    await self._happen(self._deed())
                await self._end()
                for detail in await _all(self._alive[0]):
                    _check(detail)
            finally:
                for each in self._alive:
                    _heal(each)
                for each in self._alive if self._many > 1 else ():
                    await each.stop()
            first.recorder.refused.clear()

    async def _join(self) -> EngineUnderTest:
        """Another engine on the same database and clock."""
        known = self._alive[0]
        other = EngineUnderTest(known.config, known.clock, known.recorder)
        await other.start()
        for definition in self.definitions:
            await other.register_workflow(definition)
        self._alive.append(other)
        return other

    async def _die(self) -> None:
        """One of the engines dies, and another one comes in its place."""
        if self._many == 1:
            self._alive = [await crash_and_recover(self._alive[0])]
            return
        dead = self._alive[place := self._random.randrange(self._many)]
        await dead.crash()
        dead.recorder.crashed = None
        other = await self._join()
        del self._alive[place]
        # It was no process of its own: nobody sees that it is gone, and its lease is long.
        await other._recovery.bury(dead._recovery.node)
        await other.clock.settle()

    def _deed(self) -> Deed:
        pick = self._random
        first = self.definitions[1].actions
        seconds, action, agreed = pick.choice([0.1, 1, 7, 60, 400]), pick.choice(first).name, self._is(0.8)
        event_type, place = pick.choice(_EVENTS), pick.random()
        trouble, later = pick.choice(_TROUBLES), pick.randint(1, 4)

        def one(act: Callable[[EngineUnderTest, str], Awaitable[Any]]) -> Deed:
            """Of all executions, always the same one for the same story."""

            async def deed(running: EngineUnderTest) -> None:
                found = await _all(running)
                await act(running, found[int(place * len(found))].execution.id)

            return deed

        deeds: dict[str, tuple[float, Deed]] = {
            "answer": (25, lambda running: _answer(running, place, agreed)),
            "pause": (8, one(lambda running, id: running.executions.pause(id))),
            "resume": (10, one(lambda running, id: running.executions.resume(id))),
            "cancel": (5, one(lambda running, id: running.cancel(id))),
            "retry": (4, one(lambda running, id: running.executions.retry(id))),
            "rerun": (2, one(lambda running, id: running.executions.rerun(id))),
            "fork": (2, one(lambda running, id: running.executions.fork(id, action))),
            "start": (4, _start),
            "stop": (2, lambda running: running.guardrails.stop("enough")),
            "release": (2, _release),
            "event": (14, lambda running: _publish(running, event_type)),
            "crash": (4, lambda _: self._die()),
            "time": (26, lambda running: _pass(running, seconds)),
            "trouble": (8, lambda running: _trouble(running, trouble, later)),
        }
        [name] = pick.choices(list(deeds), [weight for weight, _ in deeds.values()])
        self.told.append(name)
        return deeds[name][1]

    async def _happen(self, deed: Deed) -> None:
        try:
            await deed(self._random.choice(self._alive))
        except AutomationError as error:
            self.told.append(f"({type(error).__name__})")
        if self._alive[0].recorder.crashed is not None:
            self.told.append("died")
            await self._die()

    async def _end(self) -> None:
        """Let all come to its end: nothing is stopped or paused, all is answered, and all events come."""
        for _ in range(ROUNDS):
            # Each time: the trouble that is still to come may be that of this.
            await self._happen(_release)
            left = [each.execution for each in await _all(self._alive[0]) if not each.execution.status.finished]
            if not left:
                return
            for execution in left:
                if execution.status is WorkflowStatus.PAUSED:
                    await self._happen(partial(_resume, execution_id=execution.id))
            while await _pending(self._alive[0]):
                await self._happen(partial(_answer, place=0.0, agreed=True))
            for event_type in _EVENTS:
                await self._happen(partial(_publish, event_type=event_type))
            await self._happen(partial(_pass, seconds=HOUR))
        raise AssertionError(f"not all comes to its end: {[_told(detail) for detail in await _all(self._alive[0])]}")


async def _start(running: EngineUnderTest) -> None:
    await running.start_workflow("w")


async def _resume(running: EngineUnderTest, execution_id: str) -> None:
    await running.executions.resume(execution_id)


async def _trouble(running: EngineUnderTest, what: str, later: int) -> None:
    """Have a coming write, or read, of this engine fail once."""
    backend: Any = running.store.backend
    names = ("read", "fetch") if what == "unread" else ("write",)
    _heal(running)
    whole = {name: getattr(backend, name) for name in names}
    left = later

    def failing(name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left:
                return await whole[name](*given)
            _heal(running)
            if what in ("refused", "unread") or not hasattr(backend, "_drop"):
                raise StoreUnavailable("in trouble")
            if what == "written":
                await whole[name](*given)
                # As the session knows it that has not heard of the end of its commit.
                backend._session.batch -= 1
            backend._drop()
            raise InDoubt(OSError("in trouble"))

        return call

    for name in names:
        setattr(backend, name, failing(name))


def _heal(running: EngineUnderTest) -> None:
    for name in ("read", "fetch", "write"):
        vars(running.store.backend).pop(name, None)


async def _release(running: EngineUnderTest) -> None:
    await running.guardrails.release()


async def _publish(running: EngineUnderTest, event_type: str) -> None:
    await running.publish(Event(type=event_type, source="story", data={"v": 1}))


async def _answer(running: EngineUnderTest, place: float, agreed: bool) -> None:
    pending = await _pending(running)
    if pending:
        one = pending[int(place * len(pending))]
        await running.decide(one.execution_id, one.action, agreed, actor="ann")


async def _pass(running: EngineUnderTest, seconds: float) -> None:
    async def never() -> bool:
        return False

    end = running.clock.now() + seconds
    await running.pass_time(never, seconds)
    if running.recorder.crashed is None and running.clock.now() < end:
        await running.clock.advance(end - running.clock.now())


async def _all(running: EngineUnderTest) -> list[ExecutionDetail]:
    async def read() -> list[ExecutionDetail]:
        page = await running.executions.list(limit=100)
        return [await running.queries.execution_detail(execution.id) for execution in page.items]

    return await patiently(read)


async def _pending(running: EngineUnderTest) -> list[Approval]:
    found = [await running.approvals.of(detail.execution.id) for detail in await _all(running)]
    return [each for approvals in found for each in approvals if each.status is ApprovalStatus.PENDING]


def _told(detail: ExecutionDetail) -> tuple[Any, ...]:
    return detail.execution.status.value, [(each.name, each.status.value, each.reason) for each in detail.actions]


def _check(detail: ExecutionDetail) -> None:
    """What holds for every journal, whatever has happened."""
    journal = detail.journal
    assert len(journal) <= LONGEST, "it runs in circles"
    assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))
    state = fold([action.name for action in detail.actions], journal)
    assert state.status is detail.execution.status, "the journal says something else than the summary"
    ended: set[str | None] = set()
    for entry in journal:
        assert entry.kind != "action_started" or entry.action not in ended, f"{entry.action} runs again"
        if entry.kind == "retried":
            ended.clear()
        elif entry.kind == "action_completed" or (entry.kind == "action_failed" and "retry_at" not in entry.body):
            ended.add(entry.action)
