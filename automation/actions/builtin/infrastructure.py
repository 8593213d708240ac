"""`infrastructure.*`: restarting and scaling services."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from automation.actions.context import ActionContext
from automation.errors import NotFound, Refused
from automation.infrastructure.platform import Platform, RestartOptions
from automation.infrastructure.services import Services
from automation.model.service import Replica, ServiceDefinition
from automation.plugins import action, undo


class RestartService(BaseModel):
    """Which service to restart, and how."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    service_name: str
    graceful: bool = True
    """Start and check the replacement first, then ask the old replica to end; else kill it at once."""
    wait_for_health: bool = True
    """Whether each new replica must answer its health check before the next old one goes."""


# Idempotent: run again after a crash, it finishes the half-done step and replaces replicas once more, which harms none.
@action("infrastructure.restart_service", idempotent=True, effect="standard", target="service_name")
async def restart_service(params: RestartService, context: ActionContext) -> dict[str, Any]:
    """Replace every replica of a service by a new one, one after the other, the dead ones first.

    A service without any replica is started with its `replicas`. Returns `service_name`, `restarted` (the ids of the
    replicas that were replaced), `replicas` (how many run now), their `addresses`, and the `seconds` it took. Raises
    Refused for an unknown service, else what the platform raises.
    """
    service, platform = _service(params.service_name, context)
    began = context.clock.monotonic()
    before = await platform.replicas(service)
    if before:
        options = RestartOptions(params.graceful, params.wait_for_health, progress=context.log.info)
        await platform.restart(service, options)
    elif service.replicas:
        await platform.scale(service, service.replicas, progress=context.log.info)
    living = [replica for replica in await platform.replicas(service) if replica.alive]
    return {
        "service_name": service.name,
        "restarted": [replica.id for replica in before],
        "replicas": len(living),
        "addresses": [replica.address for replica in living if replica.address],
        "seconds": round(context.clock.monotonic() - began, 3),
    }


class ScaleInfrastructure(BaseModel):
    """Which service to scale, and to what: a factor of what runs, or a number of replicas."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    service_name: str
    scale_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Times the present number of replicas: rounded up above 1, down below, and always at least one more or less."""
    replicas: Annotated[int, Field(ge=0)] | None = None
    """Just this many."""
    min_instances: Annotated[int, Field(ge=0)] | None = None
    """Not fewer than this, nor than the service's `min_replicas`."""
    max_instances: Annotated[int, Field(ge=0)] | None = None
    """Not more than this, nor than the service's `max_replicas`."""

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if (self.scale_factor is None) == (self.replicas is None):
            raise ValueError("needs either scale_factor or replicas, and not both")
        return self


def removed(params: ScaleInfrastructure, service: ServiceDefinition, replicas: Sequence[Replica]) -> int:
    """How many replicas scaling takes away; growing harms none."""
    return len(replicas) - aim(params, service, len(replicas))[0]


# Idempotent: the number aimed at is written down under the idempotency key before anything is started or stopped.
@action(
    "infrastructure.scale_infrastructure",
    idempotent=True,
    effect="standard",
    target="service_name",
    touches=removed,
)
async def scale_infrastructure(params: ScaleInfrastructure, context: ActionContext) -> dict[str, Any]:
    """Change how many replicas of a service run, within its bounds and the given ones.

    Returns `service_name`, `from` and `to` (numbers of replicas), `replicas` (how many run now) and `bounded_by` (the
    bound that made it another number than asked for, or null). Raises Refused for an unknown service or bounds that
    contradict each other, else what the platform raises.
    """
    service, platform = _service(params.service_name, context)

    async def decide() -> dict[str, Any]:
        current = len(await platform.replicas(service))
        target, bound = aim(params, service, current)
        return {"from": current, "to": target, "bounded_by": bound}

    decision = await context.resource(Services).decided(service, context.idempotency_key, decide)
    replicas = await platform.scale(service, decision["to"], progress=context.log.info)
    running = sum(replica.alive for replica in replicas)
    return {"service_name": service.name, **decision, "replicas": running}


def aim(params: ScaleInfrastructure, service: ServiceDefinition, current: int) -> tuple[int, str | None]:
    """How many replicas to have, and which bound, if any, made it another number than asked for."""
    least, least_name = service.min_replicas, "min_replicas"
    most, most_name = service.max_replicas, "max_replicas"
    if params.min_instances is not None and params.min_instances > least:
        least, least_name = params.min_instances, "min_instances"
    if params.max_instances is not None and params.max_instances < most:
        most, most_name = params.max_instances, "max_instances"
    if least > most:
        raise Refused(f"{least_name} ({least}) is above {most_name} ({most}) for service {service.name!r}")
    wanted = _wanted(params, current)
    # A bound never turns growth into shrinkage or the other way round.
    factor = params.scale_factor
    if wanted > most:
        return (max(most, current) if factor is not None and factor >= 1 else most), most_name
    if wanted < least:
        return (min(least, current) if factor is not None and factor <= 1 else least), least_name
    return wanted, None


def _wanted(params: ScaleInfrastructure, current: int) -> int:
    if params.replicas is not None:
        return params.replicas
    factor = params.scale_factor or 1.0
    # 10 * 1.1 is 11.000000000000002: rounding takes back what binary fractions add.
    scaled = round(current * factor, 9)
    if factor > 1:
        return max(math.ceil(scaled), current + 1)
    if factor < 1:
        return max(0, min(math.floor(scaled), current - 1))
    return current


def _service(name: str, context: ActionContext) -> tuple[ServiceDefinition, Platform]:
    services = context.resource(Services)
    try:
        service = services.get(name)
    except NotFound as error:
        raise Refused(error.message) from None
    return service, services.platform(service)


@undo("infrastructure.scale_infrastructure")
async def unscale(params: ScaleInfrastructure, result: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    """Go back to as many replicas as there were."""
    service, platform = _service(params.service_name, context)
    replicas = await platform.scale(service, int(result["from"]))
    return {"service_name": service.name, "replicas": len(replicas)}
