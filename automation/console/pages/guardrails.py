"""Guardrails: what holds actions back, stopping everything, and lifting that."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.console.desk import desk_of
from automation.console.gate import PageRoute, see_other
from automation.model.identity import Identity

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_HOLDS = ("actions:execute_standard", "actions:execute_critical")
Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Holder = Annotated[Identity, Depends(needs(*_HOLDS))]
Reason = Annotated[str, Form(max_length=1000)]


def may_hold(caller: Identity) -> bool:
    """Whether somebody may stop everything, and lift that."""
    return any(caller.may(permission) for permission in _HOLDS)


@router.get("/guardrails")
async def show_guardrails(request: Request, caller: Viewer) -> Response:
    """What holds actions back now, which wait for it, and what was refused last."""
    engine = engine_of(request)
    refusals = await engine.queries.decisions(kind="guardrail", limit=20) if caller.may("events:view") else None
    return desk_of(request).page(
        request,
        "guardrails.html",
        identity=caller,
        section="guardrails",
        watch="/console/stream?kinds=execution,guardrails",
        status=await engine.guardrails.status(),
        circuits=engine.breakers.all(),
        refusals=refusals.items if refusals is not None else (),
        may_hold=may_hold(caller),
    )


@router.get("/guardrails/stop")
async def confirm_stop(request: Request, caller: Holder) -> Response:
    """Ask once more, and for the reason."""
    stop = engine_of(request).guardrails.stopped
    return desk_of(request).page(request, "stop.html", identity=caller, section="guardrails", stop=stop)


@router.post("/guardrails/stop")
async def stop(request: Request, caller: Holder, reason: Reason = "") -> Response:
    """Let nothing begin any more that changes anything."""
    await engine_of(request).guardrails.stop(reason, caller.name)
    return see_other("/")


@router.post("/guardrails/release")
async def release(request: Request, caller: Holder) -> Response:
    """Lift the stop."""
    await engine_of(request).guardrails.release(caller.name)
    return see_other("/")


@router.post("/guardrails/thaw")
async def thaw(request: Request, caller: Holder, name: Annotated[str, Form(max_length=200)]) -> Response:
    """Take back a freeze window that was put in force by hand."""
    await engine_of(request).guardrails.thaw(name, caller.name)
    return see_other("/guardrails")
