"""Runs executions: decides what comes next, journals it before it happens, and lets go of what only waits.

First run, retry, resume and recovery all enter by `launch`. An action is run only when its start is on disk, and the
next one only when its end is (DESIGN.md §6).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from automation.clock import until
from automation.errors import AutomationError, StoreError, StoreUnavailable
from automation.model.execution import ActionStatus, Wish, WorkflowStatus
from automation.store import executions, seats, statements
from automation.store.executions import Asked
from automation.store.store import encode
from automation.store.waits import Met
from automation.workflows.advance import advance, due, outcome
from automation.workflows.asking import denial, next_look
from automation.workflows.journal import Journal
from automation.workflows.result import result_of
from automation.workflows.rollback import Undoing
from automation.workflows.run import SHORT_WAIT, Run
from automation.workflows.salvage import Salvage
from automation.workflows.steps import Steps
from automation.workflows.surroundings import Defaults, Surroundings
from automation.workflows.waiters import Waiters

log = logging.getLogger("automation.workflows")


class Runner:
    """Runs executions in this process."""

    def __init__(self, surroundings: Surroundings, defaults: Defaults, parked: Callable[[float | None], None]) -> None:
        self._store = surroundings.store
        self._clock = surroundings.clock
        self._consent = surroundings.consent
        self._metrics = surroundings.metrics
        self._changes = surroundings.changes
        self._guards = surroundings.guards
        self._measure = surroundings.samples.measure
        self.flush = Journal(surroundings.store, surroundings.consent, surroundings.changes).flush
        self._steps = Steps(surroundings, defaults, self.flush)
        self._undoing = Undoing(surroundings, self.flush, defaults.timeout_seconds)
        self._salvage = Salvage(self._store, self._clock, self._undoing.finish, self._abandon)
        self._waits = surroundings.waits
        self._parked = parked
        self._stopping = False
        self.waiters = Waiters()
        self.look_for_seat: Callable[[tuple[str, str]], None] = lambda claim: None
        """Set by the engine: lets in who waits for a seat of a concurrency key."""
        self.runs: dict[str, Run] = {}
        """What runs here now, by execution."""
        self._metrics.active_workflows.set_function(lambda: len(self.runs))

    def launch(self, run: Run) -> None:
        """Run an execution that this node holds the lease of."""
        self.runs[run.id] = run
        run.task = asyncio.get_running_loop().create_task(self._supervise(run), name=f"execution-{run.id}")

    def heed(self, asked: Asked) -> None:
        """Have an execution look at what was asked of it, perhaps by way of another node."""
        run = self.runs.get(asked.execution_id)
        if run is None:
            return
        if asked.cancel_reason is not None:
            run.interrupt(WorkflowStatus.CANCELLED, asked.cancel_reason)
        if asked.wish is not None:
            run.ask(asked.wish)

    def call(self, execution_id: str) -> bool:
        """Have an execution look at what was answered; False if it does not run here."""
        run = self.runs.get(execution_id)
        if run is not None:
            run.call()
        return run is not None

    async def stop(self, grace: float) -> None:
        """Start nothing further, let what runs end within `grace` seconds, then leave it to whoever recovers it."""
        self._stopping = self._steps.stopping = True
        for run in self.runs.values():
            run.woken.set()
        tasks = {run.task for run in self.runs.values() if run.task is not None}
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=grace)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
        self.waiters.cancel()

    def deliver(self, met: Met) -> None:
        """What an action waits for has come: the execution goes on, here if it is here, else where it is taken up."""
        run = self.runs.get(met.execution_id)
        if run is not None:
            run.rouse(met.action, met.id, met.event)
        else:
            self._parked(None)

    def wake(self) -> None:
        """Have all that runs here look again at what may go on."""
        for run in self.runs.values():
            run.woken.set()

    async def _supervise(self, run: Run) -> None:
        try:
            await self._drive(run)
        except asyncio.CancelledError:
            log.info("execution %s is left for recovery", run.id)
        except AutomationError as error:
            if not self._stopping:
                log.error("execution %s stops here: %s", run.id, error.message)
            refused = isinstance(error, StoreError) and not isinstance(error, StoreUnavailable)
            if refused and run.begun:
                await self._cancel_tasks(run)
                refused = await self._salvage.end(run, error)
            if not refused or not run.begun:
                self.waiters.fail(run.id, error)
        except Exception as error:
            # A fault of ours ends this execution, and no other.
            log.exception("execution %s fails by a fault of the engine", run.id)
            await self._end(run, WorkflowStatus.FAILED, {"type": "InternalError", "message": repr(error)})
        finally:
            if run.watch is not None:
                run.watch.cancel()
            await self._cancel_tasks(run)
            self.runs.pop(run.id, None)

    @staticmethod
    async def _cancel_tasks(run: Run) -> None:
        for task in run.tasks.values():
            task.cancel()
        if run.tasks:
            await asyncio.wait(run.tasks.values())

    async def _watch(self, run: Run) -> None:
        """End it when its time is over."""
        while run.deadline is not None and not self._is_late(run):
            await until(self._clock, run.deadline)

    def _is_late(self, run: Run) -> bool:
        """Whether its time is over; it is to end then."""
        late = run.deadline is not None and run.deadline <= self._clock.now()
        if late:
            limit = run.plan.definition.timeout_seconds
            run.interrupt(WorkflowStatus.TIMED_OUT, f"took longer than its limit of {limit:g} s")
        return late

    async def _drive(self, run: Run) -> None:
        if run.state.rollback is not None:
            await self._end(run, *await self._undoing.finish(run, run.state.rollback.status, run.state.rollback.error))
            return
        for step in run.plan.steps:
            self._steps.settle(run, step, step.name)
        if run.state.status is not WorkflowStatus.RUNNING and await self._heed(run):
            return
        if run.deadline is not None:
            # Only now: the time in which it was proposed, queued or paused does not count.
            run.watch = asyncio.get_running_loop().create_task(self._watch(run))
        while not self._stopping:
            # Before the look at what may go on: whatever comes from then on is not overlooked.
            run.woken.clear()
            if run.called and await self._heed(run):
                return
            if run.tasks or run.waiting:
                # Here too: whoever watches the time may be told of it a moment later.
                self._is_late(run)
            ready = advance(run, self._clock.now(), self._measure, stopped=self._guards.stopped is not None)
            if len(ready) == 1 and not run.tasks and not run.waiting and ready[0].items is None:
                await self._steps.run(run, ready[0])
                continue
            for step in ready:
                task = asyncio.get_running_loop().create_task(self._steps.run(run, step), name=f"{run.id}-{step.name}")
                run.tasks[step.name] = task
            if run.tasks:
                await self.flush(run)
                await self._await_any(run)
            elif run.waiting:
                if not await self._wait(run):
                    return
            else:
                await self._finish(run)
                return
        await self._await_all(run)
        await self.flush(run)

    async def _await_any(self, run: Run) -> None:
        """Wait until an action has ended, or one that waits may go on; or an answer has come, perhaps about an item."""
        called = run.waiting or any(run.plan.by_name[name].items is not None for name in run.tasks)
        await self._await_first(run, self._wakers(run, due(run)) if called else [])

    async def _await_first(self, run: Run, others: list[asyncio.Future[Any]]) -> None:
        try:
            done, _ = await asyncio.wait({*run.tasks.values(), *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for other in others:
                other.cancel()
        for name in [name for name, task in run.tasks.items() if task in done]:
            run.tasks.pop(name).result()

    def _wakers(self, run: Run, wake_at: float | None) -> list[asyncio.Future[Any]]:
        wakers: list[asyncio.Future[Any]] = [asyncio.ensure_future(run.woken.wait())]
        if wake_at is not None:
            wakers.append(asyncio.ensure_future(until(self._clock, wake_at)))
        return wakers

    async def _await_all(self, run: Run) -> None:
        while run.tasks:
            run.woken.clear()
            await self._await_any(run)

    async def _wait(self, run: Run) -> bool:
        """Wait for the next waiting action; False if the execution left memory for it."""
        wake_at = due(run)
        if run.stopped:
            # Whoever runs the children is to look.
            await self.flush(run)
            self._parked(None)
        elif run.lingers_until > self._clock.now():
            wake_at = min(run.lingers_until, math.inf if wake_at is None else wake_at)
        if run.interruption is not None or (wake_at is not None and wake_at - self._clock.now() <= SHORT_WAIT):
            await self.flush(run)
            wakers = self._wakers(run, wake_at)
            await asyncio.wait(wakers, return_when=asyncio.FIRST_COMPLETED)
            for waker in wakers:
                waker.cancel()
            return True
        await self._park(run, WorkflowStatus.WAITING, wake_at)
        return False

    async def _park(self, run: Run, status: WorkflowStatus, wake_at: float | None) -> None:
        """Let it leave memory, until it is due or somebody asks for it."""
        run.write(statements.EXECUTION_PARK(status=status.value, wake_at=wake_at, where_id=run.id, where_node=run.node))
        # From here on another claim of it may come at any moment, so it must be gone from memory.
        self.runs.pop(run.id, None)
        await self.flush(run)
        self._changes.tell("execution", run.id, status.value)
        self.waiters.tell(run.id, None)
        self._parked(wake_at)

    async def _heed(self, run: Run) -> bool:
        """Do what was asked of an execution before it goes on; True if it has left memory for it."""
        run.called = False
        while run.pausing and run.tasks and not self._stopping:
            # What runs may end; or the pause may be withdrawn, or the execution be cancelled meanwhile.
            run.woken.clear()
            await self.flush(run)
            await self._await_first(run, self._wakers(run, None))
        if run.pausing and run.tasks:
            return False
        if run.state.status is WorkflowStatus.PROPOSED and await self._propose(run):
            return True
        await self._consent.settle(run)
        if run.wish is not None:
            self._grant(run, run.wish)
        if run.interruption is not None:
            if run.state.queued and not run.state.completed:
                await self._abandon(run, *outcome(run))
                return True
        elif run.state.status in (WorkflowStatus.PAUSED, WorkflowStatus.PENDING):
            await self._park(run, run.state.status, None)
            if run.claim is not None and run.state.status is WorkflowStatus.PENDING:
                self.look_for_seat(run.claim)
            return True
        return False

    def _grant(self, run: Run, wish: Wish) -> None:
        """Note that it is paused or goes on, unless it is so already or is to end."""
        run.wish = None
        run.write(statements.EXECUTION_HEED(where_id=run.id, where_wish=executions.write_wish(wish)))
        paused = run.state.status is WorkflowStatus.PAUSED
        if run.interruption is None and paused is (wish.act == "resume"):
            kind = "resumed" if paused else "paused"
            run.note(self._clock.now(), kind, None, {"actor": wish.actor, "reason": wish.reason})

    async def _propose(self, run: Run) -> bool:
        """Let a proposed execution begin, end or wait, as it was decided; True if it has left memory."""
        approval = None if run.interruption is not None else await self._consent.proposal(run)
        if approval is None:
            await self._abandon(run, *outcome(run))
        elif run.state.approval is not None:
            await self._park(run, WorkflowStatus.PROPOSED, next_look(approval))
        elif run.state.status is WorkflowStatus.PROPOSED:
            await self._abandon(run, *denial(approval))
        else:
            return False
        return True

    async def _abandon(self, run: Run, status: WorkflowStatus, error: dict[str, Any] | None) -> None:
        """End what goes no further: nothing is cleaned up or undone after it."""
        now = self._clock.now()
        for step in run.plan.steps:
            if run.state.actions[step.name].status is ActionStatus.PENDING:
                body = {"reason": (error or {}).get("message"), "hindered": True}
                run.note(now, "action_skipped", step.name, body)
        self._consent.withdraw(run)
        await self._end(run, status, error)

    async def _finish(self, run: Run) -> None:
        self._consent.withdraw(run)
        await self._end(run, *await self._undoing.finish(run, *outcome(run)))

    async def _end(self, run: Run, status: WorkflowStatus, error: dict[str, Any] | None) -> None:
        now = self._clock.now()
        body: dict[str, Any] = {"status": status.value}
        if error:
            body["error"] = error
        run.note(now, "finished", None, body)
        if run.plan.waits:
            if run.plan.starts_workflows:
                # None is left of those that were waited for, unless this ends by a fault.
                reason = f"its parent {run.id} has ended"
                run.write(statements.CHILDREN_CANCEL(cancel_reason=reason, where_execution_id=run.id))
            run.write(statements.WAITS_DELETE(where_execution_id=run.id))
            for action in run.state.actions.values():
                if action.wait is not None:
                    self._waits.discard(action.wait)
        if run.parent is not None:
            run.write(statements.CHILD_ENDED(met_at=now, where_child_id=run.id))
        run.write(
            statements.EXECUTION_END(
                status=status.value,
                finished_at=now,
                error=encode(error).decode() if error else None,
                node=None,
                wake_at=None,
                where_id=run.id,
            )
        )
        run.fact(now, "workflow_execution", "end", status.value, {"workflow": run.plan.name})
        if run.claim is not None:
            run.write(seats.LEAVE(where_execution_id=run.id))
        await self.flush(run)
        if run.claim is not None:
            self.look_for_seat(run.claim)
        succeeded = status is WorkflowStatus.SUCCEEDED
        self._metrics.workflow_finished(run.plan.name, succeeded, now - run.state.started_at)
        self._changes.tell("execution", run.id, status.value)
        if run.parent is not None:
            self.deliver(Met(run.id, *run.parent, None))
        if run.id in self.waiters:
            self.waiters.tell(run.id, result_of(run.id, run.plan.name, run.state))
