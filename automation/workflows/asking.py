"""What is asked of whom, what an answer leads to, and what time does to a question. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from automation.conditions import seconds_of
from automation.errors import Conflict, Forbidden
from automation.model.approval import Answer, Approval, ApprovalPolicy, Approvals, ApprovalStatus, Terms
from automation.model.event import Event
from automation.model.execution import WorkflowStatus
from automation.model.identity import Identity
from automation.model.ids import new_id
from automation.model.workflow import AutomationLevel, WorkflowDefinition
from automation.workflows.plan import Plan, Step

INTERRUPTED = "the engine died while it ran; it may have done a part of its work"
"""What is said of an action that was under way when its engine died."""

SOURCE = "approvals"
"""The source of the events that tell of approvals."""

_LEVELS = tuple(AutomationLevel)
"""From the one that asks most to the one that asks never."""


def level_of(configured: AutomationLevel, definition: WorkflowDefinition) -> AutomationLevel:
    """The level that holds for a workflow: the stricter of its own and the configured one."""
    if definition.level is None or _LEVELS.index(definition.level) >= _LEVELS.index(configured):
        return configured
    return definition.level


def needs_approval(level: AutomationLevel, step: Step) -> bool:
    """Whether a person must agree before this step runs."""
    policy = step.definition.approval
    if policy is not None and policy.required:
        return True
    if step.effect == "read":
        return False
    if level is AutomationLevel.ASSISTED:
        return True
    return level is AutomationLevel.INTELLIGENT and step.effect == "critical"


def why_asked(level: AutomationLevel, step: Step) -> str:
    """The reason for which an action asks."""
    policy = step.definition.approval
    if policy is not None and policy.required:
        return f"{step.plugin.name} needs approval by its definition"
    return f"{step.plugin.name} needs approval at level {level.value}"


def terms_of(defaults: Approvals, now: float, *policies: ApprovalPolicy | None) -> Terms:
    """How it is asked: as the first of the policies says that says something, else as configured."""

    def said(key: str) -> Any:
        found = (getattr(policy, key) for policy in policies if policy is not None)
        return next((value for value in found if value not in (None, ())), None)

    def moment(key: str, configured: float | None) -> float | None:
        given = said(key)
        seconds = configured if given is None else seconds_of(given)
        return None if seconds is None else now + seconds

    not_self = said("not_self")
    return Terms(
        quorum=said("quorum") or defaults.quorum,
        expires_at=moment("expires", defaults.expires_seconds),
        on_expiry=said("on_expiry") or defaults.on_expiry,
        escalate_at=moment("escalate_after", defaults.escalate_seconds),
        notify=said("notify") or (),
        roles=said("roles") or defaults.roles,
        not_self=defaults.not_self if not_self is None else not_self,
    )


@dataclass(frozen=True, slots=True)
class Asker:
    """The execution that asks."""

    execution_id: str
    plan: Plan
    actor: str
    by_hand: bool


def question(asker: Asker, step: Step | None, reason: str, terms: Terms, now: float) -> Approval:
    """The approval to ask for: of a step or, without one, of a proposed execution as a whole."""
    effects = {each.effect for each in (asker.plan.steps if step is None else (step,))}
    return Approval(
        id=new_id(),
        execution_id=asker.execution_id,
        workflow=asker.plan.name,
        action=None if step is None else step.name,
        operation=None if step is None else step.plugin.name,
        effect="critical" if "critical" in effects else "standard",
        reason=reason,
        asked_at=now,
        started_by=asker.actor,
        by_hand=asker.by_hand,
        terms=terms,
    )


def refuse_answer(approval: Approval, identity: Identity, agreed: bool) -> None:
    """Raise Forbidden if this caller may not answer so."""
    standard = "actions:execute_standard"
    if not identity.may(approval.permission) and (agreed or not identity.may(standard)):
        raise Forbidden(permission=approval.permission if agreed else standard)
    roles = approval.terms.roles
    if roles and not identity.may("system:admin") and not set(roles) & set(identity.roles):
        names = " or ".join(roles)
        raise Forbidden(f"this is to be answered by whoever has the role {names}", permission=f"role {names}")


def answered(approval: Approval, answer: Answer) -> Approval:
    """The approval after an answer; the same one if that changes nothing. Raises Conflict if it is decided."""
    refuse_decided(approval)
    before = [known for known in approval.answers if known.actor == answer.actor]
    if before and before[0].agreed is answer.agreed:
        return approval
    answers = (*(known for known in approval.answers if known.actor != answer.actor), answer)
    if not answer.agreed:
        return approval.changed(answers=answers, status=ApprovalStatus.DENIED, decided_at=answer.at)
    if lacking(approval.terms, approval, answers) is None:
        return approval.changed(answers=answers, status=ApprovalStatus.APPROVED, decided_at=answer.at)
    return approval.changed(answers=answers)


def lacking(terms: Terms, approval: Approval, answers: tuple[Answer, ...]) -> str | None:
    """What is missing for it to be approved, in words, or None."""
    agreed = {answer.actor for answer in answers if answer.agreed}
    if len(agreed) < terms.quorum:
        return f"{len(agreed)} of {terms.quorum} have approved"
    if terms.not_self and approval.by_hand and agreed <= {approval.started_by}:
        return f"somebody else than {approval.started_by}, who started it, has to approve"
    return None


def refuse_decided(approval: Approval) -> None:
    """Raise Conflict if nothing is left to decide."""
    if approval.status is ApprovalStatus.PENDING:
        return
    what = f"action {approval.action!r}" if approval.action else "the proposal"
    who = f" by {approval.answers[-1].actor}" if approval.answers and approval.status in _BY_PEOPLE else ""
    raise Conflict(
        f"{what} of execution {approval.execution_id} does not wait for approval: it was {approval.status.value}{who}"
    )


_BY_PEOPLE = frozenset({ApprovalStatus.APPROVED, ApprovalStatus.DENIED})


def overdue(approval: Approval, now: float) -> Literal["expire", "escalate"] | None:
    """What its time has come for, as long as it is pending."""
    terms = approval.terms
    if approval.status is not ApprovalStatus.PENDING:
        return None
    if terms.expires_at is not None and terms.expires_at <= now:
        return "expire"
    if terms.escalate_at is not None and terms.escalate_at <= now and approval.escalated_at is None:
        return "escalate"
    return None


def next_look(approval: Approval) -> float | None:
    """When time next changes it, or None if it waits for people alone."""
    escalate_at = approval.terms.escalate_at if approval.escalated_at is None else None
    moments = [moment for moment in (escalate_at, approval.terms.expires_at) if moment is not None]
    return min(moments, default=None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a decided approval means for what waited for it."""

    agreed: bool
    actor: str
    reason: str
    error: dict[str, Any] | None = None
    """Where time has decided against it: what the action fails with."""

    def body(self, approval: Approval) -> dict[str, Any]:
        """The journal entry."""
        told: dict[str, Any] = {"actor": self.actor, "reason": self.reason, "approval": approval.id}
        if len(approval.answers) > 1:
            told["answers"] = [
                {"actor": answer.actor, "agreed": answer.agreed, "reason": answer.reason} for answer in approval.answers
            ]
        return told if self.error is None else {**told, "error": self.error}


def ruling(approval: Approval) -> Ruling:
    """What its status means."""
    if approval.status is not ApprovalStatus.EXPIRED:
        last = approval.answers[-1]
        return Ruling(approval.status is ApprovalStatus.APPROVED, last.actor, last.reason)
    limit = (approval.terms.expires_at or 0.0) - approval.asked_at
    text = f"nobody has decided within {limit:g} s ({approval.agreed} of {approval.terms.quorum} have approved)"
    if approval.terms.on_expiry == "approve":
        return Ruling(True, "system", f"{text}; on_expiry is approve")
    kind = "ApprovalExpired" if approval.terms.on_expiry == "fail" else "Denied"
    return Ruling(False, "system", text, {"type": kind, "message": f"denied: {text}" if kind == "Denied" else text})


def denial(approval: Approval) -> tuple[WorkflowStatus, dict[str, Any]]:
    """How a proposed execution ends that was not approved."""
    decided = ruling(approval)
    if decided.error is not None and approval.terms.on_expiry == "fail":
        return WorkflowStatus.FAILED, decided.error
    reason = decided.reason or f"denied by {decided.actor}"
    return WorkflowStatus.CANCELLED, {"type": WorkflowStatus.CANCELLED.value, "message": reason}


def event_of(kind: str, approval: Approval, now: float, answer: Answer | None = None) -> Event:
    """The event that tells of an approval: `approval_requested`, `_answered`, `_escalated`, `_expired`."""
    data: dict[str, Any] = {
        "approval": approval.id,
        "execution": approval.execution_id,
        "workflow": approval.workflow,
        "action": approval.action,
        "operation": approval.operation,
        "effect": approval.effect,
        "reason": approval.reason,
        "status": approval.status.value,
        "started_by": approval.started_by,
        "asked_at": approval.asked_at,
        "quorum": approval.terms.quorum,
        "agreed": approval.agreed,
        "expires_at": approval.terms.expires_at,
        "notify": list(approval.terms.notify),
    }
    if answer is not None:
        data["answer"] = {"actor": answer.actor, "agreed": answer.agreed, "reason": answer.reason}
    return Event(
        type=kind,
        subject=approval.workflow,
        data=data,
        source=SOURCE,
        id=f"{approval.id}:{approval.revision}:{kind}",
        time=now,
    )


def is_told(event: Mapping[str, Any] | None) -> bool:
    """Whether an approval is told of by events: not in what such an event has itself started, which would not end."""
    return event is None or event.get("source") != SOURCE
