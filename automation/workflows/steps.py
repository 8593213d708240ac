"""Runs one action of an execution: approval, parameters, attempts, and what the journal says of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from automation.actions.call import Call
from automation.actions.context import ActionContext, Resources, Suspend
from automation.actions.executor import Executor
from automation.clock import Clock
from automation.errors import AutomationError, Refused
from automation.model.execution import ActionStatus
from automation.model.workflow import AutomationLevel, RetryPolicy
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.workflows.gate import Gate, Passage
from automation.workflows.guards import Guards
from automation.workflows.plan import Step
from automation.workflows.run import Run, backoff, needs_approval
from automation.workflows.state import Scope

_DEFAULT_RETRY = RetryPolicy()
_NOTHING: Mapping[str, Any] = {}

MAX_ITEMS = 100_000
"""The longest list of a `for_each`."""


class Redacts(Protocol):
    """Hides secrets."""

    def __bool__(self) -> bool:
        """Whether any secret was handed out."""
        ...

    def redact(self, text: str) -> str:
        """The text with secrets replaced."""
        ...

    def redact_value(self, value: Any) -> Any:
        """A copy of a JSON-like value with secrets replaced."""
        ...


class SecretSource(Protocol):
    """Where `${secret:NAME}` comes from."""

    def get(self, name: str) -> str:
        """The secret; raises NotFound."""
        ...

    @property
    def redactor(self) -> Redacts:
        """Hides all secrets that were handed out."""
        ...


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a definition does not say."""

    level: AutomationLevel
    retry_attempts: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runner works with."""

    store: Store
    executor: Executor
    clock: Clock
    metrics: Metrics
    changes: Changes
    resources: Resources
    secrets: SecretSource
    guards: Guards
    gate: Gate


@dataclass(frozen=True, slots=True)
class Turn:
    """An action, or one item of a `for_each` action, that is to run."""

    step: Step
    key: str
    """The name in the journal: the action's, or `name[index]`."""
    own: Mapping[str, Any]
    """Names of its own scope."""


class Steps:
    """Runs single actions; the runner says which and when."""

    def __init__(self, surroundings: Surroundings, defaults: Defaults, flush: Callable[[Run], Awaitable[None]]) -> None:
        self._executor = surroundings.executor
        self._clock = surroundings.clock
        self._resources = surroundings.resources
        self._secrets = surroundings.secrets
        self._defaults = defaults
        self._flush = flush
        self._guards = surroundings.guards
        self._gate = surroundings.gate
        self.stopping = False
        """Whether no further item is begun."""

    async def run(self, run: Run, step: Step) -> None:
        """Run one action until it has ended, or waits for something."""
        if not self._approved(run, step):
            return
        if step.items is not None:
            await self._each(run, step)
        else:
            await self._once(run, Turn(step, step.name, _NOTHING))

    async def _once(self, run: Run, turn: Turn) -> None:
        """One attempt: journal its start, run it, note how it ended."""
        step = turn.step
        state = run.state.action(turn.key)
        resumed = state.status is ActionStatus.WAITING and state.error is None and state.attempt > 0
        attempt = state.attempt if resumed else state.attempt + 1
        now = self._clock.now()
        body: dict[str, Any] = {"attempt": attempt, "operation": step.plugin.name}
        try:
            call = self._call(run, turn, attempt, state.started_at or now)
            if self._gate.concerns(run.plan, step) and not await self._gate.admit(
                run, Passage(step, turn.key, call, resumed)
            ):
                return
        except AutomationError as error:
            run.note(now, "action_started", turn.key, body)
            self._failed(run, turn, attempt, error)
            return
        if call.parameters:
            # The journal shows parameters with the names of secrets, never with their values.
            hidden = bool(step.parameters.secrets)
            body["parameters"] = step.parameters.render(_scope(run, turn, attempt)) if hidden else call.parameters
        run.note(now, "action_started", turn.key, body)
        background: asyncio.Task[None] | None = None
        if step.effect == "read" and run.begun:
            # Reading changes nothing, so it need not wait for its own start to be on disk.
            background = asyncio.get_running_loop().create_task(_coroutine(self._flush, run))
        else:
            await self._flush(run)
        await self._attempt(run, turn, call)
        if background is not None:
            await background

    async def _each(self, run: Run, step: Step) -> None:
        """Run an action for each item; after a restart, for those that had not ended."""
        assert step.items is not None
        assert step.definition.for_each is not None
        state = run.state.actions[step.name]
        if state.items is None:
            body: dict[str, Any] = {"attempt": 1, "operation": step.plugin.name}
            try:
                body["items"] = _list_of(step.items.render(Scope(run.state)))
            except AutomationError as error:
                run.note(self._clock.now(), "action_started", step.name, body)
                self._failed(run, Turn(step, step.name, _NOTHING), 1, error)
                return
            run.note(self._clock.now(), "action_started", step.name, body)
            await self._flush(run)
        items = state.items or []
        turns = [Turn(step, f"{step.name}[{n}]", {"item": item, "index": n}) for n, item in enumerate(items)]
        left = iter([turn for turn in turns if not run.state.action(turn.key).status.finished])

        going = True

        async def work() -> None:
            nonlocal going
            for turn in left:
                if self.stopping or not going:
                    return
                going = await self._item(run, turn) and going

        workers = min(step.definition.for_each.concurrency, len(turns))
        tasks = [asyncio.get_running_loop().create_task(work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        self._gather(run, step, turns)

    async def _item(self, run: Run, turn: Turn) -> bool:
        """Run one item to its end, waits included; False if no further item may begin."""
        state = run.state.action(turn.key)
        self.settle(run, turn.step, turn.key)
        while not state.status.finished:
            if run.interruption is not None and not turn.step.definition.always:
                run.note(self._clock.now(), "action_cancelled", turn.key, {"reason": run.interruption[1]})
                break
            held = state.held_by == "stop"
            if state.wake_at is not None and state.wake_at > self._clock.now() and (self._guards.stopped or not held):
                await self._flush(run)
                await self._sleep(run, turn.key, state.wake_at, held=held)
                continue
            await self._once(run, turn)
        failed = state.status is ActionStatus.FAILED and turn.step.definition.on_failure == "fail"
        return not failed and run.interruption is None

    async def _sleep(self, run: Run, key: str, until: float, *, held: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        run.executing[key] = task
        try:
            wait = self._guards.released if held else self._clock.sleep
            await wait(until - self._clock.now())
        except asyncio.CancelledError:
            if run.interruption is None:
                raise
            task.uncancel()
        finally:
            run.executing.pop(key, None)

    def _gather(self, run: Run, step: Step, turns: list[Turn]) -> None:
        """The outcome of the whole from those of its items."""
        states = [run.state.action(turn.key) for turn in turns]
        now = self._clock.now()
        failed = [turn for turn, state in zip(turns, states, strict=True) if state.status is ActionStatus.FAILED]
        if run.interruption is not None and not all(state.status.finished for state in states):
            run.note(now, "action_cancelled", step.name, {"reason": run.interruption[1]})
        elif failed and step.definition.on_failure == "fail":
            error = run.state.action(failed[0].key).error or {}
            message = f"{len(failed)} of {len(turns)} items failed; {failed[0].key}: {error.get('message')}"
            run.note(now, "action_failed", step.name, {"error": {**error, "message": message}})
        elif not self.stopping or all(state.status.finished for state in states):
            results = [state.outputs for state in states]
            outputs = {"results": results, "succeeded": len(turns) - len(failed), "failed": len(failed)}
            run.note(now, "action_completed", step.name, {"outputs": outputs})

    def settle(self, run: Run, step: Step, key: str) -> None:
        """After a crash: what was under way is run again only if that is harmless or wanted."""
        state = run.state.action(key)
        if state.status is not ActionStatus.RUNNING or key in run.executing:
            return
        wanted = step.definition.on_interrupt or ("retry" if step.idempotent else "fail")
        now = self._clock.now()
        if wanted == "retry" or (key == step.name and step.items is not None):
            run.note(now, "action_waiting", key, {"until": now, "reason": "interrupted; runs again"})
        else:
            message = "the engine died while it ran; it may have done a part of its work"
            run.note(now, "action_failed", key, {"error": {"type": "Interrupted", "message": message}})
            run.fact(now, "action_execution", step.plugin.name, "interrupted", {"action": key})
            self._gate.ended(run, key)

    async def _attempt(self, run: Run, turn: Turn, call: Call) -> None:
        step, name, attempt = turn.step, turn.key, call.context.attempt
        if run.interruption is not None and not step.definition.always:
            run.note(self._clock.now(), "action_cancelled", name, {"reason": run.interruption[1]})
            return
        task = asyncio.current_task()
        assert task is not None
        run.executing[name] = task
        try:
            outputs = await self._executor.execute(call)
        except Suspend as wait:
            run.note(self._clock.now(), "action_waiting", name, {"until": wait.until, "reason": wait.reason})
        except AutomationError as error:
            self._failed(run, turn, attempt, error)
        except asyncio.CancelledError:
            if run.interruption is None:
                raise
            task.uncancel()
            now = self._clock.now()
            run.note(now, "action_cancelled", name, {"reason": run.interruption[1]})
            run.fact(now, "action_execution", step.plugin.name, "cancelled", {"action": name, "attempt": attempt})
        else:
            if self._secrets.redactor:
                outputs = self._secrets.redactor.redact_value(outputs)
            now = self._clock.now()
            run.note(now, "action_completed", name, {"outputs": outputs})
            run.fact(now, "action_execution", step.plugin.name, "succeeded", {"action": name, "attempt": attempt})
        finally:
            run.executing.pop(name, None)
            if self._guards.acts:
                self._gate.ended(run, name)

    def _approved(self, run: Run, step: Step) -> bool:
        """Whether a person has agreed where one must; if not yet, note that it waits for that."""
        state = run.state.actions[step.name]
        if state.approved is None and state.attempt == 0 and needs_approval(self._defaults.level, step):
            reason = f"{step.plugin.name} needs approval at level {self._defaults.level.value}"
            run.note(self._clock.now(), "action_waiting", step.name, {"until": None, "reason": reason})
            return False
        if state.approved is False:
            error = {"type": "Denied", "message": f"denied: {state.reason or 'no reason was given'}"}
            run.note(self._clock.now(), "action_failed", step.name, {"error": error})
            return False
        return True

    def _call(self, run: Run, turn: Turn, attempt: int, started_at: float) -> Call:
        step, definition = turn.step, turn.step.definition
        template = step.parameters
        if template.constant:
            parameters: Any = definition.parameters
        else:
            parameters = template.render(_scope(run, turn, attempt), self._secrets.get if template.secrets else None)
        context = ActionContext(
            execution_id=run.id,
            workflow=run.plan.name,
            action=turn.key,
            operation=step.plugin.name,
            attempt=attempt,
            started_at=started_at,
            timeout_seconds=definition.timeout_seconds or self._defaults.timeout_seconds,
            event=run.state.event or {},
            clock=self._clock,
            resources=self._resources,
            secret=self._secrets.get,
        )
        return Call(step.plugin, parameters, context, run.priority, step.validated)

    def _failed(self, run: Run, turn: Turn, attempt: int, error: AutomationError) -> None:
        now = self._clock.now()
        definition = turn.step.definition
        policy = definition.retry or _DEFAULT_RETRY
        attempts = policy.attempts or definition.retry_attempts or self._defaults.retry_attempts
        kind = error.details.get("kind") or type(error).__name__
        told: dict[str, Any] = {
            "type": kind,
            "message": self._secrets.redactor.redact(error.message),
            "attempt": attempt,
        }
        if "where" in error.details:
            told["where"] = error.details["where"]
        wanted = not policy.on or kind in policy.on or type(error).__name__ in policy.on
        again = error.retryable and wanted and attempt < attempts
        if again and run.interruption is None:
            retry_at = now + backoff(policy, attempt, error.details.get("after"))
            run.note(now, "action_failed", turn.key, {"error": told, "retry_at": retry_at})
        else:
            run.note(now, "action_failed", turn.key, {"error": told})
        run.fact(now, "action_execution", turn.step.plugin.name, "failed", {"action": turn.key, **told})


async def _coroutine(flush: Callable[[Run], Awaitable[None]], run: Run) -> None:
    await flush(run)


def _scope(run: Run, turn: Turn, attempt: int) -> Scope:
    return Scope(run.state, {"attempt": attempt, **turn.own})


def _list_of(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Refused(f"for_each: must be a list, not {type(value).__name__}")
    if len(value) > MAX_ITEMS:
        raise Refused(f"for_each: {len(value):,} items; at most {MAX_ITEMS:,} are allowed")
    return list(value)
