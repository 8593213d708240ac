"""One execution while this process runs it, and the journal entries it has not yet written."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automation.model.event import Event
from automation.model.execution import ActionStatus, Execution, Wish, WorkflowStatus
from automation.model.workflow import ActionDefinition, RetryPolicy
from automation.store import statements
from automation.store.audit import Fact
from automation.store.large import Limits, cut, writes
from automation.store.statement import Op
from automation.store.store import encode
from automation.workflows.plan import Plan, Step
from automation.workflows.state import State

SHORT_WAIT = 1.0
"""Seconds. A wait up to this long is sat out; for a longer one the execution leaves memory."""

WORKFLOW = "workflow"
"""What an action waits for that has started one."""

ITEMS = "items"
"""What an action with `for_each` waits for when all its items that have begun wait for long."""

_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Turn:
    """An action, or one item of a `for_each` action, that is to run."""

    step: Step
    key: str
    """The name in the journal: the action's, or `name[index]`."""
    own: Mapping[str, Any]
    """Names of its own scope."""


class Run:
    """One execution in memory: its plan, its folded state, and what waits to be written.

    Which steps may run next is kept up step by step, so that the cost of one action does not grow with their number.
    """

    __slots__ = (
        "_blockers",
        "_spare",
        "actor",
        "called",
        "committing",
        "events",
        "executing",
        "facts",
        "failed",
        "free",
        "id",
        "inline_bytes",
        "interruption",
        "landed",
        "large",
        "lingers_until",
        "met",
        "node",
        "noted",
        "ops",
        "parent",
        "plan",
        "priority",
        "resting",
        "room",
        "state",
        "stopped",
        "stored",
        "task",
        "tasks",
        "waiting",
        "watch",
        "wish",
        "woken",
    )

    parent: tuple[str, str] | None
    """The execution that has started this one, and by which of its actions."""
    lingers_until: float
    """Until when it stays in memory though it waits for long: many workflows that it starts end soon."""
    stopped: set[str]
    """Children of which the end was asked for."""
    met: dict[str, tuple[str | None, Any]]
    """What has come for actions and items that wait, with the id of the wait."""
    resting: dict[str, asyncio.Future[None]]
    """Items that wait in memory: a result has them look again at what they may do."""
    _spare: dict[str, int] | None
    """For joins of some: how many more of those they count may end without success."""

    def __init__(
        self,
        id: str,
        plan: Plan,
        *,
        actor: str,
        priority: int,
        node: str,
        state: State | None = None,
        limits: Limits = _LIMITS,
    ) -> None:
        self.id = id
        self.plan = plan
        self.actor = actor
        self.priority = priority
        self.node = node
        self.ops: list[Op] = []
        self.facts: list[Fact] = []
        self.events: list[Event] | None = None
        """What is to be told with the next write."""
        self.noted = 0
        """How many writes were noted so far; those not yet taken to the writer are in `ops`."""
        self.stored = 0
        """How many of them are on disk."""
        self.committing = False
        """Whether a commit of it is under way."""
        self.landed: asyncio.Future[None] | None = None
        """Done when that commit has ended; made by the first who waits for it."""
        self.inline_bytes = limits.inline_bytes
        self.room = limits.execution_bytes
        """How many bytes of large values it may still hold."""
        self.large: set[str] = set()
        """The large values that its journal names."""
        self.task: asyncio.Task[None] | None = None
        self.watch: asyncio.Task[None] | None = None
        """Ends it when its time is over."""
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.executing: dict[str, asyncio.Task[Any]] = {}
        """The tasks whose cancellation cancels a handler, by action."""
        self.interruption: tuple[WorkflowStatus, str] | None = None
        """Why it must end before its actions have: cancelled or timed out."""
        self.wish: Wish | None = None
        """What somebody wants of it and its journal does not yet say."""
        self.called = False
        """Whether somebody has asked or answered something that it must look at before it goes on."""
        self.woken = asyncio.Event()
        self.parent, self.stopped, self.lingers_until = None, set(), 0.0
        self.met, self.resting = {}, {}
        self.failed: str | None = None
        """The action whose failure fails the workflow."""
        self.waiting: set[str] = set()
        """Actions that wait for a time or a person."""
        self._blockers = dict(plan.blockers)
        self._spare = dict(plan.spare) if plan.spare else None
        self.free: list[Step] = [step for step in plan.steps if not step.depends_on]
        """Steps that nothing holds up, and that have not been looked at yet."""
        self.state = State(plan.by_name) if state is None else state
        if state is not None:
            self.stored = self.noted = state.seq
            self._take_over(state)

    @classmethod
    def of(
        cls, execution: Execution, plan: Plan, state: State, large: Mapping[str, int], *, node: str, limits: Limits
    ) -> Run:
        """An execution that is on disk, from what is stored of it."""
        run = cls(
            execution.id,
            plan,
            actor=execution.actor,
            priority=execution.priority,
            node=node,
            state=state,
            limits=limits,
        )
        run.knows(large)
        run.parent = None if execution.parent is None else (execution.parent, execution.parent_action or "")
        return run

    @property
    def begun(self) -> bool:
        """Whether its start is on disk."""
        return self.stored > 0

    @property
    def claim(self) -> tuple[str, str] | None:
        """The workflow and the concurrency key of which it needs a seat, if it needs one."""
        key = self.state.concurrency
        return None if key is None else (self.plan.name, key)

    @property
    def exclusive(self) -> bool:
        """Whether it starts only if there is a seat for it."""
        return self.state.concurrency is not None and not self.state.queued and self.plan.on_conflict == "skip"

    @property
    def pausing(self) -> bool:
        """Whether nothing further may begin because somebody wants it paused."""
        return self.wish is not None and self.wish.act == "pause" and self.interruption is None

    @property
    def deadline(self) -> float | None:
        """When its time is over, if that is limited: what it was paused for does not count."""
        limit = self.plan.definition.timeout_seconds
        return None if limit is None else self.state.counted_from + limit

    def step_of(self, key: str) -> Step:
        """The step of an action's name, or of an item's key such as `restart[3]`."""
        return self.plan.by_name[key.partition("[")[0]]

    def note(self, at: float, kind: str, action: str | None, body: Mapping[str, Any]) -> None:
        """Take a fact into the state, and into what is written next."""
        state, text = self.state, encode(body)
        state.apply(kind, action, at, body)
        if len(text) > self.inline_bytes:
            text = self._without_large(at, body)
        self.write((statements.JOURNAL, (self.id, state.seq, at, kind, action, text.decode())))
        if action is not None and action in self._blockers and not kind.startswith("undo_"):
            self._moved(action, state.actions[action].status)
        elif kind in ("approved", "denied") and action is not None:
            self.rouse(action, None, None)

    def take_over(self, at: float, done: Mapping[str, Mapping[str, Any]]) -> None:
        """Before it begins: note actions that another execution has done for it."""
        for name, body in done.items():
            self.note(at, "action_taken_over", name, body)
        self._keep_pending()

    def knows(self, large: Mapping[str, int]) -> None:
        """These large values, with their sizes, are in its state."""
        self.room -= sum(size for digest, size in large.items() if digest not in self.large)
        self.large.update(large)

    def _without_large(self, at: float, body: Mapping[str, Any]) -> bytes:
        """The text of an entry without its large values, which are written once, before it."""
        text, pieces = cut(body, self.inline_bytes)
        new = [piece for piece in pieces if piece.sha256 not in self.large]
        self.knows({piece.sha256: len(piece.text) for piece in new})
        for op in writes(self.id, new, at):
            self.write(op)
        return text

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

    def rouse(self, key: str, wait: str | None, what: Any) -> None:
        """What an action or an item waits for has come; the first counts."""
        known = self.met.get(key)
        if known is None or known[0] != self.state.action(key).wait:
            self.met[key] = (wait, what)
        resting = self.resting.get(key)
        if resting is not None and not resting.done():
            resting.set_result(None)
        self.woken.set()

    def heard(self, key: str) -> None:
        """What was answered about an item has been taken into account: it goes on."""
        if key in self.met and self.met[key][0] is None:
            del self.met[key]

    def call(self) -> None:
        """Have it look at what was answered."""
        self.called = True
        self.woken.set()

    def clings(self, key: str) -> bool:
        """Whether an action or an item that is to be cancelled waits for a child to end first: it has that ended."""
        state = self.state.action(key)
        if state.awaits != WORKFLOW or state.wait is None or self._has_come(key):
            return False
        assert self.interruption is not None
        self.stop_child(state.wait, self.interruption[1])
        return True

    def stop_child(self, child: str, reason: str) -> None:
        """Ask for the end of an execution that this one has started."""
        if child not in self.stopped:
            self.stopped.add(child)
            self.write(statements.CHILD_CANCEL(cancel_reason=f"its parent {self.id}: {reason}", where_id=child))

    def _has_come(self, key: str) -> bool:
        return key in self.met and self.met[key][0] == self.state.action(key).wait

    def ask(self, wish: Wish) -> None:
        """Have it look at a wish as soon as it can."""
        self.wish = wish
        if wish.act == "pause":
            for resting in self.resting.values():
                if not resting.done():
                    resting.set_result(None)
        self.call()

    def _moved(self, name: str, status: ActionStatus) -> None:
        if status is ActionStatus.WAITING:
            self.waiting.add(name)
            return
        self.waiting.discard(name)
        if status is ActionStatus.FAILED and self.plan.by_name[name].definition.on_failure == "fail":
            self.failed = self.failed or name
        if status.finished:
            for dependent in self.plan.dependents[name]:
                if dependent.needed is not None and status is not ActionStatus.SUCCEEDED:
                    self._spend(dependent)
                    continue
                left = self._blockers[dependent.name] = self._blockers[dependent.name] - 1
                if left == 0:
                    self.free.append(dependent)

    def _spend(self, join: Step) -> None:
        """One of those that a join counts has not succeeded: it is free, to be skipped, once too many have not."""
        assert self._spare is not None
        left = self._spare[join.name] = self._spare[join.name] - 1
        if left == -1:
            self.free.append(join)

    def _take_over(self, state: State) -> None:
        for step in self.plan.steps:
            self._moved(step.name, state.actions[step.name].status)
            if step.items is not None:
                self._decided(step)
        self._keep_pending()

    def _keep_pending(self) -> None:
        # What has begun is waited for, or settled as interrupted; it is not begun anew.
        actions = self.state.actions
        self.free = [step for step in self.free if actions[step.name].status is ActionStatus.PENDING]

    def _decided(self, step: Step) -> None:
        """Items on which a person has decided just before a crash."""
        for index in range(len(self.state.actions[step.name].items or ())):
            item = self.state.actions.get(f"{step.name}[{index}]")
            if item is not None and item.status is ActionStatus.WAITING and item.approved is not None:
                self.rouse(f"{step.name}[{index}]", None, None)


_DEFAULT_RETRY = RetryPolicy()


def policy_of(definition: ActionDefinition) -> RetryPolicy:
    """How failed attempts of an action are repeated."""
    return definition.retry or _DEFAULT_RETRY


def attempts_of(definition: ActionDefinition, default: int) -> int:
    """How often an action is tried in all, where the configuration says `default`."""
    return policy_of(definition).attempts or definition.retry_attempts or default


def longest_pause(policy: RetryPolicy, attempt: int) -> float:
    """Seconds to wait, at most, before the attempt after this one, unless the other side asks for more."""
    return min(policy.max_seconds, policy.initial_seconds * policy.factor ** (attempt - 1))


def backoff(policy: RetryPolicy, attempt: int, after: float | None) -> float:
    """Seconds to wait before the attempt after this one: exponential, with full jitter, not before `after`."""
    longest = longest_pause(policy, attempt)
    wait = random.uniform(0, longest) if policy.jitter else longest  # noqa: S311 - spreads load, guards nothing
    return max(wait, after or 0.0)
