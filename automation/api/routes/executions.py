"""Executions: what was and is done, and what people may ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from automation.api.access import audited, engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json, event_mapping
from automation.errors import Conflict, DefinitionError, NotFound
from automation.model.base import Definition
from automation.model.execution import ActionRun, Execution, ExecutionDetail, JournalEntry, WorkflowStatus
from automation.model.identity import Identity
from automation.store.pages import LIMIT, Page
from automation.workflows.compiler import compile_workflow

router = APIRouter(prefix="/api/v1/executions", tags=["executions"])

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Starter = Annotated[Identity, Depends(needs("workflows:execute"))]
Id = Annotated[str, Path(max_length=100)]
Cursor = Annotated[str | None, Query(pattern="^[0-9a-f-]{36}$", description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]

Approver = Annotated[Identity, Depends(needs("actions:execute_standard", "actions:execute_critical"))]


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """One execution with its actions; its journal is a resource of its own."""

    execution: Execution
    actions: tuple[ActionRun, ...]
    layers: tuple[tuple[str, ...], ...]
    variables: dict[str, Any]
    event: dict[str, Any] | None
    children: tuple[Execution, ...]
    """What its actions have started."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The facts of an execution in their order; `next_after` continues a long one."""

    items: tuple[JournalEntry, ...]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """That something was asked of an execution and is on disk, and its status then."""

    execution_id: str
    status: WorkflowStatus


class CancelRequest(Definition):
    """Why it is cancelled."""

    reason: Annotated[str, Field(max_length=2000)] = ""


class DecisionRequest(Definition):
    """What a person decided."""

    action: str | None = None
    """The action that waits for approval; null for an execution that is proposed."""
    approve: bool
    reason: Annotated[str, Field(max_length=2000)] = ""


@router.get("", responses=gives(Page[Execution]))
async def list_executions(
    request: Request,
    caller: Viewer,
    workflow: Annotated[str | None, Query(max_length=200)] = None,
    status: WorkflowStatus | None = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
    id: Annotated[
        str | None, Query(pattern="^[0-9a-f-]{4,36}$", description="Only those whose id begins or ends with it.")
    ] = None,
) -> Response:
    """Executions, newest first."""
    queries = engine_of(request).queries
    return Json(await queries.executions(workflow=workflow, status=status, cursor=cursor, limit=limit, id=id))


@router.get("/{execution_id}", responses=gives(ExecutionView))
async def get_execution(request: Request, execution_id: Id, caller: Viewer, whole: bool = False) -> Response:
    """One execution: its actions, variables, and the event that started it.

    For a large value stands `{"$ref": "sha256:…", "size": …}`, unless `whole` is asked for.
    """
    detail = await engine_of(request).queries.execution_detail(execution_id, whole=whole)
    event = event_mapping(detail.event)
    layers = _layers(detail)
    view = ExecutionView(detail.execution, detail.actions, layers, detail.variables, event, detail.children)
    return Json(view)


@router.get("/{execution_id}/journal", responses=gives(Journal))
async def get_journal(
    request: Request,
    execution_id: Id,
    caller: Viewer,
    after: Annotated[int, Query(ge=0, description="The `seq` after which to begin.")] = 0,
    limit: Limit = 1000,
) -> Response:
    """The journal of an execution: every fact in its order."""
    detail = await engine_of(request).queries.execution_detail(execution_id)
    left = [entry for entry in detail.journal if entry.seq > after]
    items = tuple(left[:limit])
    return Json(Journal(items, items[-1].seq if len(left) > limit else None))


@router.post(
    "/{execution_id}/cancel",
    status_code=202,
    responses=gives(Asked, "Will be cancelled", 202),
    openapi_extra=takes(CancelRequest, {"reason": "the wrong service"}, required=False),
)
async def cancel_execution(request: Request, execution_id: Id, caller: Starter) -> Response:
    """End an execution: what runs is cancelled, cleanup still runs."""
    engine = engine_of(request)
    order = await read_model(request, CancelRequest)
    await engine.cancel(execution_id, order.reason, actor=caller.name)
    return Json(Asked(execution_id, await engine.get_workflow_status(execution_id)), 202)


@router.post(
    "/{execution_id}/decision",
    status_code=202,
    responses=gives(Asked, "Decided", 202),
    openapi_extra=takes(DecisionRequest, {"action": "deploy", "approve": True, "reason": "looks right"}),
)
async def decide(request: Request, execution_id: Id, caller: Approver) -> Response:
    """Approve or deny a proposed execution, or an action that waits for approval: the same as by its approval's id.

    To approve what is critical, `actions:execute_critical` is needed.
    """
    engine = engine_of(request)
    order = await read_model(request, DecisionRequest)
    detail = await engine.queries.execution_detail(execution_id)
    if detail.execution.status.finished:
        raise Conflict(f"execution {execution_id} has already ended")
    if order.action is not None and all(known.name != order.action for known in detail.definition.actions):
        raise NotFound(kind="action", name=order.action)
    approval = await engine.approvals.asked(execution_id, order.action)
    answering = engine.approvals.answer(approval.id, order.approve, reason=order.reason, by=caller)
    await audited(request, caller, answering)
    return Json(Asked(execution_id, await engine.get_workflow_status(execution_id)), 202)


def _layers(detail: ExecutionDetail) -> tuple[tuple[str, ...], ...]:
    try:
        plan = compile_workflow(detail.definition)
    except DefinitionError:
        return tuple((action.name,) for action in detail.definition.actions)
    return tuple(tuple(step.name for step in layer) for layer in plan.layers())
