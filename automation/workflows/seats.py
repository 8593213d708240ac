"""Concurrency keys: an execution of a workflow that has them runs while it holds a seat of its key.

There is one door to a seat: a row that the database refuses where it would be one too many, so that the limit holds for
all nodes and at any moment, and a process that dies takes no seat with it. Who waits for a seat is a pending execution;
whoever leaves a seat lets the next one in, and each node looks after it from time to time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from automation.clock import Clock
from automation.conditions import Template, compile_template
from automation.errors import DefinitionError, InputError, NotFound, StoreError
from automation.model.workflow import Concurrency
from automation.store import executions, seats, statements
from automation.store.executions import Stored
from automation.store.statement import Op, Statement, Unexpected
from automation.store.store import Store, to_json
from automation.workflows.plan import Plan
from automation.workflows.recovery import Recovery
from automation.workflows.run import Run
from automation.workflows.settled import patiently
from automation.workflows.state import Scope, State, fold

log = logging.getLogger("automation.workflows")

LONGEST_KEY = 500
"""Characters of a key."""
AT_ONCE = 100
"""How many keys are looked after with one read, at most."""
MOST_SOUGHT = 10_000
"""How many keys are remembered, at most."""

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
    if "\0" in key:
        raise InputError(f"workflow {plan.name!r} cannot start: concurrency.key: must not contain NUL")
    return key


def _template(concurrency: Concurrency) -> Template:
    return compile_template(concurrency.key, path="concurrency.key")


def entry(plan: Plan, execution_id: str, key: str, *, proposed: bool = False, alone: bool = False) -> list[Op]:
    """The writes by which an execution that starts now comes to a seat, or to its place among those who wait.

    One that is `alone`, as far as is known, takes its seat with its start; all is refused together if it is not.
    """
    ops: list[Op] = [statements.EXECUTION_KEY(concurrency_key=key, where_id=execution_id)]
    if proposed:
        return ops
    if plan.on_conflict == "skip":
        ops.append(_take(plan, execution_id, key))
    elif alone:
        ops.append(_take(plan, execution_id, key, seats.TAKE_ALONE))
    elif plan.on_conflict == "replace":
        ops.append(_replace(plan, execution_id, key))
    return ops


def _take(plan: Plan, execution_id: str, key: str, statement: Statement = seats.TAKE) -> Op:
    assert plan.definition.concurrency is not None
    limit = plan.definition.concurrency.limit
    return statement(workflow=plan.name, key=key, execution_id=execution_id, limit=limit)


def _replace(plan: Plan, execution_id: str, key: str) -> Op:
    assert plan.definition.concurrency is not None
    return seats.REPLACE(
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
        self._asked: dict[Claim, None] = {}
        """The keys for which somebody is to be let in, those asked for first first."""
        self._sought: set[Claim] = set()
        """Keys of which a seat was taken here, or for which somebody waits: who comes now waits, most likely."""
        self._usher: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody is just being let in."""
        return self._usher is not None

    def vacant(self, claim: Claim) -> bool:
        """Whether nobody has a seat of a key or waits for one, as far as is known here; if so, who asks takes one."""
        if claim in self._sought:
            return False
        self._mark(claim)
        return True

    def look(self, claim: Claim) -> None:
        """Let in who waits for a seat of a key, soon: one has become free, or somebody has come, who is on disk."""
        if self._stopped:
            return
        self._mark(claim)
        self._asked[claim] = None
        if self._usher is None:
            self._usher = asyncio.get_running_loop().create_task(self._ushered())

    async def stop(self) -> None:
        """Let nobody in any more."""
        self._stopped = True
        if self._usher is not None:
            self._usher.cancel()
            await asyncio.wait([self._usher])

    async def look_everywhere(self) -> None:
        """Let in all for whom there is a seat: what a process left undone that died at the wrong moment."""
        for claim in await seats.queues(self._store):
            self.look(claim)

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

    async def _ushered(self) -> None:
        """Look after all keys that were asked for, many with one read: hundreds who look at once would only be in each
        other's way."""
        try:
            while claims := list(islice(self._asked, AT_ONCE)):
                for claim in claims:
                    del self._asked[claim]
                found = await self._next_of(claims)
                if found is None:
                    continue
                self._sought.difference_update(set(claims) - {each.claim for each in found} - self._asked.keys())
                await asyncio.gather(*(self._look(each) for each in found))
        finally:
            self._usher = None

    async def _next_of(self, claims: Sequence[Claim]) -> list[seats.Next] | None:
        try:
            return await patiently(lambda: seats.next_of(self._store, claims))
        except StoreError as error:
            log.warning("nobody is let in for %d keys: %s", len(claims), error.message)
            return None

    def _mark(self, claim: Claim) -> None:
        if len(self._sought) >= MOST_SOUGHT:
            self._sought.clear()
        self._sought.add(claim)

    async def _look(self, found: seats.Next) -> None:
        try:
            if await patiently(lambda: self._let_in(found)):
                self._asked[found.claim] = None
        except (StoreError, NotFound) as error:
            log.warning("nobody is let in for %s %r: %s", *found.claim, error.message)

    async def _let_in(self, found: seats.Next) -> bool:
        """Let the next one in; whether there may be a seat for another one."""
        first, key = found.stored.execution, found.key
        try:
            plan = self._recovery.plan(first.definition_id, found.stored.definition)
        except (DefinitionError, NotFound) as error:
            log.warning("execution %s of %s waits: %s", first.id, first.workflow, error.message)
            return False
        concurrency = plan.definition.concurrency
        left = math.inf if concurrency is None else concurrency.limit - found.taken
        if plan.on_conflict != "replace":
            if left <= 0:
                return False
            if await self._admit(found.stored, plan, key):
                return left > 1
            return await seats.first_waiting(self._store, first.workflow, key) != first.id
        newest = await seats.newest_waiting(self._store, first.workflow, key)
        if newest is not None and newest != first.id:
            # Two nodes that started one at the same time did not see each other's: the newest are those that stay.
            await self._store.commit([_replace(plan, newest, key)])
            self._recovery.poke()
            if await seats.first_waiting(self._store, first.workflow, key) != first.id:
                return True
        if await self._admit(found.stored, plan, key):
            return True
        if await seats.first_waiting(self._store, first.workflow, key) != first.id:
            return True
        # One that was only proposed has not yet taken anybody's place.
        await self._store.commit([_replace(plan, newest or first.id, key)])
        self._recovery.poke()
        return False

    async def _admit(self, stored: Stored, plan: Plan, key: str) -> bool:
        """Have it take a seat and run; False if there is none, or somebody was quicker with this one."""
        if stored.large:
            # It runs on with its large values.
            whole = await executions.load(self._store, stored.execution.id)
            if whole is None:
                return False
            stored = whole
        state = fold((step.name for step in plan.steps), stored.entries)
        limits = self._store.limits
        run = Run.of(stored.execution, plan, state, stored.large, node=self._recovery.node, limits=limits)
        now = self._clock.now()
        run.note(now, "admitted", None, {"key": key})
        ops, facts = run.taken()
        admitted = seats.ADMIT(node=run.node, started_at=now, where_id=run.id)
        try:
            await self._store.commit([_take(run.plan, run.id, key), admitted, *ops], facts)
        except Unexpected:
            return False
        run.stored = run.noted
        self._launch(run)
        return True
