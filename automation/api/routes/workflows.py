"""Workflows: what is registered, what would be registered, and starting them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import check, read_definition, read_model
from automation.api.render import Json
from automation.api.waiting import patiently
from automation.engine import AutomationEngine
from automation.errors import Conflict, DefinitionError, Problem
from automation.model.base import Definition
from automation.model.execution import ExecutionContext, ExecutionResult
from automation.model.identity import Identity
from automation.model.workflow import WorkflowDefinition
from automation.workflows.dryrun import Foreseen, Outlook, foresee

router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Creator = Annotated[Identity, Depends(needs("workflows:create"))]
Deleter = Annotated[Identity, Depends(needs("workflows:delete"))]
Version = Annotated[str, Path(pattern="^[0-9a-f]{4,32}$")]
Starter = Annotated[Identity, Depends(needs("workflows:execute"))]

EXAMPLE = {
    "name": "service_restart_workflow",
    "description": "Restart a service with health checks",
    "conditions": ["service_health_check_failed"],
    "actions": [
        {
            "name": "restart_service",
            "action_type": "infrastructure",
            "parameters": {"service_name": "playback-api", "graceful": True, "wait_for_health": True},
            "timeout_seconds": 300,
            "retry_attempts": 3,
        }
    ],
    "priority": "high",
}


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """A workflow in a list."""

    name: str
    description: str
    enabled: bool
    priority: str
    triggers: tuple[dict[str, Any], ...]
    conditions: tuple[str, ...]
    actions: tuple[str, ...]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class WorkflowList:
    """All workflows, by name."""

    items: tuple[WorkflowSummary, ...]


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow with the layers of its graph: each action comes in a later layer than all it depends on."""

    definition: WorkflowDefinition
    layers: tuple[tuple[str, ...], ...]
    operations: dict[str, str]
    """The operation of each action."""
    effects: dict[str, str]
    """What each action does to the world: `read`, `standard` or `critical`."""


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """One version of a workflow. Executions name it as their `definition_id`."""

    id: str
    created_at: float
    in_force: bool
    definition: dict[str, Any] | None = None
    """What was registered, without what is as by default; only where one version is asked for."""


@dataclass(frozen=True, slots=True)
class VersionList:
    """The versions of a workflow."""

    items: tuple[WorkflowVersion, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """What is wrong with a definition. Warnings do not hinder its registration."""

    valid: bool
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Registered:
    """That a workflow is registered, and whether it was new."""

    name: str
    created: bool
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """That an execution is started, on disk, and not yet known to have ended."""

    execution_id: str
    workflow: str
    location: str
    repeated: bool = False
    """Whether its idempotency key has started this execution before, so that nothing was started now."""


class StartRequest(Definition):
    """What a start is given."""

    variables: dict[str, Any] = Field(default_factory=dict)
    """What `${...}` and conditions can name."""
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The same key again gives the same execution; also as the header `Idempotency-Key`."""


@router.get("", responses=gives(WorkflowList))
async def list_workflows(request: Request, caller: Viewer) -> Response:
    """All registered workflows."""
    manager = engine_of(request).workflow_manager
    found = [manager.plan(name).definition for name in manager.list_workflows()]
    return Json(WorkflowList(tuple(_summary(definition) for definition in found)))


@router.post(
    "",
    status_code=201,
    responses=gives(Registered, "Registered", 201),
    openapi_extra=takes(WorkflowDefinition, EXAMPLE),
)
async def register_workflow(request: Request, caller: Creator) -> Response:
    """Register a workflow, or a new version of one.

    Executions that run keep the version they started with.
    """
    engine = engine_of(request)
    definition = await read_definition(request, WorkflowDefinition, "workflows", "the workflow")
    _refuse_alert(engine, definition.name)
    created = engine.workflow_manager.get_workflow(definition.name) is None
    engine.workflow_manager.register_workflow(definition)
    await engine.save(actor=caller.name, keep=True)
    warnings = tuple(problem for problem in check(engine, "workflows", definition) if problem.severity != "error")
    headers = {"Location": f"{router.prefix}/{definition.name}"}
    return Json(Registered(definition.name, created, warnings), 201 if created else 200, headers)


@router.post("/validate", responses=gives(Validation), openapi_extra=takes(WorkflowDefinition, EXAMPLE))
async def validate_workflow(request: Request, caller: Viewer) -> Response:
    """Everything that is wrong with a definition; nothing is registered."""
    try:
        definition = await read_definition(request, WorkflowDefinition, "workflows", "the workflow")
    except DefinitionError as error:
        return Json(Validation(False, error.details["problems"]))
    problems = check(engine_of(request), "workflows", definition)
    return Json(Validation(not any(problem.severity == "error" for problem in problems), problems))


@router.get("/{name}", responses=gives(Workflow))
async def get_workflow(request: Request, name: str, caller: Viewer) -> Response:
    """One workflow: its definition, and its graph in layers."""
    plan = engine_of(request).workflow_manager.plan(name)
    return Json(
        Workflow(
            plan.definition,
            tuple(tuple(step.name for step in layer) for layer in plan.layers()),
            {step.name: step.plugin.name for step in plan.steps},
            {step.name: step.effect for step in plan.steps},
        )
    )


@router.get("/{name}/versions", responses=gives(VersionList))
async def list_versions(request: Request, name: str, caller: Viewer) -> Response:
    """All versions of a workflow that were ever registered, the newest first."""
    found = await engine_of(request).queries.versions(name)
    return Json(VersionList(tuple(WorkflowVersion(each.id, each.created_at, each.in_force) for each in found)))


@router.get("/{name}/versions/{version}", responses=gives(WorkflowVersion))
async def get_version(request: Request, name: str, version: Version, caller: Viewer) -> Response:
    """One version of a workflow with its definition; the beginning of its id is enough, if it names only one."""
    found = await engine_of(request).queries.version(name, version)
    return Json(WorkflowVersion(found.id, found.created_at, found.in_force, json.loads(found.body)))


@router.delete("/{name}", status_code=204)
async def delete_workflow(request: Request, name: str, caller: Deleter) -> Response:
    """Forget a workflow; its executions go on."""
    engine = engine_of(request)
    engine.workflow_manager.plan(name)
    _refuse_alert(engine, name)
    engine.workflow_manager.remove_workflow(name)
    await engine.save(actor=caller.name, keep=True)
    return Response(status_code=204)


@router.post(
    "/{name}/executions",
    status_code=202,
    responses=gives(Started, "Started; follow `location`", 202)
    | gives(
        ExecutionResult | Foreseen | Started,
        "The result, ended within `wait`; with `dry_run`, what would be done; or what the key has started before",
    ),
    openapi_extra=takes(StartRequest, {"variables": {"who": "you"}, "idempotency_key": "deploy-42"}, required=False),
)
async def start_execution(
    request: Request,
    name: str,
    caller: Starter,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the end.")] = 0.0,
    dry_run: Annotated[bool, Query(description="Only say what would be done; nothing is touched.")] = False,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Response:
    """Start a workflow; answers once the start is on disk.

    With `wait`, answers 200 and the result if it ends within so many seconds. With `dry_run`, answers 200 and what
    would be done: the order, rendered parameters, conditions with their values, what waits for approval and what a
    guardrail would hold back. An idempotency key that has started an execution before is answered 200 with that
    execution, and 409 if the inputs are others.
    """
    engine = engine_of(request)
    order = await read_model(request, StartRequest)
    if dry_run:
        return Json(_foresee(engine, name, order.variables))
    key = _one_key(order.idempotency_key, idempotency_key)
    context = ExecutionContext(variables=order.variables, actor=caller.name)
    started = await engine.executions.start(name, context, idempotency_key=key)
    location = f"/api/v1/executions/{started.execution_id}"
    if wait:
        result = await patiently(engine.wait_for(started.execution_id), request.app.state.closing, wait)
        if result is not None:
            return Json(result, 200, {"Location": location})
    told = Started(started.execution_id, name, location, started.repeated)
    return Json(told, 200 if started.repeated else 202, {"Location": location})


def _summary(definition: WorkflowDefinition) -> WorkflowSummary:
    return WorkflowSummary(
        name=definition.name,
        description=definition.description,
        enabled=definition.enabled,
        priority=definition.priority.name.lower(),
        triggers=tuple(trigger.model_dump(mode="json") for trigger in definition.triggers),
        conditions=definition.conditions,
        actions=tuple(action.name for action in definition.actions),
        labels=definition.labels,
    )


def _refuse_alert(engine: AutomationEngine, name: str) -> None:
    if any(rule.name == name and rule.actions for rule in engine.alerts.rules()):
        raise Conflict(f"workflow {name!r} belongs to the alert rule of this name; change that")


def _one_key(in_body: str | None, in_header: str | None) -> str | None:
    if in_body is not None and in_header is not None and in_body != in_header:
        problem = Problem("idempotency_key", "is not the same in the body and in the header Idempotency-Key")
        raise DefinitionError([problem], what="the request")
    return in_body if in_body is not None else in_header


def _foresee(engine: AutomationEngine, name: str, variables: Mapping[str, Any]) -> Foreseen:
    plan = engine.workflow_manager.plan(name)
    return foresee(plan, variables, outlook=Outlook.of(engine.config, engine.judge, engine.samples.measure))
