"""What is particular to the process platform: records, crashes, ports, logs, endpoints."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from automation.clock import Clock, RealClock
from automation.errors import DefinitionError, Refused, TryLater
from automation.infrastructure import processes
from automation.infrastructure.platform import RestartOptions
from automation.infrastructure.platforms.process import ProcessPlatform
from automation.infrastructure.probe import Answer
from automation.infrastructure.replica_records import KEPT_LOGS, ReplicaRecords
from automation.infrastructure.services import Services
from automation.model.service import HealthCheck, ServiceDefinition

TINY = Path(__file__).parents[2] / "support" / "tiny_service.py"
SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def service(*options: str, command: list[str] | None = None, health: bool = True, **settings: object):
    return ServiceDefinition(
        name="api",
        health=HealthCheck(timeout_seconds=1) if health else None,
        settings={"command": command or [sys.executable, "-S", str(TINY), "{port}", *options], **settings},
    )


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[ProcessPlatform]:
    platform = ProcessPlatform(tmp_path, RealClock())
    yield platform
    await platform.scale(service(stop_timeout_seconds=0), 0)


@pytest.fixture
def records(tmp_path: Path) -> ReplicaRecords:
    return ReplicaRecords(tmp_path)


def endpoints(home: Path) -> list[str]:
    return json.loads((home / "api" / "endpoints.json").read_text())["addresses"]


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def test_endpoints_follow_each_change(platform: ProcessPlatform, tmp_path: Path) -> None:
    first, second = await platform.scale(service(), 2)
    assert endpoints(tmp_path) == [first.address, second.address]

    os.kill(first.pid, signal.SIGKILL)

    async def gone() -> bool:
        await platform.replicas(service())
        return endpoints(tmp_path) == [second.address]

    await until(gone)
    (new,) = await platform.scale(service(), 1)
    assert endpoints(tmp_path) == [new.address] == [second.address]


async def test_a_command_that_ends_at_once_is_told_with_the_end_of_its_output(platform: ProcessPlatform) -> None:
    command = [sys.executable, "-S", "-c", "import sys; print('no such database'); sys.exit(3)", "{port}"]

    with pytest.raises(TryLater, match=r"exited with code 3 while it was starting(.|\n)*no such database"):
        await platform.scale(service(command=command), 1)

    assert await platform.replicas(service()) == []


async def test_a_command_that_cannot_run_is_refused(platform: ProcessPlatform) -> None:
    with pytest.raises(Refused, match=r"cannot run 'no-such-program'.*No such file"):
        await platform.scale(service(command=["no-such-program", "{port}"]), 1)
    with pytest.raises(Refused, match="cannot run"):
        await platform.scale(service(working_directory="/nowhere"), 1)


async def test_a_health_check_without_a_port_is_refused(platform: ProcessPlatform) -> None:
    with pytest.raises(Refused, match=r"\{port\}"):
        await platform.scale(service(command=SLEEPER), 1)


async def test_without_a_health_check_a_port_must_accept_connections(platform: ProcessPlatform) -> None:
    (replica,) = await platform.scale(service("--unwell", health=False), 1)
    assert replica.address

    silent = [*SLEEPER, "{port}"]
    with pytest.raises(TryLater, match=r"not healthy within 0\.3 s: cannot connect: Connection refused"):
        await platform.scale(service(command=silent, health=False, start_timeout_seconds=0.3), 2)


async def test_what_was_answered_last_is_told_and_not_that_the_time_was_over(
    platform: ProcessPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def probe(transport: Any, url: str, timeout: float, clock: Clock) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 1:
            return Answer(False, "answered 503", 0.0)
        await clock.sleep(timeout)
        return Answer(False, f"no answer within {timeout:g} s", timeout, late=True)

    monkeypatch.setattr("automation.infrastructure.platforms.process.http_probe", probe)
    with pytest.raises(TryLater, match=r"not healthy within 0\.3 s: answered 503"):
        await platform.scale(service(start_timeout_seconds=0.3), 1)


async def test_without_port_and_health_check_it_must_live_for_a_moment(platform: ProcessPlatform) -> None:
    (replica,) = await platform.scale(service(command=SLEEPER, health=False), 1)
    assert replica.address is None
    assert replica.alive

    with pytest.raises(TryLater, match="exited with code 0"):
        await platform.scale(service(command=[sys.executable, "-S", "-c", ""], health=False), 2)


async def test_placeholders_and_the_environment_of_a_replica(
    platform: ProcessPlatform, records: ReplicaRecords
) -> None:
    os.environ["AUTOMATION_TEST_SECRET"] = "s3cret"
    try:
        program = "import json, os, sys, time; print(json.dumps([sys.argv[1:], dict(os.environ)]), flush=True)"
        command = [sys.executable, "-S", "-c", program + "; time.sleep(600)", "{service}/{replica}", "{}", "$HOME; ls"]
        await platform.scale(service(command=command, health=False, environment={"PLACE": "on {service}"}), 1)
    finally:
        del os.environ["AUTOMATION_TEST_SECRET"]

    (record,) = records.all("api")
    arguments, environment = json.loads(records.log_tail(record))
    assert arguments == [f"api/{record.id}", "{}", "$HOME; ls"]
    assert environment["PLACE"] == "on api"
    assert environment["SERVICE_NAME"] == "api"
    assert environment["REPLICA_ID"] == record.id
    assert "AUTOMATION_TEST_SECRET" not in environment


async def test_a_reused_pid_is_not_taken_for_the_replica(platform: ProcessPlatform, records: ReplicaRecords) -> None:
    (replica,) = await platform.scale(service(command=SLEEPER, health=False), 1)
    (record,) = records.all("api")
    stranger = subprocess.Popen(SLEEPER, start_new_session=True)  # noqa: ASYNC220
    try:
        os.kill(replica.pid, signal.SIGKILL)
        records.save(msgspec.structs.replace(record, pid=stranger.pid))

        (seen,) = await platform.replicas(service())
        assert not seen.alive
        assert "another" in seen.reason

        assert await platform.scale(service(), 0) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_killed_replica_does_not_stay_a_zombie(platform: ProcessPlatform) -> None:
    (replica,) = await platform.scale(service(command=SLEEPER, health=False), 1)
    os.kill(replica.pid, signal.SIGKILL)
    await until(lambda: psutil.Process(replica.pid).status() == psutil.STATUS_ZOMBIE)

    (seen,) = await platform.replicas(service())

    assert seen.reason == "was killed by signal 9 (SIGKILL)"
    assert not psutil.pid_exists(replica.pid)
    assert (await platform.replicas(service()))[0].reason == seen.reason


async def test_what_a_dead_replica_started_goes_with_it(platform: ProcessPlatform) -> None:
    (replica,) = await platform.scale(service("--child"), 1)
    await until(lambda: len(processes.marked(replica.id)) == 2)
    os.kill(replica.pid, signal.SIGKILL)

    async def seen_dead() -> bool:
        return not (await platform.replicas(service()))[0].alive

    await until(seen_dead)

    await platform.scale(service(), 1)

    assert processes.marked(replica.id) == []


CRASHING = """
    import asyncio, os, sys
    from pathlib import Path
    from automation.clock import RealClock
    from automation.infrastructure.platform import RestartOptions
    from automation.infrastructure.platforms.process import ProcessPlatform
    from automation.model.service import HealthCheck, ServiceDefinition

    def progress(line):
        if {when!r} in line:
            os.kill(os.getpid(), 9)

    class Dying(ProcessPlatform):
        def _launch(self, *args):
            record = super()._launch(*args)
            if {when!r} == "spawned":
                # As if killed between starting the process and writing down its pid.
                import msgspec
                self._records.save(msgspec.structs.replace(record, pid=None, birth=None))
                os.kill(os.getpid(), 9)
            return record

    async def main():
        service = ServiceDefinition(name="api", health=HealthCheck(), settings={settings!r})
        platform = Dying(Path({home!r}), RealClock())
        {action}

    asyncio.run(main())
"""


def crash(home: Path, action: str, when: str) -> None:
    """Run a change in another program that is killed at a certain moment."""
    program = textwrap.dedent(CRASHING).format(when=when, home=str(home), settings=service().settings, action=action)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert result.returncode == -signal.SIGKILL, result.stderr


def running(home: Path) -> set[int]:
    """The processes that any record or log of this home speaks of, by the mark in their environment."""
    names = {path.name.partition(".")[0] for path in (home / "api").glob("api-*")}
    return {process.pid for name in names for process in processes.marked(name)}


@pytest.mark.parametrize("when", ["spawned", "is healthy"])
async def test_a_start_cut_short_is_undone(platform: ProcessPlatform, tmp_path: Path, when: str) -> None:
    crash(tmp_path, "await platform.scale(service, 1, progress)", when)

    assert await platform.replicas(service()) == []
    (replica,) = await platform.scale(service(), 1)

    assert running(tmp_path) == {replica.pid}


@pytest.mark.parametrize("when", ["started", "is healthy", "stopped"])
async def test_a_restart_cut_short_is_finished_by_the_next(
    platform: ProcessPlatform, tmp_path: Path, when: str
) -> None:
    old = await platform.scale(service(), 1)

    crash(tmp_path, "await platform.restart(service, RestartOptions(progress=progress))", when)
    (new,) = await platform.restart(service(), RestartOptions())

    assert new.id != old[0].id
    assert running(tmp_path) == {new.pid}


async def test_a_replica_whose_record_says_it_replaces_another_lets_that_go(
    platform: ProcessPlatform, records: ReplicaRecords, tmp_path: Path
) -> None:
    old, new = await platform.scale(service(), 2)
    record = records.find("api", new.id)
    assert record is not None
    records.save(msgspec.structs.replace(record, replaces=old.id))

    assert [replica.id for replica in await platform.scale(service(), 1)] == [new.id]
    assert running(tmp_path) == {new.pid}


async def test_replicas_outlive_the_program_that_started_them(platform: ProcessPlatform, tmp_path: Path) -> None:
    crash(tmp_path, "await platform.scale(service, 2); progress('done')", "done")

    replicas = await platform.replicas(service())

    assert [replica.alive for replica in replicas] == [True, True]
    assert running(tmp_path) == {replica.pid for replica in replicas}


async def test_ports_come_from_the_range_and_a_full_one_says_so(platform: ProcessPlatform) -> None:
    from automation.infrastructure.ports import free_port

    low = free_port(None, set())
    first = await platform.scale(service(ports=[low, low]), 1)
    assert first[0].address == f"http://127.0.0.1:{low}"

    with pytest.raises(TryLater, match="no port from"):
        await platform.scale(service(ports=[low, low]), 2)

    assert await platform.replicas(service()) == first


async def test_logs_of_ended_replicas_are_kept_for_a_while(platform: ProcessPlatform, tmp_path: Path) -> None:
    talker = [sys.executable, "-S", "-c", "print('here')"]
    for _ in range(KEPT_LOGS + 2):
        with pytest.raises(TryLater):
            await platform.scale(service(command=talker, health=False), 1)

    assert len(list((tmp_path / "api").glob("*.log.1"))) == KEPT_LOGS
    assert list((tmp_path / "api").glob("*.log")) == []


async def test_a_file_that_is_no_record_is_not_passed_over(platform: ProcessPlatform, tmp_path: Path) -> None:
    bad = tmp_path / "api" / "api-0123abcd.json"
    bad.parent.mkdir()
    bad.write_text("{}")
    (bad.parent / "scale-0123456789abcdef.json").write_text("{}")

    with pytest.raises(Exception, match=r"api-0123abcd\.json: not a record"):
        await platform.replicas(service())
    bad.unlink()


def test_settings_are_checked_when_a_service_is_defined(tmp_path: Path) -> None:
    services = Services(tmp_path, RealClock())

    with pytest.raises(DefinitionError, match=r"services\.api\.settings\.comand: unknown key"):
        services.define(ServiceDefinition(name="api", settings={"comand": ["x"], "command": ["x"]}))
    with pytest.raises(DefinitionError, match="above the last"):
        services.define(ServiceDefinition(name="api", settings={"command": ["x"], "ports": [9, 8]}))
