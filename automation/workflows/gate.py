"""The gate before each action that changes something: asks the guardrails, and notes what comes of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from automation.actions.call import Call
from automation.actions.target import names_service, target_of
from automation.clock import Clock
from automation.errors import AutomationError, GuardrailRefused, NotFound
from automation.model.execution import ActionStatus
from automation.model.guardrail import Act, HeldAct, Limits
from automation.model.service import Replica, ServiceDefinition
from automation.plugins import Plugin
from automation.store import guards as rows
from automation.store import statements
from automation.store.events import Decision
from automation.telemetry.metrics import Metrics
from automation.workflows.freezes import Freeze
from automation.workflows.guardrails import Intent, Refusal, Rules, decide, ends_matter, recorded
from automation.workflows.guards import Guards
from automation.workflows.plan import Plan, Step
from automation.workflows.run import Run
from automation.workflows.settled import patiently

GRACE_SECONDS = 60.0
"""How much longer than its time limit an action counts as under way of which nothing is heard any more."""

HELD_SECONDS = 86_400.0
"""How long an action waits for a stop to be lifted before it looks again by itself."""


class Platform(Protocol):
    """Runs replicas."""

    async def replicas(self, service: ServiceDefinition) -> list[Replica]:
        """Those of a service, dead ones too."""
        ...


class KnowsServices(Protocol):
    """What a blast radius has to know of services."""

    def get(self, name: str) -> ServiceDefinition:
        """The service of that name; raises NotFound."""
        ...

    def platform(self, service: ServiceDefinition) -> Platform:
        """What runs it."""
        ...


class Redacts(Protocol):
    """Hides secrets."""

    def redact(self, text: str) -> str:
        """The text with secrets replaced."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """One attempt that wants to begin."""

    step: Step
    key: str
    """The name in the journal."""
    call: Call
    resumed: bool
    """Whether the attempt has begun before."""


class Gate:
    """Lets attempts begin, or not."""

    def __init__(
        self, guards: Guards, clock: Clock, metrics: Metrics, services: KnowsServices, redactor: Redacts
    ) -> None:
        self._guards = guards
        self._clock = clock
        self._metrics = metrics
        self._services = services
        self._redactor = redactor
        settings = guards.settings
        self._general: Limits | None = settings if settings.any else None
        merged = {name: limits.over(settings) for name, limits in settings.operations.items()}
        self._operations: dict[str, Limits | None] = {
            name: limits if limits.any else None for name, limits in merged.items()
        }
        own = [limits.blast_radius.window_seconds for limits in merged.values()]
        guards.longest_blast = max([settings.blast_radius.window_seconds, *own])
        self._exempt = frozenset(settings.exempt_workflows)
        self._freezes: WeakKeyDictionary[Plan, tuple[Freeze, ...]] = WeakKeyDictionary()

    def concerns(self, plan: Plan, step: Step) -> bool:
        """Whether anything may hold this step back: asked before each attempt, so it costs next to nothing."""
        if step.effect == "read" or step.plugin.options.get("guarded") is False:
            return False
        return (
            plan.definition.guardrails is not None
            or self._guards.active
            or self._operations.get(step.plugin.name, self._general) is not None
        )

    async def admit(self, run: Run, passage: Passage) -> bool:
        """Whether the attempt may begin now. If not, what becomes of the action is noted."""
        limits = self._limits(run.plan, passage.step.plugin.name)
        if limits:
            await patiently(lambda: self._guards.reach(max(limit.longest for limit in limits)))
        intent = await self._intent(run, passage, limits)
        # From here to the end nothing is awaited: of two that ask at the same time, one comes first.
        now = self._clock.now()
        refusal = decide(intent, self._rules(run.plan, limits), self._guards.acts, now)
        if refusal is not None:
            self._refuse(run, passage, intent, refusal, now)
            return False
        self._begin(run, passage, intent, limits, now)
        return True

    def ended(self, run: Run, key: str) -> None:
        """An attempt has ended: its act is over, or goes on after a wait."""
        act = self._guards.acts.get(run.id, key)
        if act is None or act.until <= act.began_at:
            return
        state, now = run.state.action(key), self._clock.now()
        if state.status is ActionStatus.RUNNING:
            # The engine stops in the middle of it.
            return
        until = now if state.wake_at is None else state.wake_at + GRACE_SECONDS
        node = self._guards.node
        self._guards.acts.put(replace(act, until=until))
        run.write(
            statements.ACT_END(until=until, node=node, changed_at=now, where_execution_id=run.id, where_action=key)
        )

    def foresee(self, plan: Plan, step: Step, parameters: Any) -> Refusal | None:
        """What would hold a step back if it began now, as far as this node knows without asking anybody."""
        if not self.concerns(plan, step):
            return None
        limits = self._limits(plan, step.plugin.name)
        service, name, target = self._target(step.plugin, parameters)
        intent = Intent(
            plan.name,
            step.plugin.name,
            target,
            name,
            labels=self._labels(plan, service),
            priority=int(plan.definition.priority),
        )
        return decide(intent, self._rules(plan, limits), self._guards.acts, self._clock.now())

    def _rules(self, plan: Plan, limits: Sequence[Limits]) -> Rules:
        own = plan.definition.guardrails
        windows: Sequence[Freeze] = self._guards.freezes(configured=plan.name not in self._exempt)
        if own is not None and own.freezes:
            compiled = self._freezes.get(plan)
            if compiled is None:
                compiled = self._freezes[plan] = self._guards.compiled(own.freezes)
            windows = [*windows, *compiled]
        return Rules(self._guards.stopped, windows, limits)

    def _limits(self, plan: Plan, operation: str) -> list[Limits]:
        found: list[Limits] = []
        general = self._operations.get(operation, self._general)
        if general is not None and plan.name not in self._exempt:
            found.append(general)
        own = plan.definition.guardrails
        if own is not None and own.any:
            found.append(own)
            self._guards.longest_blast = max(self._guards.longest_blast, own.blast_radius.window_seconds)
        return found

    async def _intent(self, run: Run, passage: Passage, limits: Sequence[Limits]) -> Intent:
        call = passage.call
        service, name, target = self._target(call.plugin, call.parameters)
        again = passage.resumed or call.context.attempt > 1
        touched, whole = 0, 0
        if service is not None and not again and any(limit.blast_radius.share is not None for limit in limits):
            touched, whole = await self._touched(passage, service)
        return Intent(
            workflow=run.plan.name,
            operation=call.plugin.name,
            target=target,
            service=name,
            replicas=touched,
            replicas_of=whole,
            labels=self._labels(run.plan, service),
            priority=run.priority,
            again=again,
            resumed=passage.resumed,
        )

    def _target(self, plugin: Plugin, parameters: Any) -> tuple[ServiceDefinition | None, str | None, str]:
        """The service that is acted on if it is defined, its name if the target is one, and the target."""
        target = self._redactor.redact(target_of(plugin, parameters))
        if not target:
            return None, None, ""
        try:
            return self._services.get(target), target, target
        except NotFound:
            return None, target if names_service(plugin) else None, target

    def _labels(self, plan: Plan, service: ServiceDefinition | None) -> dict[str, str]:
        own = plan.definition.labels
        return {**service.labels, **own} if service is not None else own

    async def _touched(self, passage: Passage, service: ServiceDefinition) -> tuple[int, int]:
        """How many replicas the action acts on, of how many: living ones, as the dead carry nothing."""
        call = passage.call
        try:
            replicas = await self._services.platform(service).replicas(service)
        except (AutomationError, OSError):
            # Nobody knows how many there are, which is no reason to count none.
            return service.replicas, service.replicas
        living = sum(replica.alive for replica in replicas)
        count = call.plugin.options.get("touches")
        if count is None:
            return living, living
        try:
            settings = call.settings or call.read()
            return min(max(count(settings, service, replicas), 0), living), living
        except (AutomationError, ValueError):
            # Parameters that do not fit: the action itself refuses them, and acts on nothing.
            return 0, living

    def _begin(self, run: Run, passage: Passage, intent: Intent, limits: Sequence[Limits], now: float) -> None:
        until = now
        if ends_matter(intent, limits):
            until += passage.call.context.timeout_seconds + GRACE_SECONDS
        known = self._guards.acts.get(run.id, passage.key)
        held = run.state.action(passage.key).held_by is not None
        if known is not None:
            # Done once more, by a retry of the execution or in the next iteration, it is an act of now.
            began_at = known.began_at if intent.again else now
            act = replace(known, began_at=began_at, until=max(until, began_at))
            if act == known and not held:
                return
        elif not intent.again and recorded(intent, limits):
            act = Act(
                run.id,
                passage.key,
                intent.workflow,
                intent.operation,
                intent.target,
                intent.service,
                intent.replicas,
                intent.replicas_of,
                now,
                until,
            )
        else:
            if held:
                where = {"where_execution_id": run.id, "where_action": passage.key}
                run.write(statements.ACT_UNHOLD(held_by=None, **where))
            return
        self._guards.acts.put(act)
        run.write(rows.act_op(act, self._guards.node, now))

    def _refuse(self, run: Run, passage: Passage, intent: Intent, refusal: Refusal, now: float) -> None:
        key, wanted = passage.key, passage.step.definition.on_guardrail
        # Breaking off what has begun before is worse than having it wait.
        waits = refusal.waits or wanted == "wait" or passage.resumed
        if refusal.retry_at is None and refusal.guardrail != "stop":
            waits = False
        outcome = "wait" if waits else wanted if wanted != "wait" else "fail"
        known = run.state.action(key)
        if known.held_by != refusal.guardrail:
            self._tell(run, passage, refusal, outcome, now)
        if waits:
            until = refusal.retry_at if refusal.retry_at is not None else now + HELD_SECONDS
            waiting = {"until": until, "reason": str(refusal), "held_by": refusal.guardrail}
            run.note(now, "action_waiting", key, waiting)
            held = HeldAct(run.id, key, run.plan.name, intent.operation, intent.target, refusal.guardrail, now, until)
            run.write(rows.held_op(held, self._guards.node))
        elif outcome == "skip":
            run.note(now, "action_skipped", key, {"reason": str(refusal)})
        else:
            error = GuardrailRefused(guardrail=refusal.guardrail, reason=refusal.reason)
            told = {"type": type(error).__name__, "message": error.message, "guardrail": refusal.guardrail}
            run.note(now, "action_failed", key, {"error": told})

    def _tell(self, run: Run, passage: Passage, refusal: Refusal, outcome: str, now: float) -> None:
        """Once for each action and guardrail: a decision, a count, an audit row."""
        event = run.state.event or {}
        reason = f"{run.id}: {passage.key}: {refusal}"
        told = Decision(now, "guardrail", run.plan.name, outcome, reason, event.get("source"), event.get("id"))
        run.write(told.op())
        self._metrics.guardrail_refusals.labels(refusal.guardrail).inc()
        detail = {"action": passage.key, "guardrail": refusal.guardrail, "reason": refusal.reason, "then": outcome}
        run.fact(now, "action_execution", passage.step.plugin.name, "refused", detail)
