"""Who works on what: the lease of this node, and the taking up of executions that nobody holds.

An execution without a node, or with one whose lease ran out, is anybody's: the first to change its row has it. A timer
that is due, the work of a dead process and what a stopping engine left are all found by the same query.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from automation.clock import Clock
from automation.errors import DefinitionError, NotFound, StoreError
from automation.infrastructure.processes import began
from automation.model.execution import WorkflowStatus
from automation.model.ids import new_id
from automation.model.workflow import WorkflowDefinition
from automation.store import approvals, executions, statements
from automation.store.executions import Asked, Stored
from automation.store.statements import Unexpected
from automation.store.store import Store
from automation.workflows.compiler import compile_workflow
from automation.workflows.plan import Plan
from automation.workflows.run import Run
from automation.workflows.state import fold

log = logging.getLogger("automation.recovery")

_ANSWERABLE = frozenset({WorkflowStatus.WAITING, WorkflowStatus.PROPOSED})
"""What is taken up to look at an answer; one that is paused does so when it goes on."""


class Recovery:
    """Keeps this node's lease, and takes up what is nobody's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        lease_seconds: float,
        launch: Callable[[Run], None],
        heed: Callable[[Asked], None],
        call: Callable[[str], object],
    ) -> None:
        self.node = new_id()
        self._store = store
        self._clock = clock
        self._lease = lease_seconds
        self._launch = launch
        self._heed = heed
        self._call = call
        self._plans: dict[str, Plan] = {}
        self._blocked: dict[str, str] = {}
        self._poke = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._process_started = began(os.getpid()) or 0.0
        self._started_at = clock.now()
        self.recovered = False
        """Whether all that was nobody's at the start has been looked at once."""

    @property
    def blocked(self) -> dict[str, str]:
        """Executions that cannot be taken up, with the reason: an operation that nobody has registered."""
        return dict(self._blocked)

    async def start(self) -> None:
        """Sign on."""
        await self._beat()

    def work(self) -> None:
        """Take up what is nobody's, now and from here on."""
        self._task = asyncio.get_running_loop().create_task(self._loop(), name="automation-recovery")

    async def stop(self) -> None:
        """Sign off: what this node held is anybody's."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        await self._store.commit(
            [statements.EXECUTIONS_RELEASE(where_node=self.node), statements.NODE_DELETE(where_id=self.node)]
        )

    def poke(self, _wake_at: float | None = None) -> None:
        """Look again soon: something was parked or registered."""
        self._poke.set()

    async def take(self, execution_id: str, *, only: Callable[[Stored], bool] = lambda _: True) -> Run | None:
        """Claim an execution that nobody holds and load it, or None if another node holds it.

        With `only`, not if it says no: perhaps somebody was quicker, and there is nothing left to take it up for.
        """
        stored = await executions.load(self._store, execution_id)
        if stored is None or stored.execution.status.finished or not only(stored):
            return None
        if stored.node is not None and await self._lives(stored.node):
            return None
        plan = self.plan(stored.execution.definition_id, stored.definition)
        claim = statements.EXECUTION_CLAIM(
            node=self.node, status=WorkflowStatus.RUNNING.value, where_id=execution_id, where_node=stored.node
        )
        try:
            await self._store.commit([claim])
        except Unexpected:
            return None
        # Read again: whoever held it may have written between the first look and the claim.
        state = fold((step.name for step in plan.steps), await executions.entries(self._store, execution_id))
        execution = stored.execution
        run = Run(execution.id, plan, actor=execution.actor, priority=execution.priority, node=self.node, state=state)
        if not state.started_at:
            run.note(self._clock.now(), "started", None, {"variables": {}, "event": None})
        if stored.cancel_reason is not None:
            run.interrupt(WorkflowStatus.CANCELLED, stored.cancel_reason or "cancelled")
        if execution.wish is not None:
            run.ask(execution.wish)
        if state.asks:
            run.call()
        return run

    async def _loop(self) -> None:
        next_beat = self._clock.now() + self._lease / 3
        while True:
            try:
                self._poke.clear()
                if self._clock.now() >= next_beat:
                    await self._beat()
                    next_beat = self._clock.now() + self._lease / 3
                for asked in await executions.asked_of(self._store, self.node):
                    self._heed(asked)
                await self._look_at_answers()
                await self._bury_the_dead()
                while await self._take_some():
                    pass
                self.recovered = True
                wake_at = await executions.next_wake(self._store)
                pause = next_beat - self._clock.now()
                if wake_at is not None:
                    pause = min(pause, wake_at - self._clock.now())
                # What other nodes ask for is only seen by looking.
                pause = min(pause, 1.0)
                await self._sleep(max(pause, 0.02))
            except StoreError as error:
                log.error("recovery: %s", error.message)
                await self._clock.sleep(1.0)
            except Exception:
                # Whatever goes wrong here, the lease must be kept up and the next round made.
                log.exception("recovery failed; it goes on")
                await self._clock.sleep(1.0)

    async def _look_at_answers(self) -> None:
        """What people have answered by way of another node, or in the moment in which it left memory."""
        for found in await approvals.answered(self._store):
            if found.node == self.node:
                self._call(found.execution_id)
            elif found.node is None and WorkflowStatus(found.status) in _ANSWERABLE:
                await self._take_or_block(found.execution_id, found.workflow)

    async def _sleep(self, seconds: float) -> None:
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        poke = asyncio.ensure_future(self._poke.wait())
        try:
            await asyncio.wait({sleeper, poke}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            poke.cancel()

    async def _beat(self) -> None:
        await self._store.commit(
            [
                statements.NODE(
                    id=self.node,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    process_started=self._process_started,
                    started_at=self._started_at,
                    lease_until=self._clock.now() + self._lease,
                )
            ]
        )

    async def _bury_the_dead(self) -> None:
        """Nodes of this host whose process is gone need not be waited for."""
        for node in await executions.all_nodes(self._store):
            if (
                node.id != self.node
                and node.host == socket.gethostname()
                and not _alive(node.pid, node.process_started)
            ):
                log.warning("node %s (process %d) died; its work is taken up", node.id, node.pid)
                await self._store.commit([statements.NODE_DELETE(where_id=node.id)])

    async def _lives(self, node: str) -> bool:
        """Whether this node, or another whose lease has not run out, holds what is its."""
        now = self._clock.now()
        nodes = await executions.all_nodes(self._store)
        return node == self.node or any(known.id == node and known.lease_until > now for known in nodes)

    async def _take_some(self) -> bool:
        found = await executions.orphans(self._store, self.node, self._clock.now())
        taken = 0
        for execution_id, _, workflow in found:
            taken += await self._take_or_block(execution_id, workflow)
        return taken > 0

    async def _take_or_block(self, execution_id: str, workflow: str) -> bool:
        """Take an execution up and run it, or note why that is not possible; whether it runs now."""
        try:
            run = await self.take(execution_id)
        except (DefinitionError, NotFound) as error:
            if execution_id not in self._blocked:
                log.warning("execution %s of %s waits: %s", execution_id, workflow, error.message)
            self._blocked[execution_id] = error.message
            return False
        self._blocked.pop(execution_id, None)
        if run is not None:
            self._launch(run)
        return run is not None

    def plan(self, definition_id: str, body: str) -> Plan:
        """A stored version of a workflow, compiled; raises DefinitionError if an operation of it is not known."""
        plan = self._plans.get(definition_id)
        if plan is None:
            plan = self._plans[definition_id] = compile_workflow(WorkflowDefinition.model_validate_json(body))
        return plan


def _alive(pid: int, started: float) -> bool:
    found = began(pid)
    return found is not None and abs(found - started) < 0.05
