"""The `tcp` collector: whether ports accept connections, and how long that takes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Self

from pydantic import Field, model_validator

from automation.errors import ActionError
from automation.infrastructure.connect import Connected, Endpoint, connect, failure, trust, unreadable
from automation.model.metric import Sample
from automation.monitoring.collector import CheckResult, Observations, Probe
from automation.monitoring.connections import AT_ONCE, Connections
from automation.plugins import collector


class TcpProbe(Connections):
    """Which ports are connected to."""

    targets: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
    """Each `host:port`, or `[address]:port` for IPv6."""
    verify: bool = True
    """Whether the certificate is verified. Off, a probe says nothing of who has answered, and its detail says so."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """The limit for connecting and shaking hands together."""
    tls: bool = False
    """Whether TLS is spoken after connecting."""

    @model_validator(mode="after")
    def _of_tls(self) -> Self:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("a target stands here twice")
        if not self.tls and (self.ca_file is not None or self.server_name is not None or not self.verify):
            raise ValueError("verify, ca_file and server_name are for TLS: set tls to true")
        return self


@collector("tcp")
async def tcp(settings: TcpProbe, probe: Probe) -> Observations:
    """Connect to each target, with TLS where that is asked for, and close again; nothing else is sent.

    Gives a check `tcp_health` of each, `tcp_connect_seconds`, and with TLS `tls_handshake_seconds` (label `target`).
    """
    try:
        context = await trust(settings.verify, settings.ca_file) if settings.tls else None
    except OSError as error:
        return Observations(problems=[unreadable(settings.ca_file, error)])
    slots = asyncio.Semaphore(AT_ONCE)
    found = Observations()

    async def one(target: str) -> CheckResult:
        endpoint = Endpoint.of(target)
        subject = settings.subject or endpoint.host
        seconds: float | None = None
        async with slots:
            began = probe.clock.monotonic()
            try:
                answer = await connect(endpoint, settings.timeout_seconds, probe.clock, context, settings.server_name)
                ok, detail, seconds = True, _said(settings, answer), answer.connect_seconds
                found.samples.extend(_samples(answer, target, subject, probe.clock.now()))
            except TimeoutError:
                ok, detail = False, f"no connection within {settings.timeout_seconds:g} s"
                seconds = probe.clock.monotonic() - began
            except OSError as error:
                ok, detail = False, failure(error)
            except ActionError as error:
                ok, detail = False, error.message
        thresholds = settings.thresholds
        return CheckResult(
            check="tcp_health",
            subject=subject,
            target=target,
            ok=ok,
            time=probe.clock.now(),
            detail=detail,
            latency_seconds=seconds,
            address=target,
            thresholds=thresholds,
        )

    found.checks.extend(await asyncio.gather(*(one(target) for target in settings.targets)))
    found.covered.extend(sorted({(result.check, result.subject) for result in found.checks}))
    return found


def _said(settings: TcpProbe, answer: Connected) -> str:
    if answer.handshake_seconds is None:
        return "accepts connections"
    return "speaks TLS" if settings.verify else "speaks TLS; its certificate was not verified, as verify is off"


def _samples(answer: Connected, target: str, subject: str, now: float) -> list[Sample]:
    figures = {"tcp_connect_seconds": answer.connect_seconds, "tls_handshake_seconds": answer.handshake_seconds}
    return [
        Sample(name=name, value=value, subject=subject, labels={"target": target}, time=now)
        for name, value in figures.items()
        if value is not None
    ]
