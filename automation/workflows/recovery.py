"""Who works on what: the lease of this node, and the taking up of executions that nobody holds.

An execution without a node, or with one that is dead, is anybody's: the first to change its row has it. A timer
that is due, the work of a dead process and what a stopping engine left are all found by the same query.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from pydantic import ValidationError

from automation.clock import Clock, rest
from automation.errors import AutomationError, DefinitionError, NotFound, StoreError
from automation.infrastructure.processes import began, machine
from automation.model.execution import WorkflowStatus
from automation.model.ids import new_id
from automation.model.workflow import WorkflowDefinition
from automation.plugins import validation_problems
from automation.store import approvals, executions, records, statements, waits
from automation.store.executions import Asked, Journal, Orphan, Stored
from automation.store.statement import Unexpected
from automation.store.store import Store
from automation.store.waits import Met
from automation.workflows.compiler import compile_workflow
from automation.workflows.plan import Plan
from automation.workflows.run import Run
from automation.workflows.silence import Silence
from automation.workflows.state import fold
from automation.workflows.waits import Waits

log = logging.getLogger("automation.recovery")

_ANSWERABLE = frozenset({WorkflowStatus.WAITING, WorkflowStatus.PROPOSED})
"""What is taken up to look at an answer; one that is paused does so when it goes on."""

FIRST = 10_000
"""How many executions are taken up before the first of them goes on: one that runs already slows the rest down."""

SHORTEST_PAUSE = 0.02
"""Seconds between two looks, however much is due."""


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
        waits: Waits,
    ) -> None:
        self.node = new_id()
        self._waits = waits
        self._store = store
        self._clock = clock
        self._lease = lease_seconds
        self._silence = Silence(lease_seconds)
        self._silent: frozenset[str] = frozenset()
        self._launch = launch
        self._heed = heed
        self._call = call
        self.rounds: list[Callable[[], Awaitable[None]]] = []
        """What is looked after at the start and with each beat of the lease."""
        self._plans: dict[str, Plan] = {}
        self._blocked: dict[str, str] = {}
        self._poke = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._owed: dict[str, str] = {}
        """What we have claimed, perhaps, and could not load then: nobody else takes it up. With their workflows."""
        self._taken: list[Run] = []
        """What is ours and does not run yet."""
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
        taken = (await self._take_all([execution_id], only)).get(execution_id)
        if isinstance(taken, AutomationError):
            raise taken
        return taken

    async def _take_all(
        self, execution_ids: Sequence[str], only: Callable[[Stored], bool] = lambda _: True
    ) -> dict[str, Run | AutomationError]:
        """Claim executions and load them, with as many looks and commits for hundreds as for one.

        Those that another node holds are left out; for one that cannot be run here there is the error.
        """
        found: dict[str, Run | AutomationError] = {}
        wanted: dict[str, tuple[Stored, Plan]] = {}
        try:
            # What another call of ours has just claimed must not look like claimed by this one.
            async with self._claiming:
                wanted = await self._claimable(execution_ids, only, found)
                ours = await self._claim([stored for stored, _ in wanted.values()]) if wanted else []
            # Read only now: whoever held one may have written between the look and the claim.
            met = await waits.met_of_many(self._store, [each for each in ours if wanted[each][1].waits])
            journals = await executions.journals(self._store, ours)
        except BaseException:
            self._owed |= {execution_id: stored.execution.workflow for execution_id, (stored, _) in wanted.items()}
            raise
        for execution_id, journal in journals.items():
            if isinstance(journal, NotFound):
                found[execution_id] = journal
                continue
            try:
                found[execution_id] = self._resumed(*wanted[execution_id], journal, met.get(execution_id, ()))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                # One that is broken must not keep the others from running.
                told = f"its journal cannot be read ({error!r}); see: automation db check"
                found[execution_id] = StoreError(told)
        return found

    async def _claimable(
        self, execution_ids: Sequence[str], only: Callable[[Stored], bool], failed: dict[str, Run | AutomationError]
    ) -> dict[str, tuple[Stored, Plan]]:
        """Those that no living node holds, with their plans; why there is none goes into `failed`."""
        wanted: dict[str, tuple[Stored, Plan]] = {}
        living = {node.id for node in await executions.all_nodes(self._store)} - self._silent
        living.add(self.node)
        for stored in await executions.of_ids(self._store, execution_ids):
            execution = stored.execution
            owed = self._owed.pop(execution.id, None) is not None and stored.node == self.node
            if execution.status.finished or (stored.node in living and not owed) or not (owed or only(stored)):
                continue
            try:
                wanted[execution.id] = stored, self.plan(execution.definition_id, stored.definition)
            except (DefinitionError, NotFound) as error:
                failed[execution.id] = error
        return wanted

    async def _claim(self, wanted: Sequence[Stored]) -> list[str]:
        """The ids of those that are ours from now on.

        Another node may have been quicker, or another part of this one, which has just let one in that was queued: of
        each claim it is known whether it was the one that counts.
        """
        claims = [
            self._store.post(
                [
                    statements.EXECUTION_CLAIM(
                        node=self.node,
                        status=_taken_up(stored.execution.status).value,
                        where_id=stored.execution.id,
                        where_node=stored.node,
                    )
                ]
            )
            for stored in wanted
        ]
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, Unexpected):
                raise outcome
        return [stored.execution.id for stored, outcome in zip(wanted, outcomes, strict=True) if outcome is None]

    def _resumed(self, stored: Stored, plan: Plan, journal: Journal, met: Iterable[Met]) -> Run:
        """An execution as it runs on, from what is stored of it."""
        execution = stored.execution
        state = fold((step.name for step in plan.steps), journal.entries)
        run = Run.of(execution, plan, state, journal.large, node=self.node, limits=self._store.limits)
        if not state.started_at:
            run.note(self._clock.now(), "started", None, {"variables": {}, "event": None})
        for each in met:
            run.rouse(each.action, each.id, each.event)
        if stored.cancel_reason is not None:
            run.interrupt(WorkflowStatus.CANCELLED, stored.cancel_reason or "cancelled")
        if execution.wish is not None:
            run.ask(execution.wish)
        if state.asks:
            run.call()
        return run

    async def _loop(self) -> None:
        # Not by the clock on the wall: set back, it would keep us from being heard.
        next_beat = self._clock.monotonic() + self._lease / 3
        while True:
            try:
                self._poke.clear()
                beat = self._clock.monotonic() >= next_beat
                if beat:
                    await self._beat()
                    next_beat = self._clock.monotonic() + self._lease / 3
                for asked in await executions.asked_of(self._store, self.node):
                    self._heed(asked)
                await self._look_at_answers()
                if await self._bury_the_dead() or self._waits:
                    await self._waits.refresh(self.node)
                looked = self._clock.now()
                more = True
                while more and len(self._taken) < FIRST and self._clock.monotonic() < next_beat:
                    more = await self._take_some()
                    looked = self._clock.now() if more else looked
                self._run_taken()
                for look_after in self.rounds if beat or not self.recovered else ():
                    await look_after()
                if more:
                    # The lease must be kept up meanwhile.
                    continue
                self.recovered = True
                wake_at = await executions.next_wake(self._store)
                now = self._clock.now()
                # What was due when it was looked at, and not taken, is blocked, or another node is about to take it.
                due = None if wake_at is None or wake_at <= looked else max(wake_at, now + SHORTEST_PAUSE)
                # What other nodes ask for is only seen by looking.
                look = min(max(next_beat - self._clock.monotonic(), SHORTEST_PAUSE), 1.0)
                await rest(self._clock, due, look, self._poke)
            except StoreError as error:
                log.error("recovery: %s", error.message)
                await self._rest_after_failure()
            except Exception:
                # Whatever goes wrong here, the lease must be kept up and the next round made.
                log.exception("recovery failed; it goes on")
                await self._rest_after_failure()

    async def _rest_after_failure(self) -> None:
        self._run_taken()
        await self._clock.sleep(1.0)

    async def _look_at_answers(self) -> None:
        """What people have answered by way of another node, or in the moment in which it left memory."""
        waiting: dict[str, str] = {}
        for found in await approvals.answered(self._store):
            if found.node == self.node:
                self._call(found.execution_id)
            elif found.node is None and WorkflowStatus(found.status) in _ANSWERABLE:
                waiting[found.execution_id] = found.workflow
        await self._take_those(waiting)
        self._run_taken()

    async def _beat(self) -> None:
        await self._store.commit(
            [
                statements.NODE(
                    id=self.node,
                    host=machine(),
                    pid=os.getpid(),
                    process_started=self._process_started,
                    started_at=self._started_at,
                    lease_until=self._clock.now() + self._lease,
                )
            ]
        )

    async def _bury_the_dead(self) -> bool:
        """Nodes of this host whose process is gone need not be waited for; any other one is dead when it is silent.

        Returns whether there are others.
        """
        nodes = await executions.all_nodes(self._store)
        self._silent = self._silence.look(nodes, self._clock.monotonic()) - {self.node}
        for node in nodes:
            if node.id != self.node and node.host == machine() and not _alive(node.pid, node.process_started):
                log.warning("node %s (process %d) died; its work is taken up", node.id, node.pid)
                await self.bury(node.id)
        return len(nodes) > 1

    async def bury(self, node: str) -> None:
        """What this node held is anybody's: it is dead."""
        await self._store.commit([statements.NODE_DELETE(where_id=node)])
        self.poke()

    async def _take_some(self) -> bool:
        """Take up what is due, the most urgent first, a portion at a time; whether there was any.

        All of it is gone through: what cannot be run here must not hide what comes after it.
        """
        took, last = await self._take_those(dict(self._owed)), None
        known: dict[str, bool] = {}
        while True:
            found = await executions.orphans(self._store, self._silent, self._clock.now(), last)
            wanted = {each.id: each for each in found if not await self._still_blocked(each, known)}

            def unchanged(stored: Stored, wanted: Mapping[str, Orphan] = wanted) -> bool:
                # Somebody was quicker: it may be paused by now, and would be running again for a moment.
                return stored.execution.status is wanted[stored.execution.id].status

            took = await self._take_those({each.id: each.workflow for each in wanted.values()}, unchanged) or took
            if len(found) < executions.PORTION or len(self._taken) >= FIRST:
                return took
            last = found[-1]

    async def _still_blocked(self, orphan: Orphan, known: dict[str, bool]) -> bool:
        """Whether it is known that it cannot be run here; of each definition it is looked at once, in `known`."""
        if orphan.id not in self._blocked:
            return False
        if orphan.definition_id not in known:
            body = await records.definition_body(self._store, orphan.definition_id)
            assert body is not None, "an execution refers to its definition"
            try:
                self.plan(orphan.definition_id, body)
            except (DefinitionError, NotFound):
                known[orphan.definition_id] = True
            else:
                known[orphan.definition_id] = False
        return known[orphan.definition_id]

    async def _take_those(self, workflows: Mapping[str, str], only: Callable[[Stored], bool] = lambda _: True) -> bool:
        """Take executions up, or note why that is not possible; whether any was."""
        before = len(self._taken)
        taken = await self._take_all(list(workflows), only) if workflows else {}
        for execution_id, workflow in workflows.items():
            run = taken.get(execution_id)
            if isinstance(run, AutomationError):
                if execution_id not in self._blocked:
                    log.warning("execution %s of %s waits: %s", execution_id, workflow, run.message)
                self._blocked[execution_id] = run.message
                continue
            self._blocked.pop(execution_id, None)
            if run is not None:
                self._taken.append(run)
        return len(self._taken) > before

    def _run_taken(self) -> None:
        taken, self._taken = self._taken, []
        for run in taken:
            self._launch(run)

    def know(self, plan: Plan) -> None:
        """Keep a plan for when an execution of it is taken up: compiling it again takes longer than many executions."""
        self._plans.setdefault(plan.id, plan)

    def plan(self, definition_id: str, body: str) -> Plan:
        """A stored version of a workflow, compiled; raises DefinitionError if this version cannot run it, as when an
        operation of it is not known.
        """
        plan = self._plans.get(definition_id)
        if plan is None:
            try:
                definition = WorkflowDefinition.model_validate_json(body)
            except ValidationError as error:
                raise DefinitionError(validation_problems(error), what="stored workflow") from None
            plan = self._plans[definition_id] = compile_workflow(definition)
        return plan


def _taken_up(status: WorkflowStatus) -> WorkflowStatus:
    return status if status is WorkflowStatus.ROLLING_BACK else WorkflowStatus.RUNNING


def _alive(pid: int, started: float) -> bool:
    found = began(pid)
    return found is not None and abs(found - started) < 0.05
