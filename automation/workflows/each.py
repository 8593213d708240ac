"""`for_each`: one action, run once for each item of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from automation.clock import Clock, until
from automation.errors import AutomationError, Refused
from automation.model.execution import ActionStatus
from automation.workflows.guards import Guards
from automation.workflows.plan import Step
from automation.workflows.run import Run, Turn
from automation.workflows.state import Scope

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
        assert step.items is not None
        assert step.definition.for_each is not None
        state = run.state.actions[step.name]
        if state.items is None or state.status is ActionStatus.PENDING:
            body: dict[str, Any] = {"attempt": 1, "operation": step.plugin.name}
            try:
                # A retry keeps the list: the items that have succeeded are not run again.
                body["items"] = state.items or _list_of(step.items.render(Scope(run.state)))
            except AutomationError as error:
                run.note(self._clock.now(), "action_started", step.name, body)
                self._steps.failed(run, Turn(step, step.name, {}), 1, error)
                return
            run.note(self._clock.now(), "action_started", step.name, body)
            await self._flush(run)
        items = state.items or []
        turns = [Turn(step, f"{step.name}[{n}]", {"item": item, "index": n}) for n, item in enumerate(items)]
        left = iter([turn for turn in turns if not run.state.action(turn.key).status.finished])

        going = True

        async def work() -> None:
            nonlocal going
            for turn in left:
                if self._steps.stopping or run.pausing or not going:
                    return
                going = await self._item(run, turn) and going

        workers = min(step.definition.for_each.concurrency, len(turns))
        tasks = [asyncio.get_running_loop().create_task(work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        self._gather(run, step, turns)

    async def _item(self, run: Run, turn: Turn) -> bool:
        """Run one item to its end, waits included; False if no further item may begin."""
        state = run.state.action(turn.key)
        self._steps.settle(run, turn.step, turn.key)
        while not state.status.finished:
            if run.interruption is not None and not turn.step.definition.always:
                run.note(self._clock.now(), "action_cancelled", turn.key, {"reason": run.interruption[1]})
                break
            if run.pausing:
                break
            held = state.held_by == "stop"
            if state.wake_at is not None and state.wake_at > self._clock.now() and (self._guards.stopped or not held):
                await self._flush(run)
                await self._sleep(run, turn.key, state.wake_at, held=held)
                continue
            await self._steps.once(run, turn)
        failed = state.status is ActionStatus.FAILED and turn.step.definition.on_failure == "fail"
        return not failed and run.interruption is None

    async def _sleep(self, run: Run, key: str, moment: float, *, held: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        run.executing[key] = task
        run.napping.add(key)
        try:
            if held:
                await self._guards.released(moment - self._clock.now())
            else:
                await until(self._clock, moment)
        except asyncio.CancelledError:
            if run.interruption is None and not run.pausing:
                raise
            task.uncancel()
        finally:
            run.napping.discard(key)
            run.executing.pop(key, None)

    def _gather(self, run: Run, step: Step, turns: list[Turn]) -> None:
        """The outcome of the whole from those of its items."""
        states = [run.state.action(turn.key) for turn in turns]
        now = self._clock.now()
        ended = all(state.status.finished for state in states)
        failed = [turn for turn, state in zip(turns, states, strict=True) if state.status is ActionStatus.FAILED]
        if run.interruption is not None and not ended:
            run.note(now, "action_cancelled", step.name, {"reason": run.interruption[1]})
        elif failed and step.definition.on_failure == "fail":
            error = run.state.action(failed[0].key).error or {}
            message = f"{len(failed)} of {len(turns)} items failed; {failed[0].key}: {error.get('message')}"
            run.note(now, "action_failed", step.name, {"error": {**error, "message": message}})
        elif ended:
            results = [state.outputs for state in states]
            outputs = {"results": results, "succeeded": len(turns) - len(failed), "failed": len(failed)}
            run.note(now, "action_completed", step.name, {"outputs": outputs})
        elif not self._steps.stopping:
            # It was paused, though perhaps it is no longer: what is left begins when that is sorted out.
            run.note(now, "action_waiting", step.name, {"until": now, "reason": "paused before all items had run"})


def _list_of(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Refused(f"for_each: must be a list, not {type(value).__name__}")
    if len(value) > MAX_ITEMS:
        raise Refused(f"for_each: {len(value):,} items; at most {MAX_ITEMS:,} are allowed")
    return list(value)
