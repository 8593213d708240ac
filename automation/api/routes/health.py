"""Whether the engine lives, is ready, and how it does."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from automation.api.access import admit, engine_of, from_this_machine
from automation.api.operations import Operation, RawRoute, gives
from automation.api.render import Json
from automation.api.schemas import Schema

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Health:
    """How the engine is; `reasons` says what keeps it from being ready."""

    status: str
    reasons: tuple[str, ...] = ()


async def live(request: Request) -> Response:
    """Whether the process lives: it answers."""
    return Json(Health("ok"))


async def ready(request: Request) -> Response:
    """Whether the engine takes work: 200 once it has recovered and can write, else 503 with the reasons."""
    reasons = tuple(engine_of(request).hindrances)
    return Json(Health("not ready" if reasons else "ready", reasons), 503 if reasons else 200)


async def metrics(request: Request) -> Response:
    """All metrics in Prometheus' text format."""
    engine = engine_of(request)
    if not (engine.config.api.open_metrics_on_loopback and from_this_machine(request)):
        await admit(request, "metrics:view")
    return Response(engine.metrics.render(), media_type=engine.metrics.content_type)


_LIVE = Operation("GET", "health", "anybody", gives(Health))
_READY = Operation("GET", "health", "anybody", gives(Health, "Ready") | gives(Health, "Not ready, and why", 503))
_TEXT: dict[int | str, Schema] = {
    200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_METRICS = Operation("GET", "health", "anybody on this machine; else metrics:view", _TEXT)

router.routes.extend(
    (
        RawRoute("/healthz", live, _LIVE),
        RawRoute("/-/healthy", live, _LIVE),
        RawRoute("/readyz", ready, _READY),
        RawRoute("/-/ready", ready, _READY),
        RawRoute("/metrics", metrics, _METRICS),
    )
)
