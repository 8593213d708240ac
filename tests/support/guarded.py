"""Operations on services whose replicas are only a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from automation import ActionContext, Suspend, TryLater, action, undo
from automation.model.service import Replica, ServiceDefinition

done: list[tuple[str, str]] = []
"""What was done: (operation, target)."""


class On(BaseModel):
    service_name: str = ""
    times: int = 0
    wait: float = 0.0
    remove: int = 0


@action("guarded.restart", idempotent=True, target="service_name")
async def restart(params: On, context: ActionContext) -> dict[str, Any]:
    """Restart a service; fail the first so many times, wait that long in between."""
    if context.attempt <= params.times:
        raise TryLater("not yet")
    if params.wait and context.now() < context.started_at + params.wait:
        raise Suspend(context.started_at + params.wait, "waits")
    done.append(("restart", params.service_name))
    return {}


def _removed(params: On, service: ServiceDefinition, replicas: Sequence[Replica]) -> int:
    return params.remove


@action("guarded.shrink", idempotent=True, target="service_name", touches=_removed)
async def shrink(params: On, context: ActionContext) -> dict[str, Any]:
    """Take replicas away."""
    done.append(("shrink", params.service_name))
    return {}


@action("guarded.look", effect="read", target="service_name")
async def look(params: On, context: ActionContext) -> dict[str, Any]:
    """Change nothing."""
    done.append(("look", params.service_name))
    return {}


@action("guarded.tell", guarded=False)
async def tell(params: On, context: ActionContext) -> dict[str, Any]:
    """Tell people."""
    done.append(("tell", params.service_name))
    return {}


@undo("guarded.restart")
async def unrestart(params: On, result: Any, context: ActionContext) -> None:
    """Take it back."""
    done.append(("undo", params.service_name))


class Replicas:
    """A platform whose replicas are what a test says."""

    def __init__(self) -> None:
        self.living = 4
        self.dead = 0
        self.broken = False

    async def replicas(self, service: ServiceDefinition) -> list[Replica]:
        if self.broken:
            raise TryLater("the platform does not answer")
        alive = [Replica(id=f"{service.name}-{n}", service=service.name) for n in range(self.living)]
        return alive + [Replica(id=f"{service.name}-x{n}", service=service.name, alive=False) for n in range(self.dead)]
