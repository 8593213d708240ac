"""Services: what actions act on, and how it does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives
from automation.api.render import Json
from automation.engine import AutomationEngine
from automation.errors import AutomationError
from automation.model.identity import Identity
from automation.model.service import Replica, ServiceDefinition
from automation.monitoring.availability import over

router = APIRouter(prefix="/api/v1/services", tags=["services"])


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service with its replicas; `error` says why they are not known."""

    definition: ServiceDefinition
    replicas: tuple[Replica, ...]
    availability_percent: float | None
    """The share of good health probes over the last day; null where there were none."""
    availability: Mapping[str, float]
    """The same over the last hour, day, seven and thirty days, where there were any; only of a single service."""
    error: str | None


@dataclass(frozen=True, slots=True)
class ServiceList:
    """All services, by name."""

    items: tuple[ServiceView, ...]


@router.get("", responses=gives(ServiceList))
async def list_services(request: Request, caller: Annotated[Identity, Depends(needs("workflows:view"))]) -> Response:
    """All services, with their replicas."""
    engine = engine_of(request)
    found = await asyncio.gather(*(_view(engine, service) for service in engine.services.all()))
    return Json(ServiceList(tuple(found)))


@router.get("/{name}", responses=gives(ServiceView))
async def get_service(
    request: Request, name: str, caller: Annotated[Identity, Depends(needs("workflows:view"))]
) -> Response:
    """One service, with its replicas."""
    engine = engine_of(request)
    service = engine.services.get(name)
    availability = await over(engine.samples.history, name, engine.clock.now())
    return Json(replace(await _view(engine, service), availability=availability))


async def _view(engine: AutomationEngine, service: ServiceDefinition) -> ServiceView:
    availability = engine.watching.monitor.availability().get(service.name)
    try:
        replicas = await engine.services.platform(service).replicas(service)
    except (AutomationError, OSError) as error:
        return ServiceView(service, (), availability, {}, str(error))
    return ServiceView(service, tuple(replicas), availability, {}, None)
