"""The `http_health` collector: whether replicas of services, and other URLs, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from automation.clock import Clock
from automation.errors import ActionError, AutomationError
from automation.infrastructure.outgoing import HttpLimits, guarded_transport, open_transport
from automation.infrastructure.probe import Answer, http_probe
from automation.model.metric import Sample
from automation.model.service import Replica, ServiceDefinition
from automation.monitoring.collector import CheckResult, Observations, Probe, Thresholds
from automation.plugins import collector

if TYPE_CHECKING:
    import httpx2

Ask = Callable[[str, float], Awaitable[Answer]]

AT_ONCE = 32
"""How many probes are under way at the same time."""


class HttpHealth(BaseModel):
    """What is asked whether it is well."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    services: tuple[str, ...] | None = None
    """By default all that are defined, or none where `urls` are given."""
    urls: tuple[str, ...] = ()
    """Other addresses that are asked, each a target of its own."""
    subject: str = ""
    """What the `urls` belong to; by default the host of each."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 2.0
    """The limit for one of the `urls`; a service has its own."""
    failures: Annotated[int, Field(ge=1)] = 2
    """After how many bad probes in a row one of the `urls` has failed."""
    successes: Annotated[int, Field(ge=1)] = 1
    """After how many good probes in a row it has recovered."""

    @field_validator("urls")
    @classmethod
    def _web_addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"{url!r} is not an http:// or https:// address")
            if urlsplit(url).username is not None:
                raise ValueError("an address here is shown to everyone, so it cannot hold a user and a password")
        return urls


@collector("http_health")
async def http_health(settings: HttpHealth, probe: Probe) -> Observations:
    """Probe each replica of each service at the service's own interval, and a list of URLs.

    A replica is well if it is alive and, where the service has a health check, answers it with 2xx in time. Gives a
    check `service_health` (for URLs: `url_health`) of each, `service_up`: the share of a service's replicas that are
    well, and `probe_latency_seconds` (label `target`).
    """
    names = settings.services
    if names is None:
        names = () if settings.urls else tuple(probe.services.names())
    agenda: dict[str, float] = probe.previous.setdefault("agenda", {})
    found = Observations()
    for gone in set(agenda) - {*names, ""}:
        del agenda[gone]
        found.covered.append(("service_health", gone))
    slots = asyncio.Semaphore(AT_ONCE)
    async with await open_transport() as transport:
        turns = []
        for name in names:
            try:
                service = probe.services.get(name)
            except AutomationError as error:
                found.problems.append(error.message)
                continue
            interval = (service.health.interval_seconds if service.health else None) or probe.interval_seconds
            if _its_turn(agenda, name, interval, probe.clock):
                turns.append(_service(service, probe, _asker(transport, probe.clock, slots)))
        if settings.urls and _its_turn(agenda, "", probe.interval_seconds, probe.clock):
            turns.append(_urls(settings, probe.clock, slots))
        for part in await asyncio.gather(*turns):
            found.samples.extend(part.samples)
            found.checks.extend(part.checks)
            found.covered.extend(part.covered)
            found.problems.extend(part.problems)
    # Later than the interval is as good as not at all: a service defined meanwhile is seen then.
    sooner = min(agenda.values()) - probe.clock.monotonic() if agenda else None
    return replace(found, next_seconds=sooner)


def _its_turn(agenda: dict[str, float], name: str, interval: float, clock: Clock) -> bool:
    now = clock.monotonic()
    due = agenda.get(name, now)
    # An interval made shorter meanwhile counts at once.
    if now < due <= now + interval:
        return False
    # On a grid, so that rounds which take their time do not drift; one that was missed altogether is let go.
    agenda[name] = due + interval if now - interval < due <= now else now + interval
    return True


def _asker(transport: httpx2.AsyncBaseTransport, clock: Clock, slots: asyncio.Semaphore) -> Ask:
    async def ask(url: str, timeout: float) -> Answer:
        async with slots:
            return await http_probe(transport, url, timeout, clock)

    return ask


async def _service(service: ServiceDefinition, probe: Probe, ask: Ask) -> Observations:
    health = service.health
    thresholds = Thresholds(health.failures, health.successes) if health else Thresholds()

    async def one(replica: Replica) -> CheckResult:
        if not replica.alive:
            answer = Answer(False, replica.reason or "the process is gone", None)
        elif health is None or replica.address is None:
            answer = Answer(True, "alive", None)
        else:
            url = f"{replica.address.rstrip('/')}/{health.path.lstrip('/')}"
            answer = await ask(url, health.timeout_seconds)
        return _result("service_health", service.name, replica.id, answer, probe.clock, thresholds, replica.address)

    try:
        platform = probe.services.platform(service)
        results = await asyncio.gather(*(one(replica) for replica in await platform.replicas(service)))
        if not all(result.ok for result in results):
            # One that was replaced while it was being asked has not failed.
            still = {replica.id for replica in await platform.replicas(service)}
            results = [result for result in results if result.ok or result.target in still]
    except AutomationError as error:
        return Observations(problems=[f"{service.name}: {error.message}"])
    found = Observations(checks=list(results), covered=[("service_health", service.name)])
    if results:
        share = sum(result.ok for result in results) / len(results)
        now = probe.clock.now()
        found.samples.append(Sample(name="service_up", value=share, subject=service.name, time=now))
    found.samples.extend(_latencies(results))
    return found


async def _urls(settings: HttpHealth, clock: Clock, slots: asyncio.Semaphore) -> Observations:
    thresholds = Thresholds(settings.failures, settings.successes)
    # Addresses from a definition: link-local and cloud metadata ones are refused.
    async with await guarded_transport(HttpLimits()) as transport:
        ask = _asker(transport, clock, slots)

        async def one(url: str) -> CheckResult:
            try:
                answer = await ask(url, settings.timeout_seconds)
            except ActionError as error:
                answer = Answer(False, error.message, None)
            subject = settings.subject or urlsplit(url).hostname or url
            return _result("url_health", subject, url, answer, clock, thresholds, url)

        results = await asyncio.gather(*(one(url) for url in settings.urls))
    covered = sorted({(result.check, result.subject) for result in results})
    return Observations(samples=_latencies(results), checks=list(results), covered=covered)


def _result(
    check: str,
    subject: str,
    target: str,
    answer: Answer,
    clock: Clock,
    thresholds: Thresholds,
    address: str | None,
) -> CheckResult:
    return CheckResult(
        check=check,
        subject=subject,
        target=target,
        ok=answer.ok,
        time=clock.now(),
        detail=answer.detail,
        latency_seconds=answer.latency_seconds,
        address=address or "",
        thresholds=thresholds,
    )


def _latencies(results: Sequence[CheckResult]) -> list[Sample]:
    return [
        Sample(
            name="probe_latency_seconds",
            value=result.latency_seconds,
            subject=result.subject,
            labels={"target": result.target},
            time=result.time,
        )
        for result in results
        if result.latency_seconds is not None
    ]
