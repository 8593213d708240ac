"""Starting executions: inputs are checked, the start is written, and what is on disk is run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from automation.errors import Conflict, DuplicateKey, InputError, NotFound
from automation.model.execution import Execution, ExecutionResult, StartReceipt, WorkflowStatus
from automation.model.ids import new_id
from automation.store import executions, records, seats, statements
from automation.store.statement import Op, Statement, Unexpected
from automation.store.store import decode
from automation.store.values import unstorable
from automation.workflows.plan import Plan
from automation.workflows.recovery import Recovery
from automation.workflows.result import result_of
from automation.workflows.run import Run
from automation.workflows.runner import Runner
from automation.workflows.seats import Seats, entry, key_of
from automation.workflows.state import Scope, State, fold
from automation.workflows.surroundings import Surroundings

_ORIGINS = ("rerun_of", "forked_from", "parent", "parent_action")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an execution starts: who or what asked for it."""

    actor: str = "local"
    reason: str = ""
    event: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    proposed: bool = False
    rerun_of: str | None = None
    forked_from: str | None = None
    parent: str | None = None
    parent_action: str | None = None
    priority: int = 0
    """That of what waits for it: it is at least as urgent."""
    request: str = ""
    """What beside the inputs has to be the same for a repetition with the same key: of a rerun or a fork, how."""

    @property
    def origin(self) -> dict[str, str]:
        """The execution that it comes from, if it comes from one."""
        found = {name: getattr(self, name) for name in _ORIGINS}
        return {key: value for key, value in found.items() if value is not None}


class Starter:
    """Starts executions in this process."""

    def __init__(
        self,
        surroundings: Surroundings,
        runner: Runner,
        recovery: Recovery,
        seats: Seats,
        plan_of: Callable[[str], Plan],
    ) -> None:
        self._seats = seats
        self._consent = surroundings.consent
        self._changes = surroundings.changes
        self._store = surroundings.store
        self._clock = surroundings.clock
        self._metrics = surroundings.metrics
        self.plan = plan_of
        self._runner = runner
        self._recovery = recovery
        self._stored: set[str] = set()

    def prepare(self, workflow: str, event: Mapping[str, Any], reason: str, key: str | None = None) -> Run:
        """What an event starts or proposes: an execution that is not yet written; raises NotFound, InputError.

        One with a key is refused by the database where another one has it.
        """
        plan = self.plan(workflow)
        cause = Cause(event["source"], reason, event, key, proposed=self._consent.proposes(plan))
        return self.new_run(plan, {}, cause, at_once=True)

    def launch(self, run: Run) -> None:
        """Run what was prepared, now that it is written; what is only proposed waits for people."""
        self._metrics.workflow_executions.add(run.plan.name)
        self._stored.add(run.plan.id)
        run.stored = run.noted
        if run.state.status is WorkflowStatus.RUNNING:
            self._runner.launch(run)
            return
        self._changes.tell("execution", run.id, run.state.status.value)
        if run.state.status is WorkflowStatus.PENDING and run.claim is not None:
            self._recovery.know(run.plan)
            self._seats.look(run.claim)
            if run.plan.on_conflict == "replace":
                # What it takes the place of may run here.
                self._recovery.poke()

    def proposes(self, plan: Plan, parents: Sequence[Execution]) -> bool:
        """Whether what an execution starts is only proposed; its parents are given from the nearest.

        As what a trigger starts: but whoever has started the first by hand has decided, as has who
        approved one of them.
        """
        if not parents or parents[-1].event_id is None or not self._consent.proposes(plan):
            return False
        return not any(self._is_manual(parent.workflow) for parent in parents)

    def _is_manual(self, workflow: str) -> bool:
        try:
            return self._consent.proposes(self.plan(workflow))
        except NotFound:
            # Taken out of the definitions while an execution of it runs.
            return False

    async def refusal(self, run: Run) -> str | None:
        """Why there is no seat for what was prepared, or None if there is one, or none is needed."""
        return await self._seats.refusal(run)

    def new_run(self, plan: Plan, variables: Mapping[str, Any], cause: Cause, *, at_once: bool = False) -> Run:
        """A new execution whose writes wait in `run.ops`; raises InputError for inputs that do not fit.

        With `at_once` it takes a seat of its concurrency key where one is free, as far as is known here; its writes are
        refused together if that is wrong, and what is made then waits for its turn.
        """
        given = checked_inputs(plan, variables, cause.event)
        now = self._clock.now()
        priority = max(int(plan.definition.priority), cause.priority)
        node, limits = self._recovery.node, self._store.limits
        run = Run(new_id(), plan, actor=cause.actor, priority=priority, node=node, limits=limits)
        run.parent = None if cause.parent is None else (cause.parent, cause.parent_action or "")
        if plan.id not in self._stored:
            run.write(records.definition("workflow", plan.name, plan.body, now)[1])
        key = key_of(plan, given, cause.event)
        alone = queued = False
        if key is not None and not cause.proposed:
            alone = at_once and plan.on_conflict == "queue" and self._seats.vacant((plan.name, key))
            queued = plan.on_conflict != "skip" and not alone
        status = WorkflowStatus.PENDING if queued else WorkflowStatus.RUNNING
        if cause.proposed:
            status = WorkflowStatus.PROPOSED
        insert = statements.EXECUTION_KEYED if cause.idempotency_key else statements.EXECUTION
        run.write(_row(insert, run, cause, now, _hash(given, cause) if cause.idempotency_key else None, status))
        body: dict[str, Any] = {"variables": given, "event": cause.event, "reason": cause.reason}
        if origin := cause.origin:
            body |= origin
            run.write(statements.EXECUTION_ORIGIN(**dict.fromkeys(_ORIGINS) | origin, where_id=run.id))
        if key is not None:
            body |= {"concurrency": key, "queued": queued or cause.proposed}
            for op in entry(plan, run.id, key, proposed=cause.proposed, alone=alone):
                run.write(op)
        if cause.proposed:
            run.state.event = dict(cause.event) if cause.event else None
            body["approval"] = self._consent.propose(run, cause.reason)
        run.note(now, "started", None, body)
        act = "propose" if cause.proposed else "start"
        run.fact(now, "workflow_execution", act, "ok", {"workflow": plan.name, "reason": cause.reason})
        return run

    async def start(self, plan: Plan, variables: Mapping[str, Any], cause: Cause) -> StartReceipt:
        """Start; returns once that is on disk. With a key that was used before: the execution it started then."""
        try:
            return await self.begin(self.new_run(plan, variables, cause, at_once=True), cause, variables)
        except Unexpected as refusal:
            if refusal.statement != seats.TAKE_ALONE.name:
                raise
            return await self.begin(self.new_run(plan, variables, cause), cause, variables)

    async def begin(self, run: Run, cause: Cause, variables: Mapping[str, Any]) -> StartReceipt:
        """Write a new execution and run it; with a key that was used before, tell of the one that it started then.

        `variables` are those that were given, without defaults.
        """
        try:
            await self._commit_new(run)
        except Unexpected:
            before = await self.repeated(run.plan, variables, cause)
            if before is None:
                raise
            return before
        self.launch(run)
        return StartReceipt(run.id)

    async def execute(self, plan: Plan, variables: Mapping[str, Any], cause: Cause) -> ExecutionResult:
        """Start and wait for the end."""
        if cause.idempotency_key is not None or plan.definition.concurrency is not None:
            return await self.result((await self.start(plan, variables, cause)).execution_id)
        run = self.new_run(plan, variables, cause)
        # Its start is written together with that of its first action: one commit less.
        self._metrics.workflow_executions.add(plan.name)
        self._runner.launch(run)
        result = await self.result(run.id)
        self._stored.add(plan.id)
        return result

    async def result(self, execution_id: str) -> ExecutionResult:
        """Wait for the end of an execution, wherever it runs."""
        while True:
            future = self._runner.waiters.ending(execution_id)
            try:
                if execution_id in self._runner.runs:
                    result = await future
                else:
                    execution = await executions.get(self._store, execution_id)
                    if execution is None:
                        raise NotFound(kind="execution", name=execution_id)
                    if execution.status.finished and (stored := await executions.load(self._store, execution_id)):
                        return result_of(execution_id, execution.workflow, fold_stored(stored))
                    # Another node may end it, which only the store tells.
                    await asyncio.wait({future}, timeout=1.0)
                    result = future.result() if future.done() else None
            finally:
                self._runner.waiters.forget(execution_id, future)
            if result is not None:
                return result

    async def _commit_new(self, run: Run) -> None:
        upto = run.noted
        ops, facts = run.taken()
        events, run.events = run.events or (), None
        while True:
            try:
                # What is only proposed asks people, and that is told in the same transaction.
                await (self._consent.announce(events, ops, facts) if events else self._store.commit(ops, facts))
                break
            except Unexpected as refusal:
                if refusal.statement != seats.TAKE.name:
                    raise
                if (reason := await self._seats.refusal(run)) is not None:
                    raise Conflict(f"workflow {run.plan.name!r} does not start: {reason}") from None
        run.stored = upto

    async def repeated(self, plan: Plan, variables: Mapping[str, Any], cause: Cause) -> StartReceipt | None:
        """What the key of a start, rerun or fork has started before, or None; raises DuplicateKey if it was another."""
        key = cause.idempotency_key
        found = None if key is None else await executions.by_key(self._store, key)
        if found is None:
            return None
        execution, digest = found
        where = _otherwise(execution, plan, cause)
        if (
            where is None
            and digest != _hash({**_defaults(plan), **variables}, cause)
            and digest != _hash(await self._completed_then(execution, variables), cause)
        ):
            where = "with other inputs, another action or version" if cause.request else "with other inputs"
        if where is not None:
            raise DuplicateKey(key=key, where=where, execution_id=execution.id)
        return StartReceipt(execution.id, repeated=True)

    async def _completed_then(self, execution: Execution, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The variables with the defaults of the version that was started: whoever repeats a start says the same as
        before, whatever has become of the defaults since, and whether that version can run today or not."""
        inputs: dict[str, Any] = {}
        for stored in await executions.of_ids(self._store, [execution.id]):
            inputs = decode(stored.definition).get("inputs") or {}
        defaults = {name: each.get("default") for name, each in inputs.items() if not each.get("required")}
        return {**defaults, **variables}


def _otherwise(execution: Execution, plan: Plan, cause: Cause) -> str | None:
    """For what else than what is asked now a key was used, or None."""
    if execution.workflow != plan.name:
        return f"for the workflow {execution.workflow!r}"
    if (execution.rerun_of, execution.forked_from) == (cause.rerun_of, cause.forked_from):
        return None
    if execution.rerun_of is not None:
        return f"for a rerun of {execution.rerun_of}"
    return "for a start" if execution.forked_from is None else f"for a fork of {execution.forked_from}"


def fold_stored(stored: executions.Stored) -> State:
    """The state of an execution read from the store."""
    names = [action["name"] for action in decode(stored.definition)["actions"]]
    return fold(names, stored.entries)


def _row(insert: Statement, run: Run, cause: Cause, now: float, digest: str | None, status: WorkflowStatus) -> Op:
    event = cause.event or {}
    return insert(
        id=run.id,
        workflow=run.plan.name,
        definition_id=run.plan.id,
        status=status.value,
        priority=run.priority,
        created_at=now,
        started_at=now if status is WorkflowStatus.RUNNING else None,
        finished_at=None,
        wake_at=None,
        node=run.node if status is WorkflowStatus.RUNNING else None,
        event_source=event.get("source"),
        event_id=event.get("id"),
        reason=cause.reason,
        actor=cause.actor,
        idempotency_key=cause.idempotency_key,
        request_hash=digest,
        cancel_reason=None,
        error=None,
    )


def _hash(variables: Mapping[str, Any], cause: Cause) -> str:
    if not variables and not cause.request:
        return ""
    return sha256(_in_order([variables, cause.request] if cause.request else variables)).hexdigest()[:32]


_in_order = msgspec.json.Encoder(order="sorted").encode
"""The same text for equal values, in whatever order their keys were written."""

_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "list": list,
    "mapping": dict,
}


def check_start(plan: Plan, variables: Mapping[str, Any], event: Mapping[str, Any] | None) -> None:
    """Before a start by hand: raise InputError for an event that cannot be stored, Conflict if a condition of the
    workflow hinders it.

    What is unknown speaks of events, and nobody has to invent one to start a workflow by hand.
    """
    _refuse(plan, [f"{place}: {message}" for place, message in unstorable(event, "event")])
    if not plan.conditions:
        return
    state = State(())
    state.variables, state.event = dict(variables), dict(event) if event else None
    for condition in plan.conditions:
        if condition.evaluate(Scope(state)) is False:
            raise Conflict(f"workflow {plan.name!r} does not start: its condition {condition.text!r} is false")


def _refuse(plan: Plan, problems: list[str]) -> None:
    if problems:
        raise InputError(f"workflow {plan.name!r} cannot start: " + "; ".join(dict.fromkeys(problems)))


def checked_inputs(plan: Plan, variables: Mapping[str, Any], event: Mapping[str, Any] | None) -> dict[str, Any]:
    """The variables with defaults filled in; raises InputError that lists all that is wrong."""
    given = dict(variables)
    problems = _declared(plan, given) if plan.definition.inputs is not None else []
    problems += [
        f"{name}: is missing (actions[{index}].parameters uses it)" for name, index in _missing(plan, given, event)
    ]
    if given:
        problems += [f"{place}: {message}" for place, message in unstorable(given)]
    _refuse(plan, problems)
    return given


def _defaults(plan: Plan) -> dict[str, Any]:
    inputs = plan.definition.inputs or {}
    return {name: declared.default for name, declared in inputs.items() if not declared.required}


_MISSING = object()


def _missing(plan: Plan, given: dict[str, Any], event: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    needed = [(name, index) for name, index in plan.inputs_used if name not in given]
    if not needed:
        return needed
    state = State(())
    state.variables, state.event = given, dict(event) if event else None
    scope = Scope(state)
    return [(name, index) for name, index in needed if scope.get(name, _MISSING) is _MISSING]


def _declared(plan: Plan, given: dict[str, Any]) -> list[str]:
    problems = []
    inputs = plan.definition.inputs or {}
    for name, declared in inputs.items():
        if name not in given:
            if declared.required:
                problems.append(f"{name}: is required")
            else:
                given[name] = declared.default
            continue
        kind = _KINDS.get(declared.type)
        value = given[name]
        if kind is not None and (
            not isinstance(value, kind) or (isinstance(value, bool) and declared.type != "boolean")
        ):
            article = "an" if declared.type == "integer" else "a"
            hint = "; write it in quotes" if kind is str and isinstance(value, int | float) else ""
            problems.append(f"{name}: must be {article} {declared.type}, not {type(value).__name__}{hint}")
    problems += [f"{name}: is not an input of this workflow" for name in given if name not in inputs]
    return problems
