"""What people are asked, and the one door by which they answer: REST, console, command line and Python alike."""

from __future__ import annotations

from automation.clock import Clock
from automation.errors import Conflict, NotFound
from automation.model.approval import Answer, Approval, ApprovalStatus
from automation.model.execution import Execution, WorkflowStatus
from automation.model.identity import LOCAL, Identity
from automation.store import approvals, executions
from automation.store.audit import Fact
from automation.store.pages import LIMIT, Page
from automation.store.statement import Unexpected
from automation.store.store import Store, to_json
from automation.telemetry.changes import Changes
from automation.workflows.asking import answered, refuse_answer
from automation.workflows.consent import Consent
from automation.workflows.recovery import Recovery
from automation.workflows.runner import Runner

_WOKEN = frozenset({WorkflowStatus.WAITING, WorkflowStatus.PROPOSED})
"""Whoever waits so is taken up when it is answered; one that is paused looks at the answer when it goes on."""


class Approvals:
    """The approvals of a store, and answering them. What does not exist raises NotFound."""

    def __init__(self, store: Store, clock: Clock, changes: Changes, consent: Consent) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._consent = consent
        self._runner: Runner | None = None
        self._recovery: Recovery | None = None

    def wakes(self, runner: Runner, recovery: Recovery) -> None:
        """Have what is decided looked at at once by whoever runs here."""
        self._runner, self._recovery = runner, recovery

    async def list(
        self,
        *,
        status: ApprovalStatus | None = None,
        workflow: str | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> Page[Approval]:
        """Approvals, newest first."""
        return await approvals.page(self._store, status=status, workflow=workflow, cursor=cursor, limit=limit)

    async def get(self, approval_id: str) -> Approval:
        """One approval."""
        found = await approvals.get(self._store, approval_id)
        if found is None:
            raise NotFound(kind="approval", name=approval_id)
        return found

    async def of(self, execution_id: str) -> tuple[Approval, ...]:
        """All that were asked for an execution, in the order in which they were."""
        return await approvals.of_execution(self._store, execution_id)

    async def pending_count(self) -> int:
        """How many wait for an answer."""
        return await approvals.pending_count(self._store)

    async def asked(self, execution_id: str, action: str | None) -> Approval:
        """The approval that an action of an execution, or the proposed execution, waits for.

        Raises Conflict where nothing of the kind was asked.
        """
        execution = await executions.get(self._store, execution_id)
        if execution is None:
            raise NotFound(kind="execution", name=execution_id)
        found = await approvals.newest(self._store, execution_id, action)
        if found is None:
            raise Conflict(await self._nothing(execution, action))
        return found

    async def answer(self, approval_id: str, agreed: bool, *, reason: str = "", by: Identity = LOCAL) -> Approval:
        """Approve or deny; the approval as it is then. The same answer of the same actor again changes nothing.

        Raises Forbidden, and Conflict if it is decided already.
        """
        while True:
            approval = await self.get(approval_id)
            refuse_answer(approval, by, agreed)
            answer = Answer(by.name, agreed, reason, self._clock.now())
            changed = answered(approval, answer)
            if changed is approval:
                return approval
            try:
                await self._consent.change(changed, "approval_answered", [self._fact(changed, answer)], answer=answer)
            except Unexpected:
                # Somebody else has answered, or its time was over, at the same moment.
                continue
            self._changes.tell("approval", approval_id, changed.status.value)
            if changed.status is not ApprovalStatus.PENDING:
                await self._wake(changed.execution_id)
            return changed

    async def decide(
        self, execution_id: str, action: str | None, agreed: bool, *, reason: str = "", by: Identity = LOCAL
    ) -> Approval:
        """The same by execution and action; None for a proposed execution."""
        approval = await self.asked(execution_id, action)
        return await self.answer(approval.id, agreed, reason=reason, by=by)

    async def _wake(self, execution_id: str) -> None:
        assert self._runner is not None
        assert self._recovery is not None
        if self._runner.call(execution_id):
            return
        run = await self._recovery.take(execution_id, only=lambda stored: stored.execution.status in _WOKEN)
        if run is not None:
            self._runner.launch(run)
        else:
            # Another node has it, or it is just about to leave memory: what is answered is looked for in any case.
            self._recovery.poke()

    def _fact(self, approval: Approval, answer: Answer) -> Fact:
        detail = {"action": approval.action, "reason": answer.reason, "approval": approval.id}
        act = "approve" if answer.agreed else "deny"
        outcome = approval.status.value
        told = to_json(detail)
        return Fact(answer.at, "workflow_execution", answer.actor, act, approval.execution_id, outcome, told)

    async def _nothing(self, execution: Execution, action: str | None) -> str:
        if execution.status.finished:
            return f"execution {execution.id} has already ended"
        if action is None:
            asked = await self.of(execution.id)
            waiting = ", ".join(f"{each.action}" for each in asked if each.status is ApprovalStatus.PENDING)
            which = f"the action that waits for approval: {waiting}" if waiting else "an action"
            return f"execution {execution.id} is {execution.status.value}, not proposed; name {which}"
        text = f"action {action!r} of execution {execution.id} does not wait for approval"
        stored = await executions.load(self._store, execution.id)
        elsewhere = stored is not None and stored.node not in (None, self._recovery.node if self._recovery else None)
        return f"{text}; it is held by another node" if elsewhere else text
