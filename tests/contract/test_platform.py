"""What every platform must do. A platform joins by an entry in `MAKERS`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from automation.clock import RealClock
from automation.errors import ActionError
from automation.infrastructure.platform import Platform, RestartOptions
from automation.model.service import HealthCheck, Replica, ServiceDefinition
from automation.plugins import registry

TINY = Path(__file__).parents[1] / "support" / "tiny_service.py"


def process_service(*options: str, name: str = "playback-api", **settings: object) -> ServiceDefinition:
    return ServiceDefinition(
        name=name,
        platform="process",
        health=HealthCheck(timeout_seconds=1),
        settings={"command": [sys.executable, "-S", str(TINY), "{port}", *options], **settings},
    )


MAKERS: dict[str, Callable[..., ServiceDefinition]] = {"process": process_service}


@pytest.fixture(params=sorted(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str) -> Callable[..., ServiceDefinition]:
    return MAKERS[kind]


@pytest.fixture
async def platform(kind: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = new_platform(kind, tmp_path)
    yield platform
    for name in ("playback-api", "other"):
        await platform.scale(MAKERS[kind](name=name, stop_timeout_seconds=0), 0)


def new_platform(kind: str, home: Path) -> Platform:
    return registry.get("platform", kind).function(home=home, clock=RealClock())


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def answer_of(replica: Replica) -> str:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{replica.address}/whoami")).text


async def kill(platform: Platform, service: ServiceDefinition, victim: Replica) -> None:
    os.kill(victim.pid, signal.SIGKILL)

    async def seen_dead() -> bool:
        return [replica.id for replica in await platform.replicas(service) if not replica.alive] == [victim.id]

    await until(seen_dead)


def ids(replicas: list[Replica]) -> list[str]:
    return [replica.id for replica in replicas]


async def test_a_service_that_was_never_started_has_no_replicas(platform: Platform, make) -> None:
    assert await platform.replicas(make()) == []
    assert await platform.usage(make()) == []


async def test_scaling_up_returns_when_the_new_replicas_answer(platform: Platform, make) -> None:
    told: list[str] = []

    replicas = await platform.scale(make(), 2, told.append)

    assert len(replicas) == 2
    for replica in replicas:
        assert replica.alive
        assert replica.id in await answer_of(replica)
    assert any("healthy" in line for line in told)


async def test_scaling_to_what_is_there_changes_nothing(platform: Platform, make) -> None:
    before = await platform.scale(make(), 2)

    assert await platform.scale(make(), 2) == before


async def test_scaling_down_stops_the_newest(platform: Platform, make) -> None:
    first = await platform.scale(make(), 1)
    await platform.scale(make(), 2)

    assert await platform.scale(make(), 1) == first
    assert await platform.scale(make(), 0) == []


async def test_a_killed_replica_is_seen_dead_and_replaced(platform: Platform, make) -> None:
    kept, killed = await platform.scale(make(), 2)

    await kill(platform, make(), killed)

    alive, dead = await platform.replicas(make())
    assert alive == kept
    assert dead.id == killed.id
    assert "SIGKILL" in dead.reason
    assert [usage.replica for usage in await platform.usage(make())] == [kept.id]

    replicas = await platform.scale(make(), 2)

    assert ids(replicas)[0] == kept.id
    assert killed.id not in ids(replicas)
    assert all(replica.alive for replica in replicas)


async def test_a_restart_replaces_every_replica_and_keeps_the_service_available(platform: Platform, make) -> None:
    old = await platform.scale(make(), 2)
    failures: list[object] = []
    done = asyncio.Event()

    async def client() -> None:
        async with httpx2.AsyncClient(trust_env=False) as http:
            while not done.is_set():
                living = [replica for replica in await platform.replicas(make()) if replica.alive]
                try:
                    for replica in living[-1:]:
                        (await http.get(f"{replica.address}/health")).raise_for_status()
                except httpx2.HTTPError as error:
                    # It may go between the look and the call; but then another one answers.
                    if replica.id in ids(await platform.replicas(make())):
                        failures.append(error)
                if not living:
                    failures.append("no replica")
                await asyncio.sleep(0.01)

    asking = asyncio.create_task(client())
    new = await platform.restart(make(), RestartOptions())
    done.set()
    await asking

    assert len(new) == 2
    assert not set(ids(new)) & set(ids(old))
    assert failures == []


async def test_a_restart_begins_with_the_dead_ones(platform: Platform, make) -> None:
    living, dead = await platform.scale(make(), 2)
    await kill(platform, make(), dead)
    told: list[str] = []

    new = await platform.restart(make(), RestartOptions(progress=told.append))

    assert all(replica.alive for replica in new)
    assert not {living.id, dead.id} & set(ids(new))
    assert [line for line in told if line.startswith("stopped")] == [f"stopped {living.id}"]


async def test_a_restart_that_is_not_graceful_kills_at_once(platform: Platform, make) -> None:
    service = make("--ignore-term", stop_timeout_seconds=60)
    (old,) = await platform.scale(service, 1)

    (new,) = await platform.restart(service, RestartOptions(graceful=False))

    assert new.id != old.id
    assert new.alive


async def test_what_does_not_end_when_asked_is_killed(platform: Platform, make) -> None:
    service = make("--ignore-term", stop_timeout_seconds=0.1)
    (replica,) = await platform.scale(service, 1)

    assert await platform.scale(service, 0) == []
    assert not Path(f"/proc/{replica.pid}").exists()


async def test_a_failed_restart_leaves_the_old_replica(platform: Platform, make) -> None:
    old = await platform.scale(make(), 1)

    with pytest.raises(ActionError, match="not healthy within"):
        await platform.restart(make("--unwell", start_timeout_seconds=3), RestartOptions())

    assert await platform.replicas(make()) == old


async def test_a_failed_scaling_names_the_cause_and_leaves_nothing_behind(platform: Platform, make) -> None:
    with pytest.raises(ActionError, match="503"):
        await platform.scale(make("--unwell", start_timeout_seconds=3), 1)

    assert await platform.replicas(make()) == []


async def test_another_platform_on_the_same_home_takes_the_replicas_up(
    platform: Platform, make, kind: str, tmp_path: Path
) -> None:
    before = await platform.scale(make(), 2)

    second = new_platform(kind, tmp_path)

    assert await second.replicas(make()) == before
    assert await second.scale(make(), 2) == before
    assert len(await second.scale(make(), 1)) == 1


async def test_two_changes_at_once_do_not_mix(platform: Platform, make, kind: str, tmp_path: Path) -> None:
    second = new_platform(kind, tmp_path)

    await asyncio.gather(platform.scale(make(), 2), second.scale(make(), 2), platform.scale(make(), 2))

    assert len(await platform.replicas(make())) == 2


async def test_services_do_not_mix(platform: Platform, make) -> None:
    (one,) = await platform.scale(make(), 1)
    (other,) = await platform.scale(make(name="other"), 1)

    assert one.address != other.address
    assert ids(await platform.replicas(make())) == [one.id]


async def test_usage_grows(platform: Platform, make) -> None:
    service = make("--spin")
    (replica,) = await platform.scale(service, 1)
    (first,) = await platform.usage(service)

    async def grown() -> bool:
        (now,) = await platform.usage(service)
        return now.cpu_seconds > first.cpu_seconds

    await until(grown)
    assert first.replica == replica.id
    assert first.memory_bytes > 1_000_000


async def test_a_cancelled_scaling_leaves_no_half_started_replica(platform: Platform, make) -> None:
    service = make("--late", "60")
    task = asyncio.create_task(platform.scale(service, 2))
    await asyncio.sleep(0.3)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await platform.replicas(service) == []
    assert len(await platform.scale(make(), 1)) == 1
