"""`for_each`: one action, run once for each item of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from automation.clock import Clock, until
from automation.errors import AutomationError, Refused
from automation.model.execution import ActionStatus
from automation.workflows.advance import may_go_on
from automation.workflows.guards import Guards
from automation.workflows.plan import Step
from automation.workflows.run import ITEMS, SHORT_WAIT, Run, Turn
from automation.workflows.state import Scope

_STOP = "stop"
"""The guardrail that is lifted at any moment."""

_UNDER_WAY = frozenset({ActionStatus.RUNNING, ActionStatus.WAITING})

MAX_ITEMS = 100_000
"""The longest list of a `for_each`."""


class Turns(Protocol):
    """Runs single turns."""

    stopping: bool
    """Whether no further item is begun."""

    async def once(self, run: Run, turn: Turn) -> None:
        """One attempt."""
        ...

    def settle(self, run: Run, step: Step, key: str) -> None:
        """Decide what becomes of a turn that was under way in a crash."""
        ...

    def failed(self, run: Run, turn: Turn, attempt: int, error: AutomationError) -> None:
        """Note that an attempt has failed."""
        ...


class Each:
    """Runs an action for each item of its list."""

    def __init__(self, steps: Turns, clock: Clock, guards: Guards, flush: Callable[[Run], Awaitable[None]]) -> None:
        self._steps = steps
        self._clock = clock
        self._guards = guards
        self._flush = flush

    async def run(self, run: Run, step: Step) -> None:
        """Run an action for each item; after a restart, for those that had not ended."""
        state = run.state.actions[step.name]
        now = self._clock.now()
        body: dict[str, Any] = {"attempt": 1, "operation": step.plugin.name}
        if state.items is None or state.status is ActionStatus.PENDING:
            assert step.items is not None
            try:
                # A retry keeps the list: the items that have succeeded are not run again.
                body["items"] = state.items or _list_of(step.items.render(Scope(run.state)))
            except AutomationError as error:
                run.note(now, "action_started", step.name, body)
                self._steps.failed(run, Turn(step, step.name, {}), 1, error)
                return
            run.note(now, "action_started", step.name, body)
            await self._flush(run)
        elif state.awaits is not None:
            run.note(now, "action_started", step.name, body)
        items = state.items or []
        turns = [Turn(step, f"{step.name}[{n}]", {"item": item, "index": n}) for n, item in enumerate(items)]
        round_ = Round(self._steps, self._clock, self._guards, self._flush, run, turns)
        if await round_.go(step):
            self._gather(run, step, turns)
        else:
            run.note(self._clock.now(), "action_awaits", step.name, round_.resting_body())

    def _gather(self, run: Run, step: Step, turns: list[Turn]) -> None:
        """The outcome of the whole from those of its items."""
        states = [run.state.action(turn.key) for turn in turns]
        now = self._clock.now()
        statuses = {state.status for state in states}
        ended = all(status.finished for status in statuses)
        broken = ActionStatus.CANCELLED in statuses or not ended
        failed = [turn for turn, state in zip(turns, states, strict=True) if state.status is ActionStatus.FAILED]
        if run.interruption is not None and broken and not step.definition.always:
            run.note(now, "action_cancelled", step.name, {"reason": run.interruption[1]})
        elif failed and step.definition.on_failure == "fail" and not statuses & _UNDER_WAY:
            error = run.state.action(failed[0].key).error or {}
            message = f"{len(failed)} of {len(turns)} items failed; {failed[0].key}: {error.get('message')}"
            run.note(now, "action_failed", step.name, {"error": {**error, "message": message}})
        elif ended:
            results = [state.outputs for state in states]
            succeeded = sum(state.status is ActionStatus.SUCCEEDED for state in states)
            outputs = {"results": results, "succeeded": succeeded, "failed": len(failed)}
            run.note(now, "action_completed", step.name, {"outputs": outputs})
        elif not self._steps.stopping:
            # It was paused, though perhaps it is no longer: what is left begins when that is sorted out.
            run.note(now, "action_waiting", step.name, {"until": now, "reason": "paused before all items had run"})


class Round:
    """The items of one action while they are in memory."""

    def __init__(
        self,
        steps: Turns,
        clock: Clock,
        guards: Guards,
        flush: Callable[[Run], Awaitable[None]],
        run: Run,
        turns: list[Turn],
    ) -> None:
        self._guards = guards
        self._steps = steps
        self._clock = clock
        self._flush = flush
        self._run = run
        left = [turn for turn in turns if not run.state.action(turn.key).status.finished]
        # Those that have begun hold their places among those that run at the same time.
        left.sort(key=lambda turn: run.state.action(turn.key).status is ActionStatus.PENDING)
        if any(_fails(run, turn) for turn in turns):
            # One has failed before the others left memory, or before a crash: none begins any more.
            left = [turn for turn in left if run.state.action(turn.key).status is not ActionStatus.PENDING]
        self._many = len(left)
        self._left = iter(left)
        self._going = True
        self._working = 0
        self._resting: dict[str, float | None] = {}
        self._idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def go(self, step: Step) -> bool:
        """Run what may run. True when it has ended; False when all that has begun waits for long."""
        assert step.definition.for_each is not None
        self._working = min(step.definition.for_each.concurrency, self._many)
        tasks = [asyncio.get_running_loop().create_task(self._work()) for _ in range(self._working)]
        if not tasks:
            return True
        all_done = asyncio.gather(*tasks)
        try:
            ends: list[asyncio.Future[Any]] = [all_done, self._idle]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._idle.done():
                return False
            await all_done
            return True
        finally:
            all_done.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if all_done.done() and not all_done.cancelled():
                all_done.exception()

    def resting_body(self) -> dict[str, Any]:
        """What the journal says of the action while its items wait."""
        times = [moment for moment in self._resting.values() if moment is not None]
        count = len(self._resting)
        reason = f"{count} items wait" if count > 1 else f"{next(iter(self._resting))} waits"
        body = {"until": min(times, default=None), "reason": reason, "for": ITEMS}
        held = any(self._run.state.action(key).held_by == _STOP for key in self._resting)
        return {**body, "held_by": _STOP} if held else body

    async def _work(self) -> None:
        try:
            for turn in self._left:
                if self._steps.stopping or self._run.pausing or not self._going:
                    return
                self._going = await self._item(turn) and self._going
        finally:
            self._working -= 1
            self._look()

    async def _item(self, turn: Turn) -> bool:
        """Run one item to its end, waits included; False if no further item may begin."""
        run, definition = self._run, turn.step.definition
        state = run.state.action(turn.key)
        self._steps.settle(run, turn.step, turn.key)
        while not state.status.finished:
            if run.interruption is not None and not definition.always:
                if run.clings(turn.key):
                    await self._flush(run)
                    await self._rest(turn.key, None)
                    continue
                run.note(self._clock.now(), "action_cancelled", turn.key, {"reason": run.interruption[1]})
                break
            if run.pausing:
                break
            if not self._waits(turn):
                run.heard(turn.key)
                await self._steps.once(run, turn)
                continue
            await self._flush(run)
            # What it waits for may have come, or an interruption, while that was written.
            if self._waits(turn) and not run.pausing and (run.interruption is None or definition.always):
                await self._rest(turn.key, state.wake_at)
            if self._idle.done():
                # All have left memory in the very moment in which its time came: it goes on when they are back.
                return False
        return not _fails(run, turn) and run.interruption is None

    def _waits(self, turn: Turn) -> bool:
        if self._run.state.action(turn.key).status is not ActionStatus.WAITING:
            return False
        stopped = self._guards.stopped is not None
        return not may_go_on(self._run, turn.key, self._clock.now(), stopped=stopped)

    async def _rest(self, key: str, moment: float | None) -> None:
        """Wait in memory: for the time, or to be roused, interrupted or paused, or to leave memory with all others."""
        run, task = self._run, asyncio.current_task()
        assert task is not None
        before = run.interruption
        roused = run.resting[key] = asyncio.get_running_loop().create_future()
        wakers: list[asyncio.Future[Any]] = [roused]
        if run.state.action(key).held_by == _STOP:
            wakers.append(asyncio.ensure_future(self._guards.released()))
        if moment is not None:
            wakers.append(asyncio.ensure_future(until(self._clock, moment)))
        self._resting[key] = moment
        run.executing[key] = task
        try:
            self._look()
            await asyncio.wait(wakers, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if self._idle.done() or run.interruption is before:
                # It is the engine that stops: who is interrupted already is not interrupted again.
                raise
            task.uncancel()
        finally:
            run.executing.pop(key, None)
            run.resting.pop(key, None)
            if not self._idle.done():
                self._resting.pop(key, None)
            for waker in wakers:
                waker.cancel()

    def _look(self) -> None:
        """Leave memory once nothing is left but items that wait for long."""
        if self._idle.done() or not self._resting or len(self._resting) < self._working:
            return
        if self._run.interruption is not None or not self._run.met.keys().isdisjoint(self._resting):
            return
        soon = self._clock.now() + SHORT_WAIT
        if all(moment is None or moment > soon for moment in self._resting.values()):
            self._idle.set_result(None)


def _fails(run: Run, turn: Turn) -> bool:
    """Whether an item has failed for good, and the action with it."""
    failed = run.state.action(turn.key).status is ActionStatus.FAILED
    return failed and turn.step.definition.on_failure == "fail"


def _list_of(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Refused(f"for_each: must be a list, not {type(value).__name__}")
    if len(value) > MAX_ITEMS:
        raise Refused(f"for_each: {len(value):,} items; at most {MAX_ITEMS:,} are allowed")
    return list(value)
