"""Prometheus' remote write: samples that a Prometheus sends on to us."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import admit, engine_of
from automation.api.operations import Operation, RawRoute
from automation.errors import MissingExtra
from automation.sources.remote_write import VERSION_2, samples_of

router = APIRouter()

PATH = "/api/v1/prometheus/write"
_PUBLISH = "events:publish"
_GROWTH = 16
"""How many times larger than `api.max_body_bytes` a request may be once it is unpacked."""


async def remote_write(request: Request) -> Response:
    """Take in samples as Prometheus' remote write (version 1) sends them.

    Use it as the `url` of a `remote_write`, with the token in `authorization.credentials`. Each sample goes where those
    of our own collectors go: to recent windows and alert rules. What is not taken is counted by its reason.
    """
    await admit(request, _PUBLISH)
    engine = engine_of(request)
    if VERSION_2 in request.headers.get("content-type", ""):
        raise HTTPException(415, "remote write 2.0 is not read here; set protobuf_message: prometheus.WriteRequest")
    if request.headers.get("content-encoding", "").strip().lower() != "snappy":
        raise HTTPException(415, "remote write sends snappy; this body says nothing of it in Content-Encoding")
    try:
        limit = engine.config.api.max_body_bytes * _GROWTH
        written = samples_of(await request.body(), limit, engine.clock.now())
    except MissingExtra as error:
        raise HTTPException(501, error.message) from None
    for reason, count in written.refused.items():
        engine.metrics.samples_refused.labels(reason).inc(count)
    await engine.observe_many(written.samples)
    return Response(status_code=204)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}},
    }
}

router.routes.append(
    RawRoute(PATH, remote_write, Operation("POST", "webhooks", _PUBLISH, {204: {"description": "Taken in"}}, _BODY))
)
