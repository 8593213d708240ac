"""Guardrails: what holds actions back now, and stopping everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from automation.actions.circuits import OpenCircuit
from automation.api.access import engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json
from automation.engine import AutomationEngine
from automation.model.base import Definition
from automation.model.guardrail import FreezeWindow, Guardrails, HeldAct, Stop
from automation.model.identity import Identity
from automation.workflows.guards import FreezeView

router = APIRouter(prefix="/api/v1/guardrails", tags=["guardrails"])

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Holder = Annotated[Identity, Depends(needs("actions:execute_standard", "actions:execute_critical"))]
Name = Annotated[str, Path(max_length=200)]

EXAMPLE = {
    "name": "launch",
    "reason": "the album of the year comes out",
    "starts_at": "2026-12-04T22:00:00Z",
    "ends_at": "2026-12-05T06:00:00Z",
    "services": ["playback-*"],
}


@dataclass(frozen=True, slots=True)
class GuardrailView:
    """What holds actions back now."""

    stop: Stop | None
    """The global stop, if it is in force: nothing that changes anything begins."""
    freezes: tuple[FreezeView, ...]
    """Freeze windows, those of workflows left out."""
    breakers: tuple[OpenCircuit, ...]
    """Circuits that are not closed."""
    held: tuple[HeldAct, ...]
    """Actions that wait for a guardrail."""
    limits: Guardrails
    """The limits of the configuration."""


class StopRequest(Definition):
    """Why everything is stopped, or no longer."""

    reason: Annotated[str, Field(max_length=1000)] = ""


@router.get("", responses=gives(GuardrailView))
async def get_guardrails(request: Request, caller: Viewer) -> Response:
    """What holds actions back now: the global stop, freeze windows, open circuits; and which actions wait."""
    return Json(await view_of(engine_of(request)))


@router.post(
    "/stop",
    responses=gives(GuardrailView, "Stopped"),
    openapi_extra=takes(StopRequest, {"reason": "incident 7"}, required=False),
)
async def stop(request: Request, caller: Holder) -> Response:
    """Stop everything: from now on nothing begins that changes anything, on any node. What runs goes on to its end."""
    engine = engine_of(request)
    order = await read_model(request, StopRequest)
    await engine.guardrails.stop(order.reason, caller.name)
    return Json(await view_of(engine))


@router.post(
    "/release",
    responses=gives(GuardrailView, "Released"),
    openapi_extra=takes(StopRequest, {"reason": "it was the network"}, required=False),
)
async def release(request: Request, caller: Holder) -> Response:
    """Lift the global stop; what waited for that goes on."""
    engine = engine_of(request)
    order = await read_model(request, StopRequest)
    await engine.guardrails.release(caller.name, order.reason)
    return Json(await view_of(engine))


@router.post(
    "/freezes",
    status_code=201,
    responses=gives(GuardrailView, "In force", 201),
    openapi_extra=takes(FreezeWindow, EXAMPLE),
)
async def freeze(request: Request, caller: Holder) -> Response:
    """Put a freeze window in force, beside those of the configuration."""
    engine = engine_of(request)
    window = await read_model(request, FreezeWindow, "the freeze window")
    await engine.guardrails.freeze(window, caller.name)
    return Json(await view_of(engine), 201)


@router.delete("/freezes/{name}", responses=gives(GuardrailView, "Taken back"))
async def thaw(request: Request, name: Name, caller: Holder) -> Response:
    """Take back a freeze window that was put in force by hand."""
    engine = engine_of(request)
    await engine.guardrails.thaw(name, caller.name)
    return Json(await view_of(engine))


async def view_of(engine: AutomationEngine) -> GuardrailView:
    """What holds actions back now."""
    status = await engine.guardrails.status()
    return GuardrailView(
        status.stop, status.freezes, tuple(engine.breakers.all()), status.held, engine.guardrails.settings
    )
