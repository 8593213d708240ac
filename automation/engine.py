"""The engine: the one composition root. It builds the parts, joins them, starts and stops them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from automation.actions.builtin.notification import Notifier as NotifierProtocol
from automation.actions.builtin.workflow import SubWorkflows
from automation.actions.call import Middleware
from automation.actions.circuits import Breakers
from automation.actions.context import Resources
from automation.actions.executor import Executor
from automation.alerts.book import AlertBook
from automation.catalogue import Catalogue
from automation.clock import Clock, RealClock, VirtualClock
from automation.config import AutomationConfig
from automation.definitions import Definitions
from automation.errors import Conflict, EngineStopped
from automation.garbage import looked_for_after
from automation.hindsight import Hindsight
from automation.infrastructure.outgoing import HttpLimits
from automation.infrastructure.services import Services
from automation.model.alert import AlertRule
from automation.model.event import Event, EventReceipt
from automation.model.execution import ExecutionContext, ExecutionResult, WorkflowStatus
from automation.model.metric import Sample
from automation.model.workflow import WorkflowDefinition
from automation.monitoring.room import Samples
from automation.notifications.notifier import Notifier
from automation.queries import Queries
from automation.retention.keeper import Keeper
from automation.schedules.cron import parse_cron
from automation.security.secrets import Secrets
from automation.security.tokens import Tokens
from automation.sources.figures import show_sources
from automation.store import executions
from automation.store.executions import Asked
from automation.store.statement import Op
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.telemetry.metrics import Metrics
from automation.triggers.room import Triggers
from automation.triggers.rules import Rule
from automation.watching import Watching
from automation.workflows.approvals import Approvals
from automation.workflows.consent import Consent
from automation.workflows.control import Executions
from automation.workflows.family import Family
from automation.workflows.gate import Gate
from automation.workflows.guards import Guards
from automation.workflows.manager import WorkflowManager
from automation.workflows.plan import Plan, Step
from automation.workflows.recovery import Recovery
from automation.workflows.run import Run
from automation.workflows.runner import Runner
from automation.workflows.seats import Seats
from automation.workflows.starts import Cause, Starter, check_start
from automation.workflows.surroundings import Defaults, Surroundings
from automation.workflows.waits import Waits


class AutomationEngine:
    """Watches, decides and acts. Use it as `async with AutomationEngine(config) as engine`."""

    def __init__(
        self,
        config: AutomationConfig | None = None,
        *,
        clock: Clock | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        """`middleware` is run around each attempt of each action, inside of the engine's own."""
        self.config = config = config or AutomationConfig()
        self.clock = clock = clock or RealClock()
        self.metrics = Metrics()
        self.changes = Changes()
        self.resources = Resources()
        self.store = Store.of(config)
        self.metrics.watch_store(lambda: self.store.commits, lambda: self.store.pending)
        if isinstance(clock, VirtualClock):
            clock.watch(lambda: self.store.under_way)
        self.queries = Queries(self.store)
        self.secrets = Secrets(config.data_dir / "secrets")
        self.tokens = Tokens(self.store, config.security, clock)
        self.services = Services(config.data_dir / "services", clock)
        self.samples = Samples(self.store, clock, self.metrics, config.metrics)
        self.metric_store = self.samples.recent
        self._executor = self._build_executor(config, clock, middleware)
        self.guardrails = Guards(config.guardrails, self.store, clock, self.changes, parse_cron)
        self._gate = Gate(self.guardrails, clock, self.metrics, self.services, self.secrets.redactor)
        self._awaited = Waits(self.store, clock, self.samples.measure)
        self._consent = Consent(self.store, clock, config.level, config.approvals)
        self._defaults = Defaults.of(config)
        self._recovery = Recovery(
            self.store, clock, config.store.lease_seconds, self._launch, self._heed, self._call, self._awaited
        )
        self._runner = Runner(self._surroundings(), self._defaults, self._recovery.poke)
        self._awaited.deliver = self._runner.deliver
        self.guardrails.on_release += [self._runner.wake, self._recovery.poke]
        self._seats = Seats(self.store, clock, self._recovery, self._launch)
        self._runner.look_for_seat = self._seats.look
        self._recovery.rounds.append(self._seats.look_everywhere)
        self._starter = Starter(self._surroundings(), self._runner, self._recovery, self._seats, self._plan)
        self.approvals = Approvals(self.store, clock, self.changes, self._consent)
        self.approvals.wakes(self._runner, self._recovery)
        self.executions = Executions(self.store, clock, self._runner, self._recovery, self._starter, self.approvals)
        self.executions.order = self._order
        self.triggers: Triggers[Run] = Triggers(self.store, clock, self.metrics, self.changes, self._starter)
        self._dispatcher = self.triggers.dispatcher
        self._recovery.rounds.append(self.triggers.refresh)
        self._dispatcher.awaited = self._awaited
        self._dispatcher.retain = config.events.retain
        self._consent.announce = self._dispatcher.announce
        self._build_watching(config, clock)
        self.metrics.before_render.append(self._refresh_metrics)
        self._exit: AsyncExitStack | None = None

    def _build_executor(self, config: AutomationConfig, clock: Clock, middleware: Sequence[Middleware]) -> Executor:
        """What runs single actions."""
        self.breakers = Breakers(config.performance.circuit_breaker, self.store, clock, self.metrics, self._announce)
        self.breakers.redact = self.secrets.redactor.redact
        return Executor(self.metrics, clock, config, middleware, breakers=self.breakers.middleware)

    def _build_watching(self, config: AutomationConfig, clock: Clock) -> None:
        """What sees the world and tells people of it."""
        self.alerts = AlertBook(self.store, clock, self.metrics, self.changes, self._dispatcher.publish)
        self.alerts.look_at(self.samples.windows)
        self.triggers.measure = self.samples.measure
        self._intake = self.samples.leading_to(self.alerts, self.triggers.thresholds)
        self._dispatcher.accompany(self.alerts)
        self.catalogue = Catalogue(
            self.store, clock, self._dispatcher.index, self.alerts, self.services, self._defaults
        )
        take, past = self._intake.take, self.samples.history
        self.watching = Watching(
            self.store, clock, self.services, self._dispatcher, take, past, config.monitoring_interval
        )
        self.watching.confide(self.secrets.get, self.secrets.redactor.redact)
        self.watching.sources.tell = lambda state: self.changes.tell("source", state.name, state.status)
        queries = self.watching.promql_queries
        self.hindsight = Hindsight(self.samples.history, self.alerts, clock, self.explain, queries)
        self._retention = Keeper(self.store, clock, config, self.metrics)
        limits = HttpLimits(config.http.allow_private_addresses)
        self.notifier = Notifier(self.store, config.notifications, clock, limits, self.metrics.notified)
        self.resources.provide(Services, self.services)
        self.resources.provide(HttpLimits, limits)
        self.resources.provide(NotifierProtocol, self.notifier)
        self.resources.provide(SubWorkflows, Family(self.store, clock, self._runner, self._recovery, self._starter))

    @property
    def hindrances(self) -> list[str]:
        """Why it is not ready to serve, each in a sentence; empty when it is ready."""
        if self._exit is None:
            return ["the engine is not started"]
        found = [] if self._recovery.recovered else ["recovery has not looked at all unfinished executions yet"]
        failure = self.store.writable
        return found if failure is None else [*found, failure]

    @property
    def workflow_manager(self) -> WorkflowManager:
        """The registered workflows."""
        return self.catalogue.workflows

    async def start(self, *, watch: bool = True) -> None:
        """Open the database, take up what an earlier engine left, begin to watch. Raises StoreError.

        Without `watch`, monitors, sources and schedules stay off: for running single workflows beside a service.
        """
        if self._exit is not None:
            raise Conflict("the engine is running already")
        if self.config.database_url is None:
            # The default place is ours to make; a folder that somebody named must be there.
            self.config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            stack.enter_context(looked_for_after(self.config.performance.garbage_threshold))
            await self.store.open()
            stack.push_async_callback(self.store.close)
            await self.samples.history.start()
            stack.push_async_callback(self.samples.history.stop)
            stack.callback(self._executor.close)
            await self.breakers.start()
            stack.push_async_callback(self.breakers.stop)
            await self._awaited.load()
            await self.guardrails.open(self._recovery.node)
            stack.push_async_callback(self.guardrails.close)
            await self._recovery.start()
            stack.push_async_callback(self._recovery.stop)
            stack.push_async_callback(self._runner.stop, 5.0)
            stack.push_async_callback(self._seats.stop)
            await self.alerts.start()
            stack.push_async_callback(self.alerts.stop)
            await self.triggers.start()
            stack.push_async_callback(self.triggers.stop)
            stack.push_async_callback(self.tokens.close)
            await self.catalogue.restore()
            await self.catalogue.save()
            self._recovery.work()
            if watch:
                await self.watching.follow_schedules(self.catalogue.schedules)
                await self.watching.start()
                stack.push_async_callback(self.watching.stop)
                self._retention.start()
                stack.push_async_callback(self._retention.stop)
            self._exit = stack.pop_all()

    async def stop(self) -> None:
        """Stop: running actions get a few seconds to end; what does not end is taken up by the next start."""
        if self._exit is not None:
            stack, self._exit = self._exit, None
            await stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def register_workflow(self, workflow: WorkflowDefinition) -> bool:
        """Register a workflow and store its version. True, or raises DefinitionError with every problem at once.

        What is only doubtful is logged as a warning; `catalogue.warnings(workflow)` gives it.
        """
        self.workflow_manager.register_workflow(workflow)
        await self._save()
        return True

    def register_alert_workflow(self, alert_config: Mapping[str, Any] | AlertRule) -> None:
        """Register an alert rule with its actions; raises DefinitionError with every problem at once."""
        self.catalogue.add_alert(alert_config)

    async def apply(self, definitions: Definitions, *, actor: str = "local") -> None:
        """Put the definitions of files in force, in the place of those applied before.

        Raises DefinitionError, and changes nothing, if any is wrong.
        """
        self.catalogue.apply(definitions)
        await self.watching.follow(definitions.sources, definitions.monitors)
        await self._save(actor)

    async def save(self, *, actor: str = "local", keep: bool = False) -> None:
        """Store what was registered or removed through `workflow_manager` and `catalogue`, as done by this actor.

        With `keep`, it is registered again when the engine is started next.
        """
        await self._save(actor, keep)

    async def execute_workflow(self, workflow_name: str, context: ExecutionContext | None = None) -> ExecutionResult:
        """Start a workflow and wait for its end. Raises NotFound, InputError, Conflict."""
        plan, variables, cause = await self._order(workflow_name, context, None)
        return await self._starter.execute(plan, variables, cause)

    async def start_workflow(
        self, workflow_name: str, context: ExecutionContext | None = None, *, idempotency_key: str | None = None
    ) -> str:
        """Start a workflow; returns the execution's id once the start is on disk.

        The same key again gives the same execution; with other inputs it raises DuplicateKey.
        """
        started = await self.executions.start(workflow_name, context, idempotency_key=idempotency_key)
        return started.execution_id

    async def wait_for(self, execution_id: str) -> ExecutionResult:
        """Wait for the end of an execution."""
        self._running()
        return await self._starter.result(execution_id)

    async def get_workflow_status(self, execution_id: str) -> WorkflowStatus:
        """Where an execution is in its life; raises NotFound."""
        self._running()
        return (await self.queries.execution(execution_id)).status

    async def cancel(self, execution_id: str, reason: str = "", *, actor: str = "local") -> None:
        """End an execution: running handlers are cancelled, cleanup runs. Raises NotFound, Conflict if it has ended."""
        self._running()
        await self.executions.cancel(execution_id, reason, actor=actor)

    async def decide(
        self, execution_id: str, action: str | None, agreed: bool, *, reason: str = "", actor: str = "local"
    ) -> None:
        """Approve or deny a proposed execution, or an action that waits for approval. Raises NotFound, Conflict."""
        self._running()
        await self.executions.decide(execution_id, action, agreed, reason=reason, actor=actor)

    async def publish(self, event: Event) -> EventReceipt:
        """Take an event in. Returns when it and all it starts are on disk; raises InputError."""
        await self._save()
        return await self._dispatcher.publish(event)

    async def publish_many(self, events: Sequence[Event]) -> list[EventReceipt]:
        """The same for many at once, in their order; raises InputError, before any is taken in, that says which."""
        await self._save()
        return await self._dispatcher.publish_many(events)

    def explain(self, event: Event) -> list[tuple[Rule, str | None]]:
        """Every rule that would be considered for the event now, with why it does not start its workflow, or None."""
        return [(rule, reason) for rule, reason, _ in self.triggers.explain(event)]

    async def observe(
        self,
        name: str,
        value: float,
        *,
        subject: str = "",
        labels: Mapping[str, str] | None = None,
        time: float | None = None,
    ) -> None:
        """Take in one sample of a metric: recent windows keep it, alert rules that name it are evaluated.

        Raises InputError for a value or a time that is no number.
        """
        if self.catalogue.unsaved or self._exit is None:
            await self._save()
        at = self.clock.now() if time is None else time
        of = dict(labels) if isinstance(labels, Mapping) else labels or {}
        await self._intake.take(Sample(name=name, value=value, subject=subject, labels=of, time=at))

    async def observe_many(self, samples: Iterable[Sample], refused: MutableMapping[str, int] | None = None) -> int:
        """Take in samples, in their order; how many were not refused. `refused` counts the others by their reason."""
        await self._save()
        return await self._intake.take_many(samples, refused)

    async def drain(self, timeout: float = 60.0) -> None:
        """Return when nothing is left to run; waits for timers and people are not counted. Raises TimeoutError."""
        self._running()
        end = self.clock.monotonic() + timeout
        while True:
            if not self._runner.runs and not self._seats.busy and self._recovery.recovered:
                left = await executions.unfinished_count(self.store) - len(self._recovery.blocked)
                if left <= 0:
                    return
            if self.clock.monotonic() >= end:
                raise TimeoutError(f"{len(self._runner.runs)} executions are still running after {timeout:g} s")
            await self.clock.sleep(0.02)

    async def _order(
        self, name: str, context: ExecutionContext | None, key: str | None
    ) -> tuple[Plan, Mapping[str, Any], Cause]:
        await self._save()
        context = context or ExecutionContext()
        plan = self._plan(name)
        check_start(plan, context.variables, context.event)
        return plan, context.variables, Cause(context.actor, "asked for", context.event, key)

    async def _save(self, actor: str = "local", keep: bool = False) -> None:
        self._running()
        if self.catalogue.unsaved:
            await self.catalogue.save(actor, keep=keep)
            await self.watching.follow_schedules(self.catalogue.schedules)
            self._recovery.poke()
            self.changes.tell("definitions", "")

    async def _announce(self, event: Event, ops: Sequence[Op]) -> None:
        await self._dispatcher.publish(event, also=ops)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            self.store,
            self._executor,
            self.clock,
            self.metrics,
            self.changes,
            self.resources,
            self.secrets,
            self.samples,
            self.guardrails,
            self._gate,
            self._awaited,
            self._consent,
        )

    def _refresh_metrics(self) -> None:
        show_sources(self.metrics, self.watching.sources.states)
        for service, percent in self.watching.monitor.availability().items():
            self.metrics.availability.labels(service).set(percent)

    def _running(self) -> None:
        if self._exit is None:
            raise EngineStopped()

    def _plan(self, name: str) -> Plan:
        return self.catalogue.workflows.plan(name)

    def judge(self, plan: Plan, step: Step, parameters: Any) -> str | None:
        """What would hold a step back now, for a dry run; None if nothing would."""
        refusal = self._gate.foresee(plan, step, parameters)
        circuit = self.breakers.foresee(step.plugin, parameters, plan.name, step.name)
        return circuit if refusal is None else str(refusal)

    def _heed(self, asked: Asked) -> None:
        self._runner.heed(asked)

    def _call(self, execution_id: str) -> None:
        self._runner.call(execution_id)

    def _launch(self, run: Run) -> None:
        self._runner.launch(run)
