"""An execution as the fold over its journal. The live run and a recovery use the same `apply`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from automation.model.execution import ActionRun, ActionStatus, JournalEntry, WorkflowStatus
from automation.workflows.action_state import ActionState
from automation.workflows.progress import Rollback, Verifying


class State:
    """What the journal says of one execution."""

    __slots__ = (
        "actions",
        "approval",
        "asks",
        "cancel_reason",
        "completed",
        "concurrency",
        "counted_from",
        "error",
        "event",
        "finished_at",
        "names",
        "outputs",
        "paused_at",
        "queued",
        "rollback",
        "seq",
        "started_at",
        "status",
        "variables",
    )

    def __init__(self, names: Iterable[str]) -> None:
        self.actions: dict[str, ActionState] = {name: ActionState() for name in names}
        """By the action's name; for an item of `for_each`, by `name[index]`."""
        self.names = frozenset(self.actions)
        """The actions of the definition."""
        self.status = WorkflowStatus.PENDING
        self.variables: dict[str, Any] = {}
        self.event: dict[str, Any] | None = None
        self.outputs: dict[str, Any] = {}
        """Outputs of all actions by their keys, a later action's over an earlier one's."""
        self.seq = 0
        self.started_at = 0.0
        self.counted_from = 0.0
        """From when its time limit counts: its start, later by the time that it was paused, or its last retry."""
        self.paused_at: float | None = None
        self.approval: str | None = None
        """Of a proposed execution: the approval that it waits for."""
        self.asks = False
        """Whether people were asked something."""
        self.concurrency: str | None = None
        """Its concurrency key."""
        self.queued = False
        """Whether it waits for a seat of its key."""
        self.finished_at: float | None = None
        self.cancel_reason: str | None = None
        self.error: dict[str, Any] | None = None
        self.completed: list[str] = []
        """Actions whose work is done, in the order in which it was; those included whose `verify` failed afterwards."""
        self.rollback: Rollback | None = None

    def apply(self, kind: str, action: str | None, at: float, body: Mapping[str, Any]) -> None:
        """Take in one entry; entries come in the order of their numbers."""
        self.seq += 1
        if action is not None:
            self._apply_action(kind, action, at, body)
        elif kind == "started":
            self.status = WorkflowStatus.RUNNING
            self.started_at = self.counted_from = at
            self.variables = body.get("variables") or {}
            self.event = body.get("event")
            if "concurrency" in body:
                self.concurrency, self.queued = body["concurrency"], body.get("queued", False)
                self.status = self._going
            if "approval" in body:
                self.status, self.approval, self.asks = WorkflowStatus.PROPOSED, body["approval"], True
        elif kind == "rollback_started":
            self.status = WorkflowStatus.ROLLING_BACK
            self.rollback = Rollback(body)
        elif kind in ("rollback_held", "rollback_released") and self.rollback is not None:
            self.rollback.hold(at if kind == "rollback_held" else None, at)
        elif kind == "finished":
            self.status = WorkflowStatus(body["status"])
            self.error = body.get("error")
            self.finished_at = at
        elif kind == "paused":
            self.status, self.paused_at = WorkflowStatus.PAUSED, at
        elif kind == "resumed":
            self.counted_from += at - (at if self.paused_at is None else self.paused_at)
            self.status, self.paused_at = self._going, None
        elif kind == "admitted":
            self.queued = False
            self.status = WorkflowStatus.RUNNING
            self.started_at = self.counted_from = at
        elif kind in ("approved", "denied"):
            self.approval = None
            if kind == "approved":
                self.status = self._going
                self.started_at = self.counted_from = at
        elif kind == "retried":
            self.queued = body.get("queued", False)
            self._retried(at, body["actions"])

    @property
    def _going(self) -> WorkflowStatus:
        """Where it is when nothing holds it back but what it may wait for."""
        return WorkflowStatus.PENDING if self.queued else WorkflowStatus.RUNNING

    def _retried(self, at: float, names: Iterable[str]) -> None:
        """Go on after the end: these actions have not run."""
        again = frozenset(names)
        self.status = self._going
        self.error = self.finished_at = None
        self.counted_from = at
        for key, before in list(self.actions.items()):
            name = key.partition("[")[0]
            if name not in again or (key != name and before.status is ActionStatus.SUCCEEDED):
                # An item that has succeeded is not repeated, though its action is.
                continue
            self.actions[key] = after = ActionState()
            after.items = before.items
        # Of what is repeated, nothing counts as done but the items that were kept.
        self.completed = [
            key
            for key in self.completed
            if key.partition("[")[0] not in again or self.actions[key].status is ActionStatus.SUCCEEDED
        ]
        done = [state for name, state in self.actions.items() if name in self.names and name not in again]
        self.outputs = {}
        for state in sorted(done, key=lambda state: state.finished_at or 0.0):
            if state.status is ActionStatus.SUCCEEDED and isinstance(state.outputs, dict):
                self.outputs.update(state.outputs)

    def _apply_action(self, kind: str, name: str, at: float, body: Mapping[str, Any]) -> None:
        state = self.action(name)
        if kind.startswith("undo_") and self.rollback is not None:
            self.rollback.apply(kind, name, at, body)
            return
        state.wake_at = None
        state.held_by = None
        if kind == "action_started":
            state.status = ActionStatus.RUNNING
            if state.attempt != body["attempt"]:
                state.attempt, state.attempt_at = body["attempt"], at
            state.operation = body["operation"]
            state.parameters = body.get("parameters") or {}
            state.items = body.get("items", state.items)
            if state.started_at is None:
                state.started_at = at
            elif state.iteration > 1 and state.began_at is None:
                state.began_at = at
            state.reason = None
            state.error = None
            state.awaits = None
        elif kind == "action_completed":
            state.status = ActionStatus.SUCCEEDED
            state.outputs = body["outputs"]
            state.finished_at = at
            state.error = None
            if state.approval is None:
                # Why it waited says nothing of what it has done.
                state.reason = None
            if state.items is None and state.verifying is None and state.iteration == 1:
                self.completed.append(name)
            if isinstance(state.outputs, dict) and name in self.names:
                self.outputs.update(state.outputs)
        elif kind == "action_failed":
            state.error = body["error"]
            state.verifying = state.wait = state.awaits = None
            state.wake_at = body.get("retry_at")
            state.status = ActionStatus.FAILED if state.wake_at is None else ActionStatus.WAITING
            state.finished_at = at if state.wake_at is None else None
        elif kind == "action_waiting":
            state.status = ActionStatus.WAITING
            state.wake_at = body.get("until")
            state.reason = body.get("reason")
            state.interruptions = body.get("interruptions", state.interruptions)
            if "approval" in body:
                state.approval, self.asks = body["approval"], True
                if body.get("interrupted"):
                    # What was agreed to before it began is not what is asked now.
                    state.approved, state.interrupted = None, True
            state.held_by = body.get("held_by")
        elif kind in ("action_skipped", "action_cancelled"):
            state.status = ActionStatus.SKIPPED if kind == "action_skipped" else ActionStatus.CANCELLED
            state.reason = body.get("reason")
            state.finished_at = at
            # 0.1.0 did not say it by itself.
            state.hindered = body.get("hindered", str(state.reason).endswith(" failed"))
        else:
            self._apply_rare(state, kind, name, at, body)

    def _apply_rare(self, state: ActionState, kind: str, name: str, at: float, body: Mapping[str, Any]) -> None:
        """What few actions have entries of."""
        if kind == "action_delayed":
            state.status = ActionStatus.WAITING
            state.wake_at = body["until"]
            state.reason = body["reason"]
            state.delayed = True
        elif kind == "action_awaits":
            state.status = ActionStatus.WAITING
            state.wake_at = body["until"]
            state.reason = body["reason"]
            state.wait = body.get("wait")
            state.late = body.get("late")
            state.held_by = body.get("held_by")
            state.awaits = body["for"]
        elif kind == "action_heartbeat":
            state.heartbeat, state.heartbeat_at = body.get("details"), at
        elif kind == "action_repeated":
            self._done(name)
            state.repeat(body)
            if isinstance(state.outputs, dict):
                self.outputs.update(state.outputs)
        elif kind == "action_verifying":
            state.outputs = body["outputs"]
            state.verifying = Verifying(at, body["until"])
            self._done(name)
        elif kind == "action_holding" and state.verifying is not None:
            state.verifying.since = body["since"]
        elif kind in ("approved", "denied"):
            state.approved = kind == "approved"
            state.reason = body.get("reason")
            state.error = body.get("error")
        elif kind == "action_taken_over":
            self._take_over(state, name, body)

    def _take_over(self, state: ActionState, name: str, body: Mapping[str, Any]) -> None:
        """An action that the execution from which this one was forked has ended: it is not ours to undo."""
        state.taken_over = True
        state.status = ActionStatus(body["status"])
        state.operation = body["operation"]
        state.parameters = body.get("parameters") or {}
        state.attempt = body["attempt"]
        state.items = body.get("items")
        state.outputs = body.get("outputs")
        state.error = body.get("error")
        state.reason = body.get("reason")
        state.started_at = body.get("started_at")
        state.finished_at = body.get("finished_at")
        if state.status is ActionStatus.SUCCEEDED and isinstance(state.outputs, dict):
            self.outputs.update(state.outputs)

    def _done(self, name: str) -> None:
        """The work of an action is done, perhaps once more."""
        if name in self.completed:
            self.completed.remove(name)
        self.completed.append(name)

    def action(self, key: str) -> ActionState:
        """The state of an action, or of an item of one."""
        state = self.actions.get(key)
        if state is None:
            state = self.actions[key] = ActionState()
        return state

    def runs(self) -> tuple[ActionRun, ...]:
        """All actions, in the order of the definition; what single items did is in the journal."""
        return tuple(state.as_run(name) for name, state in self.actions.items() if name in self.names)


def fold(names: Iterable[str], entries: Iterable[JournalEntry]) -> State:
    """The state that the entries lead to."""
    state = State(names)
    for entry in entries:
        state.apply(entry.kind, entry.action, entry.at, entry.body)
    return state


class Scope:
    """The names that an action's conditions and parameters may use, in the order in which they resolve."""

    __slots__ = ("_event_type", "_own", "_state")

    def __init__(self, state: State, own: Mapping[str, Any] | None = None) -> None:
        self._state = state
        self._own = own or {}
        self._event_type = state.event.get("type") if state.event else None

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or `default`."""
        state = self._state
        if name == "actions":
            return {key: state.actions[key].outputs for key in state.names}
        if name == "event":
            return state.event if state.event is not None else default
        if name == "context":
            return state.variables
        for place in (self._own, state.outputs, state.variables):
            if name in place:
                return place[name]
        if state.event:
            data = state.event.get("data") or {}
            if name in data:
                return data[name]
            if name == self._event_type:
                return True
        return default
