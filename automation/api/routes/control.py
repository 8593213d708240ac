"""What people may ask of executions beside their end: to pause, go on, be done again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request
from pydantic import Field
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json
from automation.api.routes.executions import Asked
from automation.api.routes.workflows import Started
from automation.engine import AutomationEngine
from automation.model.base import Definition
from automation.model.execution import StartReceipt
from automation.model.identity import Identity
from automation.workflows.control import Again

router = APIRouter(prefix="/api/v1/executions", tags=["executions"])

Starter = Annotated[Identity, Depends(needs("workflows:execute"))]
Id = Annotated[str, Path(max_length=100)]
Reason = Annotated[str, Field(max_length=2000)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, description="The same key again: the same execution."
    ),
]


class AskRequest(Definition):
    """Why it is asked."""

    reason: Reason = ""


class RerunRequest(Definition):
    """How an execution is to be done again."""

    variables: dict[str, Any] = Field(default_factory=dict)
    """What is to be different from the variables of the former execution."""
    newest: bool = False
    """Whether by the version of the workflow that is registered now; else by the one that it had."""
    reason: Reason = ""

    def again(self, caller: Identity, key: str | None) -> Again:
        """The same, as asked by this caller."""
        return Again(self.variables, self.newest, self.reason, caller.name, key)


class ForkRequest(RerunRequest):
    """From where an execution is to be done again."""

    action: Annotated[str, Field(max_length=200)]
    """The first action that runs again."""


@router.post(
    "/{execution_id}/pause",
    status_code=202,
    responses=gives(Asked, "Will be paused", 202),
    openapi_extra=takes(AskRequest, {"reason": "the other team first"}, required=False),
)
async def pause_execution(request: Request, execution_id: Id, caller: Starter) -> Response:
    """Begin nothing further of an execution: what runs may end, then it waits until it is resumed."""
    return await _ask(request, execution_id, caller, engine_of(request).executions.pause)


@router.post(
    "/{execution_id}/resume",
    status_code=202,
    responses=gives(Asked, "Will go on", 202),
    openapi_extra=takes(AskRequest, {"reason": "they are done"}, required=False),
)
async def resume_execution(request: Request, execution_id: Id, caller: Starter) -> Response:
    """Let a paused execution go on, with all that is due by now."""
    return await _ask(request, execution_id, caller, engine_of(request).executions.resume)


@router.post(
    "/{execution_id}/retry",
    status_code=202,
    responses=gives(Asked, "Goes on", 202),
    openapi_extra=takes(AskRequest, {"reason": "the disk has room again"}, required=False),
)
async def retry_execution(request: Request, execution_id: Id, caller: Starter) -> Response:
    """Go on with an execution that has failed, timed out or was cancelled, from what has failed.

    It is the same execution; what was completed is not run again. Refused where a rollback has undone what it did.
    """
    return await _ask(request, execution_id, caller, engine_of(request).executions.retry)


@router.post(
    "/{execution_id}/rerun",
    status_code=202,
    responses=gives(Started, "Started; follow `location`", 202) | gives(Started, "What the key has started before"),
    openapi_extra=takes(RerunRequest, {"variables": {"who": "them"}, "reason": "for the others"}, required=False),
)
async def rerun_execution(request: Request, execution_id: Id, caller: Starter, key: Key = None) -> Response:
    """Do an execution again as a new one, with the same inputs but for the variables that are given."""
    engine = engine_of(request)
    order = await read_model(request, RerunRequest)
    return await _started(engine, await engine.executions.repeat(execution_id, None, order.again(caller, key)))


@router.post(
    "/{execution_id}/fork",
    status_code=202,
    responses=gives(Started, "Started; follow `location`", 202) | gives(Started, "What the key has started before"),
    openapi_extra=takes(ForkRequest, {"action": "deploy", "variables": {"region": "us"}}),
)
async def fork_execution(request: Request, execution_id: Id, caller: Starter, key: Key = None) -> Response:
    """Do an execution again from one of its actions on, as a new one.

    What was completed and does not come after that action is taken over with its outputs.
    """
    engine = engine_of(request)
    order = await read_model(request, ForkRequest)
    return await _started(engine, await engine.executions.repeat(execution_id, order.action, order.again(caller, key)))


async def _ask(request: Request, execution_id: str, caller: Identity, act: Callable[..., Awaitable[None]]) -> Response:
    order = await read_model(request, AskRequest)
    await act(execution_id, order.reason, actor=caller.name)
    return Json(Asked(execution_id, await engine_of(request).get_workflow_status(execution_id)), 202)


async def _started(engine: AutomationEngine, receipt: StartReceipt) -> Response:
    execution = await engine.queries.execution(receipt.execution_id)
    location = f"{router.prefix}/{execution.id}"
    told = Started(execution.id, execution.workflow, location, receipt.repeated)
    return Json(told, 200 if receipt.repeated else 202, {"Location": location})
