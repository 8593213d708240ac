"""One execution while this process runs it, and the journal entries it has not yet written."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from automation.model.execution import ActionStatus, WorkflowStatus
from automation.model.workflow import AutomationLevel, RetryPolicy
from automation.store import statements
from automation.store.audit import Fact
from automation.store.statements import Op
from automation.store.store import encode
from automation.workflows.plan import Plan, Step
from automation.workflows.state import Scope, State


class Run:
    """One execution in memory: its plan, its folded state, and what waits to be written.

    Which steps may run next is kept up step by step, so that the cost of one action does not grow with their number.
    """

    __slots__ = (
        "_blockers",
        "actor",
        "executing",
        "facts",
        "failed",
        "flight",
        "free",
        "id",
        "interruption",
        "node",
        "noted",
        "ops",
        "plan",
        "priority",
        "state",
        "stored",
        "task",
        "tasks",
        "waiting",
        "woken",
    )

    def __init__(
        self, id: str, plan: Plan, *, actor: str, priority: int, node: str, state: State | None = None
    ) -> None:
        self.id = id
        self.plan = plan
        self.actor = actor
        self.priority = priority
        self.node = node
        self.ops: list[Op] = []
        self.facts: list[Fact] = []
        self.noted = 0
        """How many writes were noted so far; those not yet taken to the writer are in `ops`."""
        self.stored = 0
        """How many of them are on disk."""
        self.flight: asyncio.Future[None] | None = None
        """Done when the commit that is under way has ended."""
        self.task: asyncio.Task[None] | None = None
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.executing: dict[str, asyncio.Task[Any]] = {}
        """The tasks whose cancellation cancels a handler, by action."""
        self.interruption: tuple[WorkflowStatus, str] | None = None
        """Why it must end before its actions have: cancelled or timed out."""
        self.woken = asyncio.Event()
        self.failed: str | None = None
        """The action whose failure fails the workflow."""
        self.waiting: set[str] = set()
        """Actions that wait for a time or a person."""
        self._blockers = dict(plan.blockers)
        self.free: list[Step] = [step for step in plan.steps if not step.depends_on]
        """Steps that nothing holds up, and that have not been looked at yet."""
        self.state = State(plan.by_name) if state is None else state
        if state is not None:
            self.stored = self.noted = state.seq
            self._take_over(state)

    @property
    def begun(self) -> bool:
        """Whether its start is on disk."""
        return self.state.seq > sum(statement is statements.JOURNAL for statement, _ in self.ops)

    def step_of(self, key: str) -> Step:
        """The step of an action's name, or of an item's key such as `restart[3]`."""
        return self.plan.by_name[key.partition("[")[0]]

    def note(self, at: float, kind: str, action: str | None, body: Mapping[str, Any]) -> None:
        """Take a fact into the state, and into what is written next."""
        state = self.state
        state.apply(kind, action, at, body)
        text = encode(body).decode()
        self.write((statements.JOURNAL, (self.id, state.seq, at, kind, action, text)))
        if action is not None and action in self._blockers and not kind.startswith("undo_"):
            self._moved(action, state.actions[action].status)

    def write(self, op: Op) -> None:
        """A write that goes with the next commit."""
        self.ops.append(op)
        self.noted += 1

    def taken(self) -> tuple[list[Op], list[Fact]]:
        """What waits to be written, for whoever writes it now."""
        ops, facts = self.ops, self.facts
        self.ops, self.facts = [], []
        return ops, facts

    def fact(self, at: float, kind: str, act: str, outcome: str, detail: Mapping[str, Any]) -> None:
        """An audit row for the next write."""
        self.facts.append(Fact(at, kind, self.actor, act, self.id, outcome, encode(detail).decode()))

    def interrupt(self, status: WorkflowStatus, reason: str) -> None:
        """End it before its actions have ended: cancel what runs, except cleanup."""
        if self.interruption is not None or self.state.status.finished:
            return
        self.interruption = (status, reason)
        for name, task in list(self.executing.items()):
            if not self.step_of(name).definition.always:
                task.cancel()
        self.woken.set()

    def _moved(self, name: str, status: ActionStatus) -> None:
        if status is ActionStatus.WAITING:
            self.waiting.add(name)
            return
        self.waiting.discard(name)
        if status is ActionStatus.FAILED and self.plan.by_name[name].definition.on_failure == "fail":
            self.failed = self.failed or name
        if status.finished:
            for dependent in self.plan.dependents[name]:
                left = self._blockers[dependent.name] = self._blockers[dependent.name] - 1
                if left == 0:
                    self.free.append(dependent)

    def _take_over(self, state: State) -> None:
        for step in self.plan.steps:
            self._moved(step.name, state.actions[step.name].status)
        # What has begun is waited for, or settled as interrupted; it is not begun anew.
        self.free = [step for step in self.free if state.actions[step.name].status is ActionStatus.PENDING]


def advance(run: Run, now: float, *, stopped: bool = False) -> list[Step]:
    """Note which steps are skipped, and return those that can run now; `stopped` says that changes are."""
    ready: list[Step] = []
    actions = run.state.actions
    while run.free:
        steps, run.free = run.free, []
        for step in steps:
            reason = hindrance(run) if not step.definition.always else None
            reason = reason or unmet(step, run.state)
            if reason is None:
                ready.append(step)
            else:
                run.note(now, "action_skipped", step.name, {"reason": reason})
    for name in list(run.waiting):
        step, state = run.plan.by_name[name], actions[name]
        if run.interruption and not step.definition.always:
            run.note(now, "action_cancelled", name, {"reason": run.interruption[1]})
        elif name not in run.tasks and (
            _due(state.wake_at, state.approved, now) or (state.held_by == "stop" and not stopped)
        ):
            run.waiting.discard(name)
            ready.append(step)
    return ready + advance(run, now, stopped=stopped) if run.free else ready


def _due(wake_at: float | None, approved: bool | None, now: float) -> bool:
    return wake_at <= now if wake_at is not None else approved is not None


def hindrance(run: Run) -> str | None:
    """Why nothing but cleanup may start any more."""
    if run.interruption is not None:
        return run.interruption[1]
    return None if run.failed is None else f"{run.failed} failed"


def unmet(step: Step, state: State) -> str | None:
    """Which of a step's conditions does not hold, as a sentence, or None if all do."""
    if not step.conditions:
        return None
    scope = Scope(state)
    for condition in step.conditions:
        value = condition.evaluate(scope)
        if value is not True:
            return f"condition {condition.text!r} is {'unknown' if value is None else 'false'}"
    return None


def outcome(run: Run) -> tuple[WorkflowStatus, dict[str, Any] | None]:
    """How the execution ends, once nothing of it is left to run."""
    if run.interruption is not None:
        status, reason = run.interruption
        return status, {"type": status.value, "message": reason}
    if run.failed is not None:
        return WorkflowStatus.FAILED, {**(run.state.actions[run.failed].error or {}), "action": run.failed}
    return WorkflowStatus.SUCCEEDED, None


def backoff(policy: RetryPolicy, attempt: int, after: float | None) -> float:
    """Seconds to wait before the attempt after this one: exponential, with full jitter, not before `after`."""
    longest = min(policy.max_seconds, policy.initial_seconds * policy.factor ** (attempt - 1))
    wait = random.uniform(0, longest) if policy.jitter else longest  # noqa: S311 - spreads load, guards nothing
    return max(wait, after or 0.0)


def needs_approval(level: AutomationLevel, step: Step) -> bool:
    """Whether a person must agree before this step runs."""
    if step.effect == "read":
        return False
    if level is AutomationLevel.ASSISTED:
        return True
    return level is AutomationLevel.INTELLIGENT and step.effect == "critical"
