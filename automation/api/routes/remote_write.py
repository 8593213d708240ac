"""Prometheus' remote write: samples that a Prometheus sends on to us."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import admit, engine_of
from automation.api.operations import Operation, RawRoute
from automation.errors import MissingExtra
from automation.sources.remote_write import VERSION_1, VERSION_2, Written, samples_of

router = APIRouter()

PATH = "/api/v1/prometheus/write"
_PUBLISH = "events:publish"
_GROWTH = 16
"""How many times larger than `api.max_body_bytes` a request may be once it is unpacked."""


async def remote_write(request: Request) -> Response:
    """Take in samples as Prometheus' remote write sends them, version 1 or 2.

    Use it as the `url` of a `remote_write`, with the token in `authorization.credentials`. Each sample goes where those
    of our own collectors go: to recent windows and alert rules. What is not taken is counted by its reason; version 2
    is answered with 400 then. `X-Prometheus-Remote-Write-Samples-Written` says how many were taken.
    """
    await admit(request, _PUBLISH)
    engine = engine_of(request)
    message = _message(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "").strip().lower() != "snappy":
        raise HTTPException(415, "remote write sends snappy; this body says nothing of it in Content-Encoding")
    try:
        limit = engine.config.api.max_body_bytes * _GROWTH
        written = samples_of(await request.body(), limit, engine.clock.now(), message)
    except MissingExtra as error:
        raise HTTPException(501, error.message) from None
    for reason, count in written.refused.items():
        engine.metrics.samples_refused.labels(reason).inc(count)
    # Counted where they are refused, these: labels that explode, what is out of order.
    written.taken = await engine.observe_many(written.samples, written.refused)
    return _answer(message, written)


def _message(content_type: str) -> str:
    """The message that a request says to be; raises HTTPException for any other."""
    media, _, parameter = (part.strip() for part in content_type.partition(";"))
    name, _, wanted = (part.strip() for part in parameter.partition("="))
    message = wanted.strip('"') if name.lower() == "proto" else VERSION_1
    if media.lower() != "application/x-protobuf" or message not in (VERSION_1, VERSION_2):
        detail = f"send application/x-protobuf with proto={VERSION_1} or proto={VERSION_2}, not {content_type[:100]!r}"
        raise HTTPException(415, detail)
    return message


def _answer(message: str, written: Written) -> Response:
    headers = {
        "X-Prometheus-Remote-Write-Samples-Written": str(written.understood),
        "X-Prometheus-Remote-Write-Histograms-Written": "0",
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",
    }
    if message == VERSION_2 and written.lost:
        counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(written.lost.items()))
        raise HTTPException(400, f"not all was taken in ({counts}); all else was", headers=headers)
    return Response(status_code=204, headers=headers)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}},
    }
}

router.routes.append(
    RawRoute(PATH, remote_write, Operation("POST", "webhooks", _PUBLISH, {204: {"description": "Taken in"}}, _BODY))
)
