"""Where an execution waits for people: it asks, looks at what they answered, and takes that into its journal.

An answer is in the approval's row before the execution knows of it. Whoever runs the execution notes it (*settles* it)
in one transaction with what follows; a process that dies in between leaves it for the next one to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from automation.clock import Clock
from automation.model.approval import Approval, ApprovalPolicy, Approvals, ApprovalStatus
from automation.model.event import Event
from automation.model.execution import WorkflowStatus
from automation.model.workflow import AutomationLevel
from automation.store import approvals, statements
from automation.store.audit import Fact
from automation.store.statement import Op, Unexpected
from automation.store.store import Store, to_json
from automation.workflows.action_state import ActionState
from automation.workflows.asking import (
    INTERRUPTED,
    Asker,
    event_of,
    is_told,
    level_of,
    needs_approval,
    next_look,
    overdue,
    question,
    ruling,
    terms_of,
    why_asked,
)
from automation.workflows.plan import Plan, Step
from automation.workflows.run import Run
from automation.workflows.settled import patiently


class Announce(Protocol):
    """Commits writes together with events that tell of them, and with all that those start."""

    async def __call__(
        self, events: Sequence[Event], ops: Sequence[Op], facts: Sequence[Fact], *, patiently: bool = False
    ) -> None:
        """Return when all is on disk; with `patiently`, wait out a database that cannot be written now."""
        ...


class Consent:
    """Stands before actions and proposed executions that people must agree to."""

    def __init__(self, store: Store, clock: Clock, level: AutomationLevel, defaults: Approvals) -> None:
        self._store = store
        self._clock = clock
        self._level = level
        self._defaults = defaults
        self.announce: Announce = self._without_events
        """Set by the engine: the dispatcher comes after what it starts."""

    async def given(self, run: Run, step: Step, key: str | None = None) -> bool:
        """Whether an action, or one item of it, may run. If not, that it waits, or why it fails, is noted."""
        key = key or step.name
        state = run.state.action(key)
        if state.approved is None:
            if state.approval is not None:
                await self._look(run, key, state.approval)
            elif state.attempt == 0 and needs_approval(level := level_of(self._level, run.plan.definition), step):
                self._ask(run, step, why_asked(level, step))
            else:
                return True
        if state.approved is False:
            run.note(self._clock.now(), "action_failed", key, {"error": _denied(state)})
        return state.approved is True

    def ask_interrupted(self, run: Run, step: Step, key: str) -> None:
        """Ask what becomes of an action that was under way when the engine died: run it again, or let it fail."""
        policies = (step.definition.approval, run.plan.definition.approval)
        reason = f"{INTERRUPTED}: approve to run it again, deny to let it fail"
        self._put(run, step, reason, *policies, interrupted=key)

    def proposes(self, plan: Plan) -> bool:
        """Whether what a trigger would start is only proposed."""
        return level_of(self._level, plan.definition) is AutomationLevel.MANUAL

    def propose(self, run: Run, reason: str) -> str:
        """Ask whether a new execution may begin at all; the approval's id."""
        approval = self._put(run, None, reason, run.plan.definition.approval)
        if (look := next_look(approval)) is not None:
            proposed = WorkflowStatus.PROPOSED.value
            run.write(statements.EXECUTION_STATUS(status=proposed, wake_at=look, node=None, where_id=run.id))
        return approval.id

    async def settle(self, run: Run) -> None:
        """Take what was decided of an execution's actions into its journal."""
        if not run.state.asks:
            return
        for approval in await patiently(lambda: approvals.unsettled(self._store, run.id)):
            if approval.action is not None:
                self._settle(run, approval)

    async def proposal(self, run: Run) -> Approval:
        """What has become of a proposed execution by now; if it is decided, that is noted."""
        asked = await patiently(lambda: approvals.newest(self._store, run.id, None))
        assert asked is not None, "an approval is written with the execution that is proposed"
        approval = await self._current(asked.id)
        if approval.status is not ApprovalStatus.PENDING and run.state.approval is not None:
            self._settle(run, approval)
        return approval

    def withdraw(self, run: Run) -> None:
        """Nothing is left to decide: its execution ends."""
        if run.state.asks:
            run.write(statements.APPROVALS_WITHDRAW(settled_at=self._clock.now(), where_execution_id=run.id))

    async def change(self, approval: Approval, kind: str, facts: Sequence[Fact] = (), **more: Any) -> None:
        """Store the next revision of an approval together with the event that tells of it.

        Raises Unexpected if another change was quicker.
        """
        event = event_of(kind, approval, self._clock.now(), **more)
        await self.announce([event], [approvals.change(approval)], facts)

    def _ask(self, run: Run, step: Step, reason: str) -> None:
        self._put(run, step, reason, step.definition.approval, run.plan.definition.approval)

    def _put(
        self, run: Run, step: Step | None, reason: str, *policies: ApprovalPolicy | None, interrupted: str | None = None
    ) -> Approval:
        now = self._clock.now()
        asker = Asker(run.id, run.plan, run.actor, by_hand=run.state.event is None)
        approval = question(asker, step, reason, terms_of(self._defaults, now, *policies), now)
        if interrupted is not None:
            approval = replace(approval, action=interrupted)
        run.write(approvals.insert(approval))
        run.fact(now, "workflow_execution", "ask", "ok", {"approval": approval.id, "action": approval.action})
        if is_told(run.state.event):
            run.events = [*(run.events or ()), event_of("approval_requested", approval, now)]
        if step is not None:
            body = {"until": next_look(approval), "reason": reason, "approval": approval.id}
            if interrupted is not None:
                body["interrupted"] = True
            run.note(now, "action_waiting", interrupted or step.name, body)
        return approval

    async def _look(self, run: Run, key: str, approval_id: str) -> None:
        """An action that waits for people is due: it may have been decided, or its time has come for something."""
        approval = await self._current(approval_id)
        if approval.status is not ApprovalStatus.PENDING:
            self._settle(run, approval)
            return
        reason = run.state.action(key).reason
        body = {"until": next_look(approval), "reason": reason, "approval": approval.id}
        run.note(self._clock.now(), "action_waiting", key, body)

    async def _current(self, approval_id: str) -> Approval:
        """The approval, once what its time has come for is done."""
        while True:
            approval = await patiently(lambda: self._get(approval_id))
            now = self._clock.now()
            what = overdue(approval, now)
            if what is None:
                return approval
            if what == "expire":
                changed = approval.changed(status=ApprovalStatus.EXPIRED, decided_at=now)
            else:
                changed = approval.changed(escalated_at=now)
            act = {"expire": "approval_expired", "escalate": "approval_escalated"}[what]
            detail = to_json({"approval": approval.id, "action": approval.action})
            fact = Fact(now, "workflow_execution", "system", what, approval.execution_id, "ok", detail)
            try:
                await patiently(lambda changed=changed, act=act, fact=fact: self.change(changed, act, [fact]))  # type: ignore[misc]
            except Unexpected:
                # Somebody has answered at the same moment: that counts.
                continue

    async def _get(self, approval_id: str) -> Approval:
        found = await approvals.get(self._store, approval_id)
        assert found is not None, "an approval is written with the entry that names it"
        return found

    def _settle(self, run: Run, approval: Approval) -> None:
        now = self._clock.now()
        decided = ruling(approval)
        run.note(now, "approved" if decided.agreed else "denied", approval.action, decided.body(approval))
        run.write(statements.APPROVAL_SETTLE(settled_at=now, where_id=approval.id))
        if approval.action is None and decided.agreed:
            run.write(statements.EXECUTION_BEGUN(started_at=now, where_id=run.id))

    async def _without_events(
        self, events: Sequence[Event], ops: Sequence[Op], facts: Sequence[Fact], *, patiently: bool = False
    ) -> None:
        commit = self._store.commit_patiently if patiently else self._store.commit
        await commit(ops, facts)


def _denied(state: ActionState) -> dict[str, Any]:
    why = state.reason or "no reason was given"
    told = state.error
    if told is not None and not (state.interrupted and told["type"] == "Denied"):
        return told
    if state.interrupted:
        return {"type": "Interrupted", "message": f"{INTERRUPTED}; not to be run again: {why}"}
    return {"type": "Denied", "message": f"denied: {why}"}
