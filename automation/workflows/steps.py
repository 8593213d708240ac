"""Runs one action of an execution: approval, parameters, attempts, and what the journal says of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from automation.actions.call import Call
from automation.actions.context import ActionContext, Await, Suspend
from automation.errors import ActionTimeout, AutomationError, ChildFailed
from automation.model.execution import ActionStatus
from automation.store.events import Decision
from automation.workflows.arrivals import Arrivals
from automation.workflows.asking import INTERRUPTED
from automation.workflows.budget import Budgets
from automation.workflows.durations import seconds_in
from automation.workflows.each import Each
from automation.workflows.gate import Passage
from automation.workflows.heartbeats import Heartbeat, Keeper
from automation.workflows.iterations import repeats
from automation.workflows.plan import Step
from automation.workflows.run import SHORT_WAIT, WORKFLOW, Run, Turn, attempts_of, backoff, policy_of
from automation.workflows.state import Scope
from automation.workflows.surroundings import Defaults, Surroundings
from automation.workflows.verification import Verification

_NOTHING: Mapping[str, Any] = {}


class Steps:
    """Runs single actions; the runner says which and when."""

    def __init__(self, surroundings: Surroundings, defaults: Defaults, flush: Callable[[Run], Awaitable[None]]) -> None:
        self._executor = surroundings.executor
        self._clock = surroundings.clock
        self._resources = surroundings.resources
        self._secrets = surroundings.secrets
        self._consent = surroundings.consent
        self._defaults = defaults
        self._flush = flush
        self._each = Each(self, self._clock, surroundings.guards, flush)
        self._arrivals = Arrivals(surroundings.waits, surroundings.store, self._clock, flush)
        self._verification = Verification(self._clock, surroundings.samples, defaults.verify_within_seconds, flush)
        self._guards = surroundings.guards
        self._measure = surroundings.samples.measure
        self._gate = surroundings.gate
        self._metrics = surroundings.metrics
        secrets = surroundings.secrets
        self._heartbeats = Keeper(self._clock, flush, lambda said: secrets.redactor.redact_value(said))
        self._budgets = Budgets(defaults.retry_budget, self._clock.monotonic)
        self.stopping = False
        """Whether no further item is begun."""

    async def run(self, run: Run, step: Step) -> None:
        """Run one action until it has ended, or waits for something."""
        if step.delay is not None and self._held_back(run, step):
            return
        if not await self._consent.given(run, step):
            return
        if step.items is not None:
            await self._each.run(run, step)
        else:
            await self.once(run, Turn(step, step.name, _NOTHING))

    async def once(self, run: Run, turn: Turn) -> None:
        """One attempt: journal its start, run it, note how it ended."""
        step = turn.step
        state = run.state.action(turn.key)
        if state.approval is not None and turn.key != step.name and not await self._consent.given(run, step, turn.key):
            # An item that was interrupted, and about which a person is asked.
            return
        if state.verifying is not None:
            # Its work is done: a restart goes on with the verification.
            await self._attempt(run, turn, state.attempt, None)
            return
        event: Mapping[str, Any] | None = run.state.event
        if step.wait_for is not None:
            event = await self._come(run, turn)
            if event is None:
                return
        wait = state.wait
        if state.awaits == WORKFLOW and self._late(run, turn):
            return
        resumed = state.status is ActionStatus.WAITING and state.error is None and state.attempt > 0
        attempt = state.attempt if resumed else state.attempt + 1
        now = self._clock.now()
        body: dict[str, Any] = {"attempt": attempt, "operation": step.plugin.name}
        try:
            began = state.began_at if state.iteration > 1 else state.started_at
            call = self._call(run, turn, attempt, began or now, event)
            if self._gate.concerns(run.plan, step) and not await self._gate.admit(
                run, Passage(step, turn.key, call, resumed)
            ):
                return
        except AutomationError as error:
            run.note(now, "action_started", turn.key, body)
            self.failed(run, turn, attempt, error)
            return
        if call.parameters:
            # The journal shows parameters with the names of secrets, never with their values.
            hidden = bool(step.parameters.secrets)
            body["parameters"] = step.parameters.render(_scope(run, turn, attempt)) if hidden else call.parameters
        run.note(now, "action_started", turn.key, body)
        if attempt == 1 and not resumed:
            self._budgets.began(run.plan.definition)
        background: asyncio.Task[None] | None = None
        if step.effect == "read" and run.begun:
            # Reading changes nothing, so it need not wait for its own start to be on disk.
            background = asyncio.get_running_loop().create_task(_coroutine(self._flush, run))
        else:
            await self._flush(run)
        await self._attempt(run, turn, attempt, call)
        if wait is not None and state.awaits is None:
            self._arrivals.forget(run, wait)
        if background is not None:
            await background

    def settle(self, run: Run, step: Step, key: str) -> None:
        """After a crash: what was under way is run again only if that is harmless or wanted."""
        state = run.state.action(key)
        if state.status is not ActionStatus.RUNNING or key in run.executing:
            return
        times = state.interruptions + 1
        wanted = step.if_interrupted(times)
        now = self._clock.now()
        if state.verifying is not None:
            run.note(now, "action_waiting", key, {"until": now, "reason": "interrupted; its verification goes on"})
        elif wanted == "retry" or (key == step.name and step.items is not None):
            again = {"until": now, "reason": "interrupted; runs again", "interruptions": times}
            run.note(now, "action_waiting", key, again)
        elif wanted == "ask":
            self._consent.ask_interrupted(run, step, key)
            run.fact(now, "action_execution", step.plugin.name, "interrupted", {"action": key})
            self._gate.ended(run, key)
        else:
            run.note(now, "action_failed", key, {"error": {"type": "Interrupted", "message": INTERRUPTED}})
            run.fact(now, "action_execution", step.plugin.name, "interrupted", {"action": key})
            self._gate.ended(run, key)

    async def _attempt(self, run: Run, turn: Turn, attempt: int, call: Call | None) -> None:
        step, name = turn.step, turn.key
        if run.interruption is not None and not step.definition.always:
            run.note(self._clock.now(), "action_cancelled", name, {"reason": run.interruption[1]})
            if self._guards.acts:
                self._gate.ended(run, name)
            return
        task = asyncio.current_task()
        assert task is not None
        run.executing[name] = task
        pulse = call.pulse if call is not None else None
        try:
            if call is not None:
                outputs = await self._executor.execute(call)
            if step.verify is not None:
                outputs = await self._verified(run, turn, outputs if call is not None else None)
        except Await as awaited:
            self._await(run, turn, awaited)
        except Suspend as wait:
            run.note(self._clock.now(), "action_waiting", name, {"until": wait.until, "reason": wait.reason})
        except AutomationError as error:
            if pulse is not None:
                # Before it: the next attempt goes on from there.
                pulse.note()
            self.failed(run, turn, attempt, error)
        except asyncio.CancelledError:
            if run.interruption is None or step.definition.always:
                # It is the engine that stops, and leaves it to whoever takes it up: cleanup is not interrupted.
                raise
            task.uncancel()
            now = self._clock.now()
            run.note(now, "action_cancelled", name, {"reason": run.interruption[1]})
            run.fact(now, "action_execution", step.plugin.name, "cancelled", {"action": name, "attempt": attempt})
        else:
            if self._secrets.redactor:
                outputs = self._secrets.redactor.redact_value(outputs)
            now = self._clock.now()
            if step.repeat is not None and repeats(run, turn, outputs, now, self._measure):
                return
            run.note(now, "action_completed", name, {"outputs": outputs})
            run.fact(now, "action_execution", step.plugin.name, "succeeded", {"action": name, "attempt": attempt})
        finally:
            run.executing.pop(name, None)
            if self._guards.acts:
                self._gate.ended(run, name)
            if pulse is not None and pulse.used:
                await pulse.close()

    def _await(self, run: Run, turn: Turn, awaited: Await) -> None:
        """Note that an action waits for what a stored wait stands for: no longer than its own limit, if it has one."""
        state, now, limit = run.state.action(turn.key), self._clock.now(), turn.step.definition.timeout_seconds
        until = None if limit is None else (state.attempt_at or now) + limit
        body = {"until": until, "reason": awaited.reason, "wait": awaited.wait, "for": awaited.what}
        run.note(now, "action_awaits", turn.key, body)
        run.lingers_until = now + SHORT_WAIT

    def _late(self, run: Run, turn: Turn) -> bool:
        """Whether the time of an action is over before the workflow ended that it has started.

        That is ended then, and the action fails when it has: what comes next does not begin beside it.
        """
        state = run.state.action(turn.key)
        come, _ = run.met.pop(turn.key, (None, None))
        if come == state.wait or state.wait is None or state.wake_at is None or state.late is not None:
            return False
        now = self._clock.now()
        late = f"took longer than its limit of {turn.step.definition.timeout_seconds:g} s"
        run.stop_child(state.wait, late)
        body = {"until": None, "reason": late, "wait": state.wait, "for": WORKFLOW, "late": late}
        run.note(now, "action_awaits", turn.key, body)
        run.lingers_until = now + SHORT_WAIT
        return True

    async def _come(self, run: Run, turn: Turn) -> Mapping[str, Any] | None:
        """The event that an action waits for, once it has come."""
        try:
            return await self._arrivals.come(run, turn)
        except AutomationError as error:
            attempt = run.state.action(turn.key).attempt + 1
            body = {"attempt": attempt, "operation": turn.step.plugin.name}
            run.note(self._clock.now(), "action_started", turn.key, body)
            self.failed(run, turn, attempt, error)
            return None

    async def _verified(self, run: Run, turn: Turn, outputs: Any) -> Any:
        """What the operation returned or, if that is not given, had returned before a restart, once it is verified."""
        check = turn.step.verify
        assert check is not None
        if outputs is not None:
            await self._verification.begin(run, turn, check, self._secrets.redactor.redact_value(outputs))
        await self._verification.watch(run, turn, check)
        return run.state.action(turn.key).outputs

    def _held_back(self, run: Run, step: Step) -> bool:
        """Whether its delay begins now, or cannot be known; if so, that is noted."""
        assert step.delay is not None
        if run.state.actions[step.name].status is not ActionStatus.PENDING:
            return False
        now = self._clock.now()
        turn = Turn(step, step.name, _NOTHING)
        try:
            seconds = seconds_in(step.delay, _scope(run, turn, 1), "delay")
        except AutomationError as error:
            run.note(now, "action_started", step.name, {"attempt": 1, "operation": step.plugin.name})
            self.failed(run, turn, 1, error)
            return True
        if seconds > 0:
            body = {"until": now + seconds, "reason": f"is held back for {seconds:g} s"}
            run.note(now, "action_delayed", step.name, body)
        return seconds > 0

    def _call(self, run: Run, turn: Turn, attempt: int, started_at: float, event: Mapping[str, Any] | None) -> Call:
        step, definition = turn.step, turn.step.definition
        template = step.parameters
        if template.constant:
            parameters: Any = definition.parameters
        else:
            parameters = template.render(_scope(run, turn, attempt), self._secrets.get if template.secrets else None)
        silent = definition.heartbeat_timeout_seconds
        pulse = Heartbeat(self._heartbeats, run, turn.key, silent)
        context = ActionContext(
            execution_id=run.id,
            workflow=run.plan.name,
            action=turn.key,
            operation=step.plugin.name,
            attempt=attempt,
            started_at=started_at,
            iteration=run.state.action(turn.key).iteration,
            timeout_seconds=definition.timeout_seconds or self._defaults.timeout_seconds,
            heartbeat_timeout_seconds=silent,
            last_heartbeat=run.state.action(turn.key).heartbeat,
            event=event or _NOTHING,
            clock=self._clock,
            resources=self._resources,
            secret=self._secrets.get,
            hears=pulse.beat,
        )
        return Call(step.plugin, parameters, context, run.priority, step.validated, room=run.room, pulse=pulse)

    def failed(self, run: Run, turn: Turn, attempt: int, error: AutomationError) -> None:
        """Note that an attempt has failed, and whether and when there is another."""
        now = self._clock.now()
        definition = turn.step.definition
        policy = policy_of(definition)
        kind = error.details.get("kind") or type(error).__name__
        if (late := run.state.action(turn.key).late) is not None:
            error = ChildFailed(f"{late}; {error.message}", **error.details)
            kind = ActionTimeout.__name__
        told: dict[str, Any] = {
            "type": kind,
            "message": self._secrets.redactor.redact(error.message),
            "attempt": attempt,
        }
        told |= {name: error.details[name] for name in ("where", "execution_id") if name in error.details}
        named = kind in policy.on or type(error).__name__ in policy.on
        wanted = named if policy.on else error.retryable
        again = wanted and attempt < attempts_of(definition, self._defaults.retry_attempts)
        again = again and run.interruption is None
        if again and (refused := self._budgets.refusal(run.plan.definition)) is not None:
            again = False
            told["retry_refused"] = f"{refused[0]} is spent: {refused[1]}"
            told["message"] += f"; it is not tried again: {told['retry_refused']}"
            reason = f"{run.id}: {turn.key}: {told['retry_refused']}"
            run.write(Decision(now, "retry_budget", run.plan.name, "refused", reason).op())
            self._metrics.retries_refused.labels(run.plan.name).inc()
        if again:
            retry_at = now + backoff(policy, attempt, error.details.get("after"))
            run.note(now, "action_failed", turn.key, {"error": told, "retry_at": retry_at})
        else:
            run.note(now, "action_failed", turn.key, {"error": told})
        run.fact(now, "action_execution", turn.step.plugin.name, "failed", {"action": turn.key, **told})


async def _coroutine(flush: Callable[[Run], Awaitable[None]], run: Run) -> None:
    await flush(run)


def _scope(run: Run, turn: Turn, attempt: int) -> Scope:
    own = {"attempt": attempt, **turn.own}
    if turn.step.repeat is not None:
        own["iteration"] = run.state.action(turn.key).iteration
    return Scope(run.state, own)
