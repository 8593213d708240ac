"""The `prometheus_scrape` collector: metrics that another program exposes as Prometheus text."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from automation.errors import TryLater
from automation.infrastructure.outgoing import HttpLimits, basic_authorization, exchange, guarded_transport, innermost
from automation.model.metric import Sample
from automation.monitoring.collector import Observations, Probe
from automation.plugins import collector

_NAME = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")


class PrometheusScrape(BaseModel):
    """What is scraped."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: str
    metrics: tuple[str, ...] = ()
    """Names of samples (`http_requests_total`, `request_seconds_bucket`); by default all."""
    subject: str = ""
    """The subject of the samples."""
    subject_label: str | None = None
    """The label whose value is the subject, where a sample has it."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    max_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """What is more is left out, and said to be."""
    max_bytes: Annotated[int, Field(ge=1)] = 10_485_760
    """A larger answer is refused."""

    @property
    def place(self) -> str:
        """The URL without what may be secret in it: for messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@collector("prometheus_scrape")
async def prometheus_scrape(settings: PrometheusScrape, probe: Probe) -> Observations:
    """GET a page in Prometheus' text format; each sample of it becomes one of ours, with its labels.

    Raises TryLater when the page cannot be had or read.
    """
    content = await _fetch(settings)
    now = probe.clock.now()
    try:
        # A large page takes a while to parse.
        samples, more = await asyncio.to_thread(_parse, settings, content, now)
    # OverflowError: a whole number that is too large for a sample.
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise TryLater(f"{settings.place}: not in Prometheus' text format: {error}") from None
    problems = [f"{settings.place}: {more} samples above max_samples were left out"] if more else []
    return Observations(samples=samples, problems=problems)


async def _fetch(settings: PrometheusScrape) -> bytes:
    transport = await guarded_transport(HttpLimits())
    import httpx2

    content = bytearray()
    headers = {"Accept": "text/plain; version=0.0.4", "Accept-Encoding": "identity", "User-Agent": "automation"}
    try:
        url = httpx2.URL(settings.url)
        request = httpx2.Request("GET", url, headers=headers | basic_authorization(url))
        limit = settings.timeout_seconds
        async with asyncio.timeout(limit), transport, exchange(transport, request, limit) as response:
            if not response.is_success:
                raise TryLater(f"{settings.place} answered {response.status_code}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > settings.max_bytes:
                    raise TryLater(f"{settings.place}: the page is larger than {settings.max_bytes} bytes")
    except (TimeoutError, httpx2.TimeoutException):
        raise TryLater(f"{settings.place}: no answer within {settings.timeout_seconds:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise TryLater(f"{settings.place}: {type(error).__name__}: {innermost(error)}") from None
    return bytes(content)


def _parse(settings: PrometheusScrape, content: bytes, now: float) -> tuple[list[Sample], int]:
    from prometheus_client.parser import text_string_to_metric_families

    wanted = {name.encode() for name in settings.metrics}
    if wanted:
        # Lines are sorted out before they are parsed, which costs far more.
        lines = [line for line in content.split(b"\n") if (name := _NAME.match(line)) and name[0] in wanted]
        content = b"\n".join(lines) + b"\n"
    found: list[Sample] = []
    more = 0
    for family in text_string_to_metric_families(content.decode("utf-8", errors="replace")):
        for raw in family.samples:
            if len(found) < settings.max_samples:
                found.append(_sample(settings, raw, now))
            else:
                more += 1
    return found, more


def _sample(settings: PrometheusScrape, raw: Any, now: float) -> Sample:
    labels = dict(raw.labels)
    subject = settings.subject
    if settings.subject_label is not None:
        subject = labels.pop(settings.subject_label, subject)
    time = float(raw.timestamp) if raw.timestamp is not None else now
    return Sample(name=raw.name, value=float(raw.value), subject=subject, labels=labels, time=time)
