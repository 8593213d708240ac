"""Collectors against real processes of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from automation.clock import RealClock, VirtualClock
from automation.errors import DefinitionError, TryLater
from automation.infrastructure.services import Services
from automation.model.event import Event
from automation.model.metric import Sample
from automation.model.service import HealthCheck, Replica, ServiceDefinition
from automation.monitoring.checks import CheckState
from automation.monitoring.collector import Observations, Probe
from automation.monitoring.monitor import Monitor, Outlets, Watch
from automation.plugins import read_settings, registry

TINY = Path(__file__).parents[2] / "support" / "tiny_service.py"


def service(*options: str, name: str = "api", **changes: Any) -> ServiceDefinition:
    command = [sys.executable, "-S", str(TINY), "{port}", *options]
    changes = {"health": HealthCheck(timeout_seconds=1), "settings": {"command": command}, **changes}
    return ServiceDefinition(name=name, **changes)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    services = Services(tmp_path, RealClock())
    yield services
    for each in services.all():
        await services.platform(each).scale(each, 0)


async def collect(name: str, probe: Probe, **settings: Any) -> Observations:
    plugin = registry.get("collector", name)
    found: Observations = await plugin.function(read_settings(plugin.settings, settings), probe)
    return found


async def start(services: Services, definition: ServiceDefinition, count: int = 1) -> list[Replica]:
    services.define(definition)
    return await services.platform(definition).scale(definition, count)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


def values(found: Observations, name: str) -> list[float]:
    return [sample.value for sample in found.samples if sample.name == name]


async def test_process_measures_replicas_from_their_second_reading(services: Services) -> None:
    spinning = service("--spin", cpu=0.5, health=None)
    (replica,) = await start(services, spinning)
    probe = Probe(services, RealClock(), 30)

    first = second = await collect("process", probe)

    async def busy() -> bool:
        nonlocal second
        await asyncio.sleep(0.3)
        second = await collect("process", probe)
        return values(second, "cpu_usage")[0] > 20

    await until(busy)
    assert values(first, "cpu_usage") == []
    assert values(first, "replicas") == [1]
    (usage,) = values(second, "cpu_usage")
    # It burns up to one core and may use half a one.
    assert usage < 250
    assert values(second, "replica_cpu_usage") == [usage]
    assert values(second, "memory_bytes")[0] > 1_000_000
    (labelled,) = [sample for sample in second.samples if sample.name == "replica_cpu_usage"]
    assert (labelled.subject, labelled.labels) == ("api", {"replica": replica.id})


async def test_process_counts_only_the_living_and_goes_on_without_what_is_unknown(services: Services) -> None:
    sleeper = {"command": [sys.executable, "-S", "-c", "import time; time.sleep(600)"]}
    idle = service(health=None, settings=sleeper)
    one, _ = await start(services, idle, 2)
    os.kill(one.pid, signal.SIGKILL)
    probe = Probe(services, RealClock(), 30)

    async def one_left() -> bool:
        return values(await collect("process", probe), "replicas") == [1]

    await until(one_left)
    found = await collect("process", probe, services=["api", "nowhere"])

    assert len(values(found, "memory_bytes")) == 1
    assert values(found, "cpu_usage")[0] < 50
    assert "nowhere" in found.problems[0]


async def test_host_measures_this_machine(services: Services) -> None:
    probe = Probe(services, RealClock(), 30)
    first = await collect("host", probe)
    await asyncio.sleep(0.05)
    second = await collect("host", probe, disks=["/", "/nowhere"])

    assert values(first, "host_cpu_usage") == []
    for name in ("host_cpu_usage", "host_memory_usage", "host_disk_usage"):
        (value,) = values(second, name)
        assert 0 <= value <= 100
    assert values(second, "host_load1")[0] >= 0
    assert {sample.subject for sample in second.samples} == {socket.gethostname()}
    assert "/nowhere" in second.problems[0]


async def test_health_tells_the_well_the_sick_and_the_dead_apart(services: Services, tmp_path: Path) -> None:
    sick = tmp_path / "sick"
    definition = service("--sick", str(sick))
    first, second = await start(services, definition, 2)

    found = await collect("http_health", Probe(services, RealClock(), 30))
    assert [(check.target, check.ok) for check in found.checks] == [(first.id, True), (second.id, True)]
    assert values(found, "service_up") == [1.0]
    assert all(0 < value < 1 for value in values(found, "probe_latency_seconds"))
    assert found.checks[0].address == first.address

    sick.touch()
    os.kill(second.pid, signal.SIGKILL)

    async def dead() -> bool:
        return any(not replica.alive for replica in await services.platform(definition).replicas(definition))

    await until(dead)
    found = await collect("http_health", Probe(services, RealClock(), 30))
    assert [(check.ok, check.detail) for check in found.checks] == [
        (False, "answered 503"),
        (False, "was killed by signal 9 (SIGKILL)"),
    ]
    assert values(found, "service_up") == [0.0]


async def test_health_sees_a_replica_that_hangs(services: Services) -> None:
    definition = service(health=HealthCheck(timeout_seconds=0.2))
    (replica,) = await start(services, definition)
    os.kill(replica.pid, signal.SIGSTOP)
    try:
        found = await collect("http_health", Probe(services, RealClock(), 30))
    finally:
        os.kill(replica.pid, signal.SIGCONT)

    assert [(check.ok, check.detail) for check in found.checks] == [(False, "no answer within 0.2 s")]


async def test_a_service_without_health_check_is_well_while_it_lives(services: Services) -> None:
    await start(services, service(health=None))

    found = await collect("http_health", Probe(services, RealClock(), 30))

    assert [(check.ok, check.detail) for check in found.checks] == [(True, "alive")]
    assert values(found, "probe_latency_seconds") == []


async def test_a_replica_that_was_replaced_while_it_was_asked_has_not_failed(services: Services) -> None:
    class Platform:
        """Lists a replica that is gone at the next look."""

        looks = 0

        async def replicas(self, service: ServiceDefinition) -> list[Replica]:
            self.looks += 1
            return [Replica(id="old", service="api", address="http://127.0.0.1:1")] if self.looks == 1 else []

        async def scale(self, service: ServiceDefinition, count: int) -> None:
            pass

    services.define(service())
    services._platforms["process"] = Platform()  # type: ignore[assignment]

    found = await collect("http_health", Probe(services, RealClock(), 30))

    assert found.checks == []
    assert found.covered == [("service_health", "api")]


async def test_each_service_is_probed_at_its_own_interval(services: Services) -> None:
    services.define(service(name="often", health=HealthCheck(interval_seconds=2)))
    services.define(service(name="default"))
    clock = VirtualClock()
    probe = Probe(services, clock, 30)

    async def probed() -> list[str]:
        found = await collect("http_health", probe)
        assert found.next_seconds is not None
        assert found.next_seconds <= 2
        return [subject for _, subject in found.covered]

    assert await probed() == ["default", "often"]
    assert await probed() == []
    await clock.advance(2)
    assert await probed() == ["often"]
    await clock.advance(28)
    assert sorted(await probed()) == ["default", "often"]
    services.forget("default")
    assert "default" in await probed()


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pages = {"/good": b"jobs_total 1\n", "/bad": b"{}{}{} what\n", "/big": b"# " + b"x" * 5000 + b"\n"}
        pages["/vast"] = b"jobs_total " + b"9" * 400 + b"\n"
        content = pages.get(self.path)
        self.send_response(200 if content else 500)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_urls_are_probed_too(services: Services, pages: str) -> None:
    urls = [f"{pages}/good", f"{pages}/missing", "http://169.254.169.254/latest"]
    probe = Probe(services, RealClock(), 30)

    found = await collect("http_health", probe, urls=urls, subject="shop", failures=5)

    assert [(check.check, check.subject, check.target, check.ok) for check in found.checks] == [
        ("url_health", "shop", urls[0], True),
        ("url_health", "shop", urls[1], False),
        ("url_health", "shop", urls[2], False),
    ]
    assert "link-local" in found.checks[2].detail
    assert found.checks[0].thresholds.failures == 5
    assert found.covered == [("url_health", "shop")]
    for url in ("ftp://x/", "x", "http://user:secret@x/"):
        with pytest.raises(DefinitionError) as caught:
            await collect("http_health", probe, urls=[url])
        assert "secret" not in str(caught.value)


async def test_a_page_of_prometheus_text_becomes_samples(services: Services) -> None:
    (replica,) = await start(services, service())
    probe = Probe(services, VirtualClock(), 30)
    url = f"{replica.address}/metrics"

    found = await collect("prometheus_scrape", probe, url=url, subject_label="host", subject="none")
    assert found.samples[:2] == [
        Sample(name="jobs_total", value=3.0, subject="h1", labels={"queue": "a b"}, time=probe.clock.now()),
        Sample(name="jobs_total", value=4.5, subject="h2", labels={"queue": 'c"d'}, time=probe.clock.now()),
    ]
    assert found.samples[2].name == "temperature"

    only = await collect("prometheus_scrape", probe, url=url, metrics=["temperature"])
    assert [sample.name for sample in only.samples] == ["temperature"]

    some = await collect("prometheus_scrape", probe, url=url, max_samples=1)
    assert len(some.samples) == 1
    assert "2 samples above max_samples" in some.problems[0]


async def test_a_page_that_cannot_be_had_is_said(services: Services, pages: str) -> None:
    probe = Probe(services, RealClock(), 30)
    wrong = {"/missing": "answered 500", "/bad": "not in Prometheus", "/vast": "not in Prometheus", "/big": "larger"}
    for path, reason in wrong.items():
        with pytest.raises(TryLater, match=reason):
            await collect("prometheus_scrape", probe, url=pages + path, max_bytes=1000)
    with pytest.raises(TryLater, match="Connection refused") as caught:
        await collect("prometheus_scrape", probe, url="http://user:secret@127.0.0.1:1/?key=secret")
    assert "secret" not in str(caught.value)


class States:
    async def load(self) -> dict[str, CheckState]:
        return {}

    async def save(self, key: str, state: CheckState | None) -> None:
        pass


async def test_a_killed_replica_is_reported_and_its_replacement_ends_the_report(services: Services) -> None:
    quick = HealthCheck(interval_seconds=0.1, timeout_seconds=1, failures=2)
    definition = service(health=quick)
    (replica,) = await start(services, definition)
    events: asyncio.Queue[Event] = asyncio.Queue()
    samples: list[Sample] = []

    async def observe(sample: Sample) -> None:
        samples.append(sample)

    outlets = Outlets(observe, events.put, States())
    monitor = Monitor([Watch("health", "http_health", 30)], services, RealClock(), outlets)
    await monitor.start()
    try:
        os.kill(replica.pid, signal.SIGKILL)
        failed = await asyncio.wait_for(events.get(), 20)
        await services.platform(definition).scale(definition, 1)
        recovered = await asyncio.wait_for(events.get(), 20)
    finally:
        await monitor.stop()

    assert failed.type == "service_health_check_failed"
    assert failed.data["target"] == replica.id
    assert "SIGKILL" in failed.data["error"]
    assert recovered.type == "service_health_check_recovered"
    assert recovered.data["target"] == replica.id
    assert events.empty()
    assert 0 < monitor.availability()["api"] < 100
    assert 0.0 in [sample.value for sample in samples if sample.name == "service_up"]
