"""The `process` platform: replicas are processes of this machine. They outlive the engine; a later one takes them up.

A replica's record is on disk before its process is started and until it has ended, and the process carries the
replica's id in its environment. So whatever the moment at which an engine is killed, the next one finds all that runs,
and a change that was cut short is finished or undone before the next one begins.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from automation.clock import Clock
from automation.errors import Refused, TryLater
from automation.infrastructure import processes
from automation.infrastructure.outgoing import open_transport
from automation.infrastructure.platform import Progress, RestartOptions, Usage
from automation.infrastructure.ports import free_port
from automation.infrastructure.probe import Answer, http_probe, tcp_probe
from automation.infrastructure.processes import cannot_run, uninterrupted
from automation.infrastructure.replica_records import ReplicaRecord, ReplicaRecords
from automation.model.service import Replica, ServiceDefinition
from automation.plugins import platform, read_settings

STARTS_AT_ONCE = 4
"""How many replicas of a service are started at the same time."""
SETTLED_SECONDS = 0.5
"""How long a replica that can be asked nothing must live to count as started."""

Seen = tuple[ReplicaRecord, bool, str]
"""A record, whether its process lives, and if not, why."""
Check = Callable[[float], Awaitable[Answer]]


class ProcessSettings(BaseModel):
    """How replicas of a service are run as processes."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    command: Annotated[list[str], Field(min_length=1)]
    """Program and arguments, run without a shell. `{port}`, `{service}` and `{replica}` are replaced."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables beside PATH, HOME, LANG, REPLICA_ID and SERVICE_NAME; the same words in braces are replaced."""
    working_directory: Path | None = None
    """Where it runs; by default the folder of the service's records."""
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], Annotated[int, Field(ge=1, le=65535)]] | None = None
    """First and last port to use; by default any free one. A graceful restart needs one port more than replicas."""
    stop_timeout_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long a replica may take to end after SIGTERM before it is killed."""
    start_timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a new replica may take to become healthy."""

    @field_validator("ports")
    @classmethod
    def _in_order(cls, ports: tuple[int, int] | None) -> tuple[int, int] | None:
        if ports is not None and ports[0] > ports[1]:
            raise ValueError("the first port is above the last")
        return ports

    @property
    def wants_port(self) -> bool:
        """Whether `{port}` occurs."""
        return any("{port}" in text for text in (*self.command, *self.environment.values()))


@platform("process", ProcessSettings)
class ProcessPlatform:
    """Runs replicas as processes of this machine, each in a session of its own."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._records = ReplicaRecords(home.absolute())
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        # Guards what threads do together: choosing a port, and writing the endpoints from one look.
        self._mutex = threading.Lock()
        self._reasons: dict[str, str] = {}

    async def replicas(self, service: ServiceDefinition) -> list[Replica]:
        """All replicas that should exist, dead ones included, oldest first; not those being started or stopped."""
        return [_replica(seen) for seen in await self._survey(service.name)]

    async def scale(self, service: ServiceDefinition, count: int, progress: Progress | None = None) -> list[Replica]:
        """Have exactly `count` replicas: replace dead ones, start missing ones, stop the newest spare ones.

        Raises Refused if the command cannot be run, TryLater if a new replica ends or is not healthy in time; what
        became healthy until then stays.
        """
        settings = _settings(service)
        tell = progress or _silent
        async with self._exclusive(service.name):
            await self._settle(service.name, settings, tell)
            seen = await self._survey(service.name)
            living = [record for record, alive, _ in seen if alive]
            dead = [record for record, alive, _ in seen if not alive]
            await self._start_many(service, max(0, count - len(living)), dead, tell)
            for record in dead:
                await self._forget(record)
            for record in living[count:][::-1]:
                await self._stop(record, settings.stop_timeout_seconds, tell)
        return await self.replicas(service)

    async def restart(self, service: ServiceDefinition, options: RestartOptions) -> list[Replica]:
        """Replace every replica by a new one, one after the other, the dead ones first.

        Graceful: the old one is stopped once the new one is healthy. Errors as in `scale`; a replica whose
        replacement fails stays as it is.
        """
        settings = _settings(service)
        tell = options.progress or _silent
        async with self._exclusive(service.name):
            await self._settle(service.name, settings, tell)
            seen = await self._survey(service.name)
            for record, alive, _ in sorted(seen, key=lambda item: item[1]):
                if alive and not options.graceful:
                    # Its record stays until it is replaced: should that fail, it is seen to be dead.
                    await asyncio.to_thread(processes.kill_family, record.id, record.pid, record.birth)
                await self._start(service, tell, replaces=record.id, wait=options.wait_for_health)
                if alive and options.graceful:
                    await self._stop(record, settings.stop_timeout_seconds, tell)
                else:
                    await self._forget(record)
        return await self.replicas(service)

    async def usage(self, service: ServiceDefinition) -> list[Usage]:
        """What each living replica and the processes below it have used."""
        living = [record for record, alive, _ in await self._survey(service.name) if alive]
        return await asyncio.to_thread(_usage, living)

    # Starting

    async def _start_many(
        self, service: ServiceDefinition, count: int, dead: list[ReplicaRecord], tell: Progress
    ) -> None:
        slots = asyncio.Semaphore(STARTS_AT_ONCE)

        async def one() -> None:
            async with slots:
                await self._start(service, tell)
            if dead:
                await self._forget(dead.pop(0))

        # Not a TaskGroup: one that fails must not take back those that are becoming healthy.
        outcomes = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _start(
        self, service: ServiceDefinition, tell: Progress, *, replaces: str | None = None, wait: bool = True
    ) -> None:
        settings = _settings(service)
        name = f"{service.name}-{secrets.token_hex(4)}"
        record = ReplicaRecord(
            id=name,
            service=service.name,
            state="starting",
            log=str(self._records.log_path(service.name, name)),
            started_at=self._clock.now(),
            replaces=replaces,
        )
        try:
            record = await uninterrupted(asyncio.to_thread(self._launch, service, settings, record))
            tell(f"started {record.id}" + (f" at {record.address}" if record.address else ""))
            if wait:
                await self._wait_healthy(service, settings, record)
                tell(f"{record.id} is healthy")
            ready = msgspec.structs.replace(record, state="ready")
            await uninterrupted(asyncio.to_thread(self._records.save, ready))
        except BaseException:
            # Cancelled or failed: a start that nobody waits for must not leave a process behind.
            await uninterrupted(asyncio.to_thread(self._abandon, record))
            raise
        await self._survey(service.name)

    def _launch(self, service: ServiceDefinition, settings: ProcessSettings, record: ReplicaRecord) -> ReplicaRecord:
        with self._mutex:
            if settings.wants_port:
                port = free_port(settings.ports, self._records.ports())
                record = msgspec.structs.replace(record, port=port, address=f"http://127.0.0.1:{port}")
            elif service.health is not None:
                raise Refused(
                    f"service {service.name!r} has a health check, but '{{port}}' occurs neither in its command nor "
                    "in its environment, so it cannot be asked"
                )
            self._records.save(record)
        words = {"{port}": str(record.port or ""), "{service}": service.name, "{replica}": record.id}

        def fill(text: str) -> str:
            for word, value in words.items():
                text = text.replace(word, value)
            return text

        environment = {
            **processes.base_environment(),
            **{name: fill(value) for name, value in settings.environment.items()},
            "SERVICE_NAME": service.name,
            processes.MARK: record.id,
        }
        folder = settings.working_directory or self._records.folder(service.name)
        try:
            pid = processes.spawn([fill(part) for part in settings.command], environment, folder, Path(record.log))
        except (OSError, ValueError) as error:
            raise cannot_run(settings.command[0], folder, error) from None
        record = msgspec.structs.replace(record, pid=pid, birth=processes.birth(pid))
        self._records.save(record)
        return record

    async def _wait_healthy(self, service: ServiceDefinition, settings: ProcessSettings, record: ReplicaRecord) -> None:
        limit = settings.start_timeout_seconds
        deadline = self._clock.monotonic() + limit
        patience = service.health.timeout_seconds if service.health else 2.0
        pause = 0.02
        told: Answer | None = None
        async with self._health_check(service, record) as check:
            while True:
                left = max(0.05, deadline - self._clock.monotonic())
                answer = await check(min(left, patience))
                # That the last one was cut short says nothing of the replica; what it answered before does.
                told = answer if told is None or not (answer.late and left < patience) else told
                alive, reason = await asyncio.to_thread(processes.is_alive, record.pid or 0, record.birth or "")
                if not alive:
                    # Looked at after the answer: another program may have given it from the same port.
                    raise TryLater(await self._with_log(record, f"{record.id} {reason} while it was starting"))
                if answer.ok:
                    return
                if self._clock.monotonic() >= deadline:
                    text = f"{record.id} was not healthy within {limit:g} s: {told.detail}"
                    raise TryLater(await self._with_log(record, text))
                await self._clock.sleep(pause)
                pause = min(pause * 1.5, 0.25)

    @asynccontextmanager
    async def _health_check(self, service: ServiceDefinition, record: ReplicaRecord) -> AsyncIterator[Check]:
        if service.health is not None:
            url = f"{record.address}/{service.health.path.lstrip('/')}"
            async with await open_transport() as transport:
                yield lambda limit: http_probe(transport, url, limit, self._clock)
        elif record.port is not None:
            port = record.port
            yield lambda limit: tcp_probe("127.0.0.1", port, limit, self._clock)
        else:
            began = self._clock.monotonic()

            async def lives(limit: float) -> Answer:
                age = self._clock.monotonic() - began
                return Answer(age >= SETTLED_SECONDS, f"has lived for {age:.1f} s", None)

            yield lives

    async def _with_log(self, record: ReplicaRecord, text: str) -> str:
        tail = await asyncio.to_thread(self._records.log_tail, record)
        return f"{text}; its output ends with:\n{tail}" if tail.strip() else f"{text}; it wrote nothing"

    # Stopping

    async def _stop(self, record: ReplicaRecord, grace: float, tell: Progress) -> None:
        # Out of the endpoints first, so that no new request goes to one that is about to end.
        await uninterrupted(asyncio.to_thread(self._records.save, msgspec.structs.replace(record, state="stopping")))
        await self._survey(record.service)
        await asyncio.to_thread(processes.terminate, record.pid or 0, record.birth or "")
        deadline = self._clock.monotonic() + grace
        while await self._lives(record):
            if self._clock.monotonic() >= deadline:
                tell(f"{record.id} did not end within {grace:g} s and is killed")
                break
            await self._clock.sleep(0.02)
        await uninterrupted(asyncio.to_thread(self._abandon, record))
        tell(f"stopped {record.id}")

    async def _forget(self, record: ReplicaRecord) -> None:
        await uninterrupted(asyncio.to_thread(self._abandon, record))
        await self._survey(record.service)

    def _abandon(self, record: ReplicaRecord) -> None:
        # The record on disk may know a pid that the caller, cancelled meanwhile, does not.
        record = self._records.find(record.service, record.id) or record
        processes.kill_family(record.id, record.pid, record.birth)
        self._records.delete(record)
        self._reasons.pop(record.id, None)

    async def _settle(self, service: str, settings: ProcessSettings, tell: Progress) -> None:
        """Finish or undo what an engine that died (or a cancelled action) left half done. Under the lock."""
        records = await asyncio.to_thread(self._records.all, service)
        ready = {record.id: record for record in records if record.state == "ready"}
        for record in records:
            if record.state == "starting":
                tell(f"{record.id} was left half started and is removed")
                await self._forget(record)
            elif record.state == "stopping":
                await self._stop(record, settings.stop_timeout_seconds, tell)
            elif record.replaces in ready and await self._lives(record):
                await self._stop(ready[record.replaces], settings.stop_timeout_seconds, tell)

    # Looking

    async def _lives(self, record: ReplicaRecord) -> bool:
        return (await asyncio.to_thread(processes.is_alive, record.pid or 0, record.birth or ""))[0]

    async def _survey(self, service: str) -> list[Seen]:
        return await asyncio.to_thread(self._look, service)

    def _look(self, service: str) -> list[Seen]:
        with self._mutex:
            seen: list[Seen] = []
            for record in self._records.all(service):
                if record.state != "ready":
                    continue
                alive, reason = processes.is_alive(record.pid or 0, record.birth or "")
                if not alive:
                    # The exit code is told once only, to whoever reaps.
                    reason = self._reasons.setdefault(record.id, reason)
                seen.append((record, alive, reason))
            addresses = [record.address for record, alive, _ in seen if alive and record.address]
            self._records.publish(service, addresses, self._clock.now())
            return seen

    @asynccontextmanager
    async def _exclusive(self, service: str) -> AsyncIterator[None]:
        """One change of a service at a time, in this program and against others with the same folder."""
        async with self._locks.setdefault(service, asyncio.Lock()):
            # Not in a thread: cancelled there, it would keep a lock that nobody gives back.
            while (handle := self._records.try_lock(service)) is None:
                await self._clock.sleep(0.05)
            try:
                yield
            finally:
                os.close(handle)


def _settings(service: ServiceDefinition) -> ProcessSettings:
    return cast(ProcessSettings, read_settings(ProcessSettings, service.settings, f"services.{service.name}.settings"))


def _silent(_: str) -> None:
    pass


def _replica(seen: Seen) -> Replica:
    record, alive, reason = seen
    return Replica(
        id=record.id,
        service=record.service,
        address=record.address,
        pid=record.pid,
        alive=alive,
        started_at=record.started_at,
        reason=reason,
    )


def _usage(records: list[ReplicaRecord]) -> list[Usage]:
    used = processes.used_by_trees({record.id: record.pid for record in records if record.pid is not None})
    return [Usage(replica, cpu, memory) for replica, (cpu, memory) in used.items()]
