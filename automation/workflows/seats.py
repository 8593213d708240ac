"""Concurrency keys: an execution of a workflow that has them runs while it holds a seat of its key.

There is one door to a seat: a row that the database refuses where it would be one too many, so that the limit holds for
all nodes and at any moment, and a process that dies takes no seat with it. Who waits for a seat is a pending execution;
whoever leaves a seat lets the next one in, and each node looks after it from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from automation.clock import Clock
from automation.conditions import Template, compile_template
from automation.errors import DefinitionError, InputError, NotFound, StoreError
from automation.model.workflow import Concurrency
from automation.store import executions, seats, statements
from automation.store.executions import Stored
from automation.store.statement import Op, Unexpected
from automation.store.store import Store, to_json
from automation.workflows.plan import Plan
from automation.workflows.recovery import Recovery
from automation.workflows.run import Run
from automation.workflows.state import Scope, State, fold

log = logging.getLogger("automation.workflows")

LONGEST_KEY = 500
"""Characters of a key."""

Claim = tuple[str, str]
"""A workflow and one of its keys."""


def key_of(plan: Plan, variables: Mapping[str, Any], event: Mapping[str, Any] | None) -> str | None:
    """The key of a start with these inputs, or None for a workflow that has none; raises InputError."""
    concurrency = plan.definition.concurrency
    if concurrency is None:
        return None
    state = State(())
    state.variables, state.event = dict(variables), dict(event) if event else None
    try:
        value = _template(concurrency).render(Scope(state))
    except InputError as error:
        raise InputError(f"workflow {plan.name!r} cannot start: concurrency.key: {error.message}") from None
    key = value if isinstance(value, str) else to_json(value)
    if len(key) > LONGEST_KEY:
        raise InputError(f"workflow {plan.name!r} cannot start: concurrency.key: longer than {LONGEST_KEY} characters")
    return key


def _template(concurrency: Concurrency) -> Template:
    return compile_template(concurrency.key, path="concurrency.key")


def entry(plan: Plan, execution_id: str, key: str, *, proposed: bool = False) -> list[Op]:
    """The writes by which an execution that starts now comes to a seat, or to its place among those who wait."""
    concurrency = plan.definition.concurrency
    assert concurrency is not None
    ops: list[Op] = [statements.EXECUTION_KEY(concurrency_key=key, where_id=execution_id)]
    if proposed:
        return ops
    if concurrency.on_conflict == "skip":
        ops.append(_take(plan, execution_id, key))
    elif concurrency.on_conflict == "replace":
        ops.append(_replace(plan, execution_id, key))
    return ops


def queues(plan: Plan) -> bool:
    """Whether an execution that starts begins as one that waits."""
    concurrency = plan.definition.concurrency
    return concurrency is not None and concurrency.on_conflict != "skip"


def _take(plan: Plan, execution_id: str, key: str) -> Op:
    assert plan.definition.concurrency is not None
    limit = plan.definition.concurrency.limit
    return statements.SEAT_TAKE(workflow=plan.name, key=key, execution_id=execution_id, limit=limit)


def _replace(plan: Plan, execution_id: str, key: str) -> Op:
    assert plan.definition.concurrency is not None
    return statements.EXECUTIONS_REPLACE(
        cancel_reason=f"replaced by {execution_id}",
        where_workflow=plan.name,
        where_key=key,
        where_id=execution_id,
        where_kept=plan.definition.concurrency.limit - 1,
    )


class Seats:
    """Lets those in who wait for a seat."""

    def __init__(self, store: Store, clock: Clock, recovery: Recovery, launch: Callable[[Run], None]) -> None:
        self._stopped = False
        self._store = store
        self._clock = clock
        self._recovery = recovery
        self._launch = launch
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: dict[Claim, bool] = {}
        """The keys for which somebody looks just now, and whether it has to look once more."""

    @property
    def busy(self) -> bool:
        """Whether somebody is just being let in."""
        return bool(self._tasks)

    def look(self, claim: Claim) -> None:
        """Let in who waits for a seat of a key, soon: one has become free, or somebody has come."""
        if self._stopped or not self._turn(claim):
            return
        task = asyncio.get_running_loop().create_task(self._look(claim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Let nobody in any more."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def look_everywhere(self) -> None:
        """Let in all for whom there is a seat: what a process left undone that died at the wrong moment."""
        for claim in await seats.queues(self._store):
            if self._turn(claim):
                await self._look(claim)

    async def refusal(self, run: Run) -> str | None:
        """Why there is no seat for one more, or None if there is one by now."""
        claim, concurrency = run.claim, run.plan.definition.concurrency
        if claim is None or concurrency is None:
            return None
        limit = concurrency.limit
        holders = await seats.holders(self._store, *claim)
        if len(holders) < limit:
            return None
        what = f"execution {holders[0]} is" if len(holders) == 1 else f"{len(holders)} executions are"
        return f"{what} under way with the concurrency key {claim[1]!r}, and the limit is {limit}"

    def _turn(self, claim: Claim) -> bool:
        """Whether it is the caller's to look: hundreds who look at once are only in each other's way."""
        first = claim not in self._under_way
        self._under_way[claim] = True
        return first

    async def _look(self, claim: Claim) -> None:
        try:
            while self._under_way[claim]:
                self._under_way[claim] = False
                while await self._let_in(*claim):
                    pass
        except (StoreError, NotFound) as error:
            # It waits on, and is looked after when the database can be used again.
            log.warning("nobody is let in for %s %r: %s", *claim, error.message)
        finally:
            del self._under_way[claim]

    async def _let_in(self, workflow: str, key: str) -> bool:
        """Let the next one in; False if nobody waits, or there is no seat."""
        found = await seats.next_of(self._store, workflow, key)
        if found is None:
            return False
        first = found.stored.execution
        try:
            plan = self._recovery.plan(first.definition_id, found.stored.definition)
        except (DefinitionError, NotFound) as error:
            log.warning("execution %s of %s waits: %s", first.id, workflow, error.message)
            return False
        concurrency = plan.definition.concurrency
        replaces = concurrency is not None and concurrency.on_conflict == "replace"
        if concurrency is not None and not replaces and found.taken >= concurrency.limit:
            return False
        newest = await seats.next_waiting(self._store, workflow, key, newest=True) if replaces else None
        if newest is not None and newest != first.id:
            # Two nodes that started one at the same time did not see each other's: the newest are those that stay.
            await self._store.commit([_replace(plan, newest, key)])
            self._recovery.poke()
            if await seats.next_waiting(self._store, workflow, key) != first.id:
                return True
        if await self._admit(found.stored, plan, key):
            return True
        if replaces:
            # One that was only proposed has not yet taken anybody's place.
            await self._store.commit([_replace(plan, newest or first.id, key)])
            self._recovery.poke()
        return False

    async def _admit(self, stored: Stored, plan: Plan, key: str) -> bool:
        if stored.large:
            # It runs on with its large values.
            whole = await executions.load(self._store, stored.execution.id)
            if whole is None:
                return True
            stored = whole
        state, now = fold((step.name for step in plan.steps), stored.entries), self._clock.now()
        limits = self._store.limits
        run = Run.of(stored.execution, plan, state, stored.large, node=self._recovery.node, limits=limits)
        run.note(now, "admitted", None, {"key": key})
        ops, facts = run.taken()
        admitted = statements.EXECUTION_ADMIT(node=run.node, started_at=now, where_id=run.id)
        try:
            await self._store.commit([_take(plan, run.id, key), admitted, *ops], facts)
        except Unexpected:
            # There is no seat; or somebody was quicker with this one, and there may be one for the next.
            return await seats.next_waiting(self._store, plan.name, key) != run.id
        run.stored = run.noted
        self._launch(run)
        return True
