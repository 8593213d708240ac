"""The `certificate` collector: how many days certificates are still valid."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from automation.clock import Clock
from automation.errors import ActionError
from automation.infrastructure.connect import Endpoint, connect, failure, trust, unreadable
from automation.model.metric import Sample
from automation.monitoring.collector import CheckResult, Observations, Probe
from automation.monitoring.connections import AT_ONCE, Connections
from automation.plugins import collector

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_DAY = 86_400.0
_MAX_BYTES = 1_048_576


class CertificateProbe(Connections):
    """Whose certificates are looked at."""

    targets: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Each `host:port`, or `[address]:port` for IPv6, where TLS is spoken."""
    subject: str = ""
    """What they belong to; by default the host of each target, and the path of each file."""
    verify: bool = True
    """Whether the certificate of a target is verified as well. Off, only its dates count, and the detail says so."""
    files: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """PEM files; of several certificates in one, the one that expires first counts."""
    minimum_days: Annotated[float, Field(ge=0)] = 14.0
    """With fewer days left the check fails."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        everything = (*self.targets, *self.files)
        if not everything:
            raise ValueError("give targets, files, or both")
        if len(set(everything)) < len(everything):
            raise ValueError("a target or file stands here twice")
        return self


@dataclass(frozen=True, slots=True)
class _Seen:
    expires: float | None
    """In seconds since the epoch; None if no certificate could be had."""
    complaint: str = ""
    note: str = ""


@collector("certificate")
async def certificate(settings: CertificateProbe, probe: Probe) -> Observations:
    """Look at the certificates of hosts and of PEM files.

    Gives a check `certificate` of each: well if it is valid for `minimum_days` more and, of a target, verified; and
    `certificate_days_left` (label `target`), which is negative once it has expired.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def of_target(target: str) -> _Seen:
        async with slots:
            return await _asked(settings, Endpoint.of(target), probe.clock)

    seen = await asyncio.gather(
        *(of_target(target) for target in settings.targets),
        *(asyncio.to_thread(_read, file) for file in settings.files),
    )
    names = [(target, settings.subject or Endpoint.of(target).host) for target in settings.targets]
    names += [(file, settings.subject or file) for file in settings.files]
    found = Observations()
    now = probe.clock.now()
    for (target, subject), one in zip(names, seen, strict=True):
        days = None if one.expires is None else (one.expires - now) / _DAY
        if days is not None:
            labels = {"target": target}
            found.samples.append(
                Sample(name="certificate_days_left", value=days, subject=subject, labels=labels, time=now)
            )
        enough = days is not None and days >= settings.minimum_days
        found.checks.append(
            CheckResult(
                check="certificate",
                subject=subject,
                target=target,
                ok=enough and not one.complaint,
                time=now,
                detail="; ".join(part for part in (one.complaint, _lifetime(days), one.note) if part),
                address=target,
                thresholds=settings.thresholds,
                of_availability=False,
            )
        )
    found.covered.extend(sorted({(result.check, result.subject) for result in found.checks}))
    return found


def _lifetime(days: float | None) -> str:
    if days is None:
        return ""
    return f"expires in {days:.1f} days" if days >= 0 else f"expired {-days:.1f} days ago"


async def _asked(settings: CertificateProbe, endpoint: Endpoint, clock: Clock) -> _Seen:
    limit, name = settings.timeout_seconds, settings.server_name
    complaint = ""
    note = "" if settings.verify else "not verified, as verify is off"
    try:
        try:
            context = await trust(settings.verify, settings.ca_file)
        except OSError as error:
            return _Seen(None, unreadable(settings.ca_file, error))
        try:
            answer = await connect(endpoint, limit, clock, context, name)
        except ssl.SSLCertVerificationError as error:
            # Refused, perhaps because it has expired: its dates are wanted all the more.
            complaint = failure(error)
            answer = await connect(endpoint, limit, clock, await trust(False), name)
    except TimeoutError:
        return _Seen(None, complaint or f"no connection within {limit:g} s")
    except OSError as error:
        return _Seen(None, complaint or failure(error))
    except ActionError as error:
        return _Seen(None, error.message)
    from cryptography.x509 import load_der_x509_certificate

    try:
        return _Seen(_expires(load_der_x509_certificate(answer.certificate or b"")), complaint, note)
    except ValueError as error:
        return _Seen(None, f"the certificate cannot be read: {error}")


def _read(file: str) -> _Seen:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        path = Path(file)
        if not path.is_file():
            return _Seen(None, "cannot be read: it is not a file" if path.exists() else "there is no such file")
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            return _Seen(None, f"is larger than {_MAX_BYTES} bytes")
        return _Seen(min(_expires(each) for each in load_pem_x509_certificates(content)))
    except OSError as error:
        return _Seen(None, f"cannot be read: {error.strerror}")
    except ValueError:
        return _Seen(None, "holds no certificate in PEM format that can be read")


def _expires(found: Certificate) -> float:
    return found.not_valid_after_utc.timestamp()
