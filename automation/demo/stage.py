"""What the demonstration plays on: an engine on an embedded database, the service, the load, the Slack receiver.

All of it is real and in one folder. Whatever happens, leaving the stage ends every process that was started.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from automation.config import Api, Audit, AutomationConfig, Events, Http, Notifications, Slack, Store
from automation.definitions import Definitions, read_or_raise
from automation.demo.receiver import Receiver
from automation.demo.traffic import Traffic
from automation.engine import AutomationEngine
from automation.errors import AutomationError, InputError
from automation.infrastructure import processes
from automation.infrastructure.replica_records import ReplicaRecords
from automation.model.event import Event
from automation.model.service import Replica, ServiceDefinition
from automation.model.workflow import AutomationLevel

SERVICE = "playback-api"
RESTART = "service_restart_workflow"
ALERT = "high_cpu_usage"
_HERE = {"PYTHONPATH": str(Path(__file__).parents[2])}
# What is started finds this package, wherever that is and from wherever this is started.
DEFINITIONS = Path(__file__).parent / "automation.d" / "demo.yaml"
Prepare = Callable[[AutomationEngine], object]
INTERVAL = 1.0
"""Seconds between two rounds of health checks and measurements."""


@dataclass(frozen=True)
class Stage:
    """The parts that the story plays with."""

    directory: Path
    engine: AutomationEngine
    service: ServiceDefinition
    receiver: Receiver
    traffic: Traffic
    began: float

    async def replicas(self) -> list[Replica]:
        """All replicas, dead ones included."""
        return await self.engine.services.platform(self.service).replicas(self.service)

    async def cpu_seconds(self) -> float:
        """Processor time that the living replicas have used so far."""
        return sum(usage.cpu_seconds for usage in await self.engine.services.platform(self.service).usage(self.service))

    def measured(self, name: str) -> float | None:
        """The latest sample of a metric of the service."""
        sample = self.engine.metric_store.latest(name, SERVICE)
        return sample.value if sample else None

    def since(self, name: str, time: float) -> list[float]:
        """The samples of a metric of the service since then, oldest first."""
        found = [point for series in self.engine.metric_store.series(name, SERVICE) for point in series.points(time)]
        return [value for _, value in sorted(found)]

    async def tell(self, type: str, **data: Any) -> float:
        """Put something that the demonstration did on record, as an event; returns its time."""
        event = Event(type=type, subject=SERVICE, source="demo", data=data)
        await self.engine.publish(event)
        return event.time


@asynccontextmanager
async def stage(directory: Path, port: int, prepare: Prepare) -> AsyncIterator[Stage]:
    """Set everything up, and end everything afterwards. `prepare` is called with the engine before it starts."""
    definitions = demo_definitions()
    service = definitions.services[0]
    with log_to(directory / "engine.log"):
        async with Receiver() as receiver:
            engine = AutomationEngine(configuration(directory, receiver.url, port))
            home = directory / "services" / service.platform
            traffic = Traffic(home / service.name / "endpoints.json", environment(), directory / "load.log")
            prepare(engine)
            began = time.time()
            try:
                await engine.start()
                await engine.apply(definitions)
                yield Stage(directory, engine, service, receiver, traffic, began)
            finally:
                with undisturbed():
                    # The engine before the service: else it would repair what is ended here.
                    await traffic.stop()
                    await engine.stop()
                    await end_service(engine, service, home)


def configuration(directory: Path, slack_url: str, port: int) -> AutomationConfig:
    """The configuration, all of it said: what is set in the environment is meant for other engines."""
    return AutomationConfig(
        level=AutomationLevel.INTELLIGENT,
        data_dir=directory,
        database_url=f"sqlite:///{directory / 'automation.db'}",
        monitoring_interval=INTERVAL,
        api=Api(port=port).model_dump(),
        audit=Audit().model_dump(),
        events=Events().model_dump(),
        http=Http().model_dump(),
        store=Store().model_dump(),
        notifications=Notifications(slack=Slack.model_validate({"webhook_url": slack_url})),
    )


def demo_definitions() -> Definitions:
    """The definitions that ship with the package, with this very Python for `python`."""
    definitions = read_or_raise([DEFINITIONS])
    service = definitions.services[0]
    program, *arguments = service.settings["command"]
    assert program == "python", "the definitions name it so"
    settings = {**service.settings, "command": [sys.executable, *arguments], "environment": _HERE}
    return replace(definitions, services=(service.model_copy(update={"settings": settings}),))


def environment() -> dict[str, str]:
    """What the load generator is given."""
    return {**processes.base_environment(), **_HERE}


def working_folder(directory: Path) -> Path:
    """The folder, made if needed; raises InputError if there is something in it."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise InputError(f"--dir: {directory} is not empty; what an earlier run left there would change this one")
    return directory


async def end_service(engine: AutomationEngine, service: ServiceDefinition, home: Path) -> None:
    """End all replicas: by the platform or, should that fail, by what it has recorded."""
    try:
        await engine.services.platform(service).scale(service, 0)
    except AutomationError:
        records = ReplicaRecords(home)
        for record in records.all(service.name):
            await asyncio.to_thread(processes.kill_family, record.id, record.pid, record.birth)
            records.delete(record)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write the engine's log to a file, and not between the lines of the display."""
    logger = logging.getLogger("automation")
    before = (logger.level, logger.propagate, logger.handlers[:])
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers[:] = before[1], before[2]
        handler.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold off Ctrl-C while processes are ended: that takes a few seconds, and must be done."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def log_tail(directory: Path, lines: int = 12) -> str:
    """The end of the engine's log."""
    try:
        return "\n".join((directory / "engine.log").read_text(encoding="utf-8").splitlines()[-lines:])
    except OSError:
        return ""
