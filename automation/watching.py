"""What watches the world while the engine runs: monitors, sources and schedules, joined to the rest and kept in step
with the definitions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial

from automation.clock import Clock
from automation.errors import AutomationError
from automation.infrastructure.cancelling import end
from automation.infrastructure.services import Services
from automation.model.execution import WorkflowStatus
from automation.model.metric import Sample
from automation.model.schedule import MonitorDefinition, ScheduleDefinition, SourceDefinition
from automation.monitoring.availability import Availability, History
from automation.monitoring.checks import CheckState
from automation.monitoring.collector import EngineFigures
from automation.monitoring.collectors.promql import PromqlCollector
from automation.monitoring.monitor import Monitor, Outlets, Watch
from automation.plugins import no_secret, revealed
from automation.schedules.scheduler import Scheduler
from automation.sources.supervisor import Publisher, SourceSupervisor
from automation.store import executions, records, statements
from automation.store.store import Store

log = logging.getLogger("automation.watching")


class StoredChecks:
    """The states of checks, as the monitor wants them kept."""

    prefix = "check."

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def load(self) -> dict[str, CheckState]:
        """All states, by key."""
        found = await records.all_positions(self._store, self.prefix)
        return {key: CheckState(**body) for key, body in found.items()}

    async def save(self, key: str, state: CheckState | None) -> None:
        """Store one state; None forgets it."""
        name = self.prefix + key
        if state is None:
            await self._store.commit([statements.POSITION_DELETE(where_name=name)])
        else:
            await self._store.commit([records.save_position(name, asdict(state), self._clock.now())])


class Watching:
    """Runs monitors, sources and schedules."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        services: Services,
        publisher: Publisher,
        observe: Callable[[Sample], Awaitable[object]],
        history: History,
        interval: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._services = services
        self._publish = publisher.publish
        self._observe = observe
        self._history = history
        self._availability = Availability()
        self._interval = interval
        self._monitors: tuple[MonitorDefinition, ...] = ()
        self._started = False
        self._starting: asyncio.Task[None] | None = None
        self._secret: Callable[[str], str] = no_secret
        self._redact: Callable[[str], str] = str
        self.monitor = self._new_monitor()
        positions = partial(records.all_positions, store)
        self.sources = SourceSupervisor(clock, publisher, positions, store.commit_patiently)
        self.scheduler = Scheduler(clock, publisher.publish, positions, store.commit_patiently)

    def confide(self, secret: Callable[[str], str], redact: Callable[[str], str]) -> None:
        """Use `secret` for what stands for `${secret:NAME}` in settings of sources and monitors, and `redact` to hide
        secrets in the text of errors."""
        self._secret, self._redact = secret, redact
        self.sources.confide(secret, redact)
        self.monitor.confide(secret, redact)

    async def start(self) -> None:
        """Begin to watch."""
        self._started = True
        await self._availability.restore(self._history, self._clock.now())
        await self.monitor.start()
        await self.sources.start()
        await self.scheduler.start()
        self._start_services()

    async def stop(self) -> None:
        """Stop watching; services go on running."""
        self._started = False
        if self._starting is not None:
            await end(self._starting)
        await self.scheduler.stop()
        await self.sources.stop()
        await self.monitor.stop()

    async def follow_schedules(self, wanted: dict[str, ScheduleDefinition]) -> None:
        """Follow these schedules, and no others."""
        known = self.scheduler.definitions
        for name in sorted(set(known) - set(wanted)):
            await self.scheduler.remove(name)
        for name, schedule in wanted.items():
            if known.get(name) != schedule:
                await self.scheduler.add(schedule)

    async def follow(self, sources: Sequence[SourceDefinition], monitors: Sequence[MonitorDefinition]) -> None:
        """Run these sources and monitors, and no others; raises DefinitionError."""
        for name in sorted(set(self.sources.definitions) - {source.name for source in sources}):
            await self.sources.remove(name)
        for source in sources:
            await self.sources.add(source)
        if tuple(monitors) != self._monitors:
            self._monitors = tuple(monitors)
            new = self._new_monitor()
            await self.monitor.stop()
            self.monitor = new
            if self._started:
                await new.start()
        if self._started:
            self._start_services()

    def promql_queries(self) -> dict[str, PromqlCollector]:
        """The metrics that monitors get from a Prometheus, each with what is asked for it."""
        found = {}
        for monitor in self._monitors:
            if monitor.type == "promql":
                settings = revealed(monitor.settings, self._secret)
                query = PromqlCollector.model_validate(settings)
                found[query.metric] = query
        return found

    def _new_monitor(self) -> Monitor:
        watches = [
            Watch("process", "process", self._interval),
            Watch("health", "http_health", self._interval),
            *(
                Watch(monitor.name, monitor.type, monitor.interval_seconds or self._interval, monitor.settings)
                for monitor in self._monitors
            ),
        ]
        states = StoredChecks(self._store, self._clock)
        outlets = Outlets(self._observe, self._publish, states, self._availability)
        monitor = Monitor(watches, self._services, self._clock, outlets, self._figures)
        monitor.confide(self._secret, self._redact)
        return monitor

    async def _figures(self) -> EngineFigures:
        counted = await executions.counts(self._store)
        return EngineFigures(
            executions={status.value: counted.get(status, 0) for status in WorkflowStatus},
            oldest_unfinished=await executions.oldest_unfinished(self._store),
            pending_writes=self._store.pending,
            source_lag={name: state.lag for name, state in self.sources.states.items() if state.lag is not None},
        )

    def _start_services(self) -> None:
        wanted = [service for service in self._services.all() if service.autostart]
        if wanted and (self._starting is None or self._starting.done()):
            self._starting = asyncio.get_running_loop().create_task(self._start_missing(), name="automation-autostart")

    async def _start_missing(self) -> None:
        """Start services that have no replicas at all. A dead replica is the business of health checks."""
        for service in self._services.all():
            if not service.autostart:
                continue
            try:
                platform = self._services.platform(service)
                if not await platform.replicas(service):
                    log.info("starting %d replicas of %s", service.replicas, service.name)
                    await platform.scale(service, service.replicas)
            except AutomationError as error:
                log.error("service %s does not start: %s", service.name, error.message)
