"""Sources: whether what the engine reads by itself is read, and how far behind it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives
from automation.api.render import Json
from automation.errors import NotFound
from automation.model.identity import Identity
from automation.sources.supervisor import SourceState

router = APIRouter(prefix="/api/v1/sources", tags=["sources"])

Viewer = Annotated[Identity, Depends(needs("events:view"))]


@dataclass(frozen=True, slots=True)
class SourceList:
    """All sources, by name."""

    items: tuple[SourceState, ...]


@router.get("", responses=gives(SourceList))
async def list_sources(request: Request, caller: Viewer) -> Response:
    """All sources that this process runs, and how each is doing."""
    states = engine_of(request).watching.sources.states
    return Json(SourceList(tuple(states[name] for name in sorted(states))))


@router.get("/{name}", responses=gives(SourceState))
async def get_source(request: Request, name: str, caller: Viewer) -> Response:
    """How one source is doing."""
    found = engine_of(request).watching.sources.states.get(name)
    if found is None:
        raise NotFound(kind="source", name=name)
    return Json(found)
