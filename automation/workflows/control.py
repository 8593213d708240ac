"""What people may ask of executions, wherever they run: to pause, go on, end, be done again.

What is asked is on disk before it is heeded. The node that runs the execution heeds it within a second; one that no
node runs is taken up for it. Each act is audited with its actor and reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from automation.clock import Clock
from automation.errors import Conflict, EngineStopped, NotFound
from automation.model.execution import (
    Execution,
    ExecutionContext,
    ExecutionDetail,
    StartReceipt,
    Wish,
    WorkflowStatus,
)
from automation.model.identity import LOCAL
from automation.model.workflow import WorkflowDefinition
from automation.store import children, executions, statements
from automation.store.audit import Fact
from automation.store.pages import LIMIT, Page
from automation.store.statement import Statement, Unexpected
from automation.store.store import Store, to_json
from automation.workflows.again import kept_by_fork, refuse_undone, repeated_by_retry, taken_over
from automation.workflows.approvals import Approvals
from automation.workflows.plan import Plan
from automation.workflows.recovery import Recovery
from automation.workflows.run import Run
from automation.workflows.runner import Runner
from automation.workflows.seats import entry
from automation.workflows.starts import Cause, Starter, check_start, fold_stored
from automation.workflows.state import State


@dataclass(frozen=True, slots=True)
class Again:
    """How an execution is to be done again by a new one."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    """What is to be different from the variables of the former one."""
    newest: bool = False
    """Whether by the version of the workflow that is registered now, and not by the one that it had."""
    reason: str = ""
    actor: str = "local"
    idempotency_key: str | None = None
    """The same again gives the same execution, as for any start."""


Order = Callable[[str, ExecutionContext | None, str | None], Awaitable[tuple[Plan, Mapping[str, Any], Cause]]]
"""From the name of a workflow, what a start is given, and an idempotency key."""


async def _nobody(
    name: str, context: ExecutionContext | None, key: str | None
) -> tuple[Plan, Mapping[str, Any], Cause]:
    raise EngineStopped()


class Executions:
    """The executions of a store, and what may be asked of them. What does not exist raises NotFound."""

    def __init__(
        self, store: Store, clock: Clock, runner: Runner, recovery: Recovery, starter: Starter, approvals: Approvals
    ) -> None:
        self._store = store
        self._clock = clock
        self._approvals = approvals
        self._runner = runner
        self._recovery = recovery
        self._starter = starter
        self.order: Order = _nobody
        """Set by the engine: what is to be started under a name, as of now."""

    async def start(
        self, workflow: str, context: ExecutionContext | None = None, *, idempotency_key: str | None = None
    ) -> StartReceipt:
        """Start a workflow; returns once the start is on disk.

        The same key again gives the same execution, and says so; with other inputs it raises DuplicateKey, which names
        that execution. Raises InputError, Conflict.
        """
        return await self._starter.start(*await self.order(workflow, context, idempotency_key))

    async def list(
        self,
        *,
        workflow: str | None = None,
        status: WorkflowStatus | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> Page[Execution]:
        """Executions, newest first."""
        return await executions.page(self._store, workflow=workflow, status=status, cursor=cursor, limit=limit)

    async def show(self, execution_id: str) -> ExecutionDetail:
        """All that is known of one execution."""
        return await detail_of(self._store, execution_id)

    async def pause(self, execution_id: str, reason: str = "", *, actor: str = "local") -> None:
        """Begin nothing further of it: what runs may end, then it leaves memory until it is resumed.

        Raises Conflict if it has ended, is paused, proposed, or rolling back.
        """
        await self._ask(execution_id, Wish("pause", actor, reason), statements.EXECUTION_PAUSE)

    async def resume(self, execution_id: str, reason: str = "", *, actor: str = "local") -> None:
        """Let a paused execution go on, with all that is due by now. Raises Conflict if nobody has paused it."""
        await self._ask(execution_id, Wish("resume", actor, reason), statements.EXECUTION_RESUME)

    async def cancel(self, execution_id: str, reason: str = "", *, actor: str = "local") -> None:
        """End it: running handlers are cancelled, cleanup runs. Raises Conflict if it has ended."""
        await self._get(execution_id)
        text = reason or f"cancelled by {actor}"
        try:
            op = statements.EXECUTION_CANCEL(cancel_reason=text, where_id=execution_id)
            await self._store.commit([op], [self._fact(actor, "cancel", execution_id, reason=text)])
        except Unexpected:
            raise Conflict(f"execution {execution_id} has already ended") from None
        run = await self._at_hand(execution_id)
        if run is not None:
            run.interrupt(WorkflowStatus.CANCELLED, text)

    async def retry(self, execution_id: str, reason: str = "", *, actor: str = "local") -> None:
        """Go on with an execution that has failed, timed out or was cancelled, from what has failed.

        It is the same execution: what was completed is not run again, its time limit counts from now. Raises Conflict
        if it has not ended so, or if a rollback has undone what it did.
        """
        stored, plan, state = await self._load(execution_id)
        names = repeated_by_retry(plan, stored.execution, state)
        draft = self._run(stored, plan, state)
        body: dict[str, Any] = {"actor": actor, "reason": reason, "actions": list(names)}
        if plan.on_conflict in ("queue", "replace"):
            body["queued"] = True
        draft.note(self._clock.now(), "retried", None, body)
        if state.concurrency is not None:
            for op in entry(plan, execution_id, state.concurrency):
                draft.write(op)
        ops, _ = draft.taken()
        finished_at = stored.execution.finished_at
        claim = statements.EXECUTION_RETRY(
            status=state.status.value,
            node=None if state.queued else draft.node,
            where_id=execution_id,
            where_finished_at=finished_at,
        )
        fact = self._fact(actor, "retry", execution_id, reason=reason, actions=names)
        try:
            await self._store.commit([claim, *ops], [fact])
        except Unexpected:
            no_seat = await self._starter.refusal(draft) if draft.exclusive else None
            told = no_seat or "it was retried by somebody else just now"
            raise Conflict(f"execution {execution_id} cannot be retried: {told}") from None
        if draft.claim is not None and state.queued:
            self._runner.look_for_seat(draft.claim)
            self._recovery.poke()
            return
        self._runner.launch(self._run(stored, plan, state))

    async def rerun(self, execution_id: str, again: Again | None = None) -> str:
        """Do it all again as a new execution, with the same inputs but for what is to be different; its id.

        Raises InputError for inputs that do not fit, Conflict if a condition of the workflow is false for them,
        DuplicateKey if the key was used for anything else.
        """
        return (await self.repeat(execution_id, None, again)).execution_id

    async def fork(self, execution_id: str, action: str, again: Again | None = None) -> str:
        """Do it again from an action on, as a new execution that takes over what was completed before it; its id.

        Raises Conflict if it has not ended, or if a rollback has undone what it did, DuplicateKey as `rerun`.
        """
        return (await self.repeat(execution_id, action, again)).execution_id

    async def repeat(self, execution_id: str, action: str | None, again: Again | None = None) -> StartReceipt:
        """`fork` from an action or, without one, `rerun`: says as well whether its key has done so before."""
        again = again or Again()
        stored, plan, state = await self._load(execution_id)
        execution = stored.execution
        if again.newest:
            plan = self._starter.plan(execution.workflow)
        variables = {**state.variables, **again.variables}
        cause = _cause(execution_id, action, state, again)
        if (before := await self._starter.repeated(plan, variables, cause)) is not None:
            # Also where it could not be done now, as while a retry of the first is under way.
            return before
        if action is not None:
            if not execution.status.finished:
                raise Conflict(f"execution {execution_id} is {execution.status.value}; fork it when it has ended")
            refuse_undone(execution, state, "forked")
        if action is None:
            check_start(plan, variables, state.event)
            return await self._starter.start(plan, variables, cause)
        kept = kept_by_fork(plan, state, action)
        run = self._starter.new_run(plan, variables, cause)
        run.take_over(self._clock.now(), {name: taken_over(state.actions[name]) for name in kept})
        return await self._starter.begin(run, cause, variables)

    async def decide(
        self, execution_id: str, action: str | None, agreed: bool, *, reason: str = "", actor: str = "local"
    ) -> None:
        """Approve or deny a proposed execution (`action` is None) or an action that waits for approval.

        The same as `approvals.decide`, for who may do everything. Raises Conflict if nothing waits for that.
        """
        await self._approvals.decide(execution_id, action, agreed, reason=reason, by=replace(LOCAL, name=actor))

    async def _ask(self, execution_id: str, wish: Wish, statement: Statement) -> None:
        await self._get(execution_id)
        op = statement(wish=executions.write_wish(wish), where_id=execution_id)
        try:
            await self._store.commit([op], [self._fact(wish.actor, wish.act, execution_id, reason=wish.reason)])
        except Unexpected:
            status = (await self._get(execution_id)).status
            raise Conflict(_cannot(wish, execution_id, status)) from None
        run = await self._at_hand(execution_id)
        if run is not None:
            run.ask(wish)

    async def _at_hand(self, execution_id: str) -> Run | None:
        """The execution where it runs here, or is nobody's and so is run here; None if another node has it."""
        run = self._runner.runs.get(execution_id)
        if run is not None:
            return run
        run = await self._recovery.take(execution_id, only=unheeded)
        if run is not None:
            self._runner.launch(run)
            return run
        self._recovery.poke()
        # Let in meanwhile, perhaps, by who did not know yet what is asked of it.
        return self._runner.runs.get(execution_id)

    async def _get(self, execution_id: str) -> Execution:
        execution = await executions.get(self._store, execution_id)
        if execution is None:
            raise NotFound(kind="execution", name=execution_id)
        return execution

    async def _load(self, execution_id: str) -> tuple[executions.Stored, Plan, State]:
        stored = await executions.load(self._store, execution_id)
        if stored is None:
            raise NotFound(kind="execution", name=execution_id)
        plan = self._recovery.plan(stored.execution.definition_id, stored.definition)
        return stored, plan, fold_stored(stored)

    def _run(self, stored: executions.Stored, plan: Plan, state: State) -> Run:
        limits = self._store.limits
        return Run.of(stored.execution, plan, state, stored.large, node=self._recovery.node, limits=limits)

    def _fact(self, actor: str, act: str, subject: str, **detail: Any) -> Fact:
        return Fact(self._clock.now(), "workflow_execution", actor, act, subject, "ok", to_json(detail))


async def detail_of(store: Store, execution_id: str, *, whole: bool = False) -> ExecutionDetail:
    """All that is known of one execution; unless `whole`, a `LargeValue` stands for each. Raises NotFound."""
    stored = await executions.load(store, execution_id, whole=whole)
    if stored is None:
        raise NotFound(kind="execution", name=execution_id)
    state = fold_stored(stored)
    definition = WorkflowDefinition.model_validate_json(stored.definition)
    started = await children.of(store, execution_id)
    return ExecutionDetail(
        stored.execution, definition, state.runs(), state.variables, state.event, stored.entries, started
    )


def unheeded(stored: executions.Stored) -> bool:
    """Whether something that was asked of it is not yet heeded."""
    return stored.execution.wish is not None or stored.cancel_reason is not None


def _cause(execution_id: str, action: str | None, state: State, again: Again) -> Cause:
    what = f"rerun of {execution_id}" if action is None else f"fork of {execution_id} from {action}"
    return Cause(
        again.actor,
        f"{what}: {again.reason}" if again.reason else what,
        state.event,
        again.idempotency_key,
        rerun_of=execution_id if action is None else None,
        forked_from=None if action is None else execution_id,
        request=f"{what}, newest" if again.newest else what,
    )


def _cannot(wish: Wish, execution_id: str, status: WorkflowStatus) -> str:
    if status.finished:
        return f"execution {execution_id} has already ended"
    if wish.act == "resume":
        return f"execution {execution_id} is {status.value}, not paused"
    if status is WorkflowStatus.PROPOSED:
        return f"execution {execution_id} is proposed: approve or deny it"
    if status is WorkflowStatus.PAUSED:
        return f"execution {execution_id} is paused already"
    return f"execution {execution_id} is {status.value}, which cannot be paused"
