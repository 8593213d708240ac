"""Workflows: what there is to do, and starting it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.console.desk import address, desk_of
from automation.console.drawing import draw_workflow
from automation.console.gate import PageRoute, see_other
from automation.console.words import as_json
from automation.errors import Conflict, DuplicateKey, InputError
from automation.model.execution import ExecutionContext
from automation.model.identity import Identity
from automation.model.ids import new_id
from automation.model.trigger import AutomaticTrigger, ManualTrigger, Trigger
from automation.model.workflow import WorkflowDefinition
from automation.sources.payload import parse_json
from automation.workflows.plan import EXPLICIT, OWN, Plan

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]


@router.get("/workflows")
async def list_workflows(request: Request, caller: Viewer) -> Response:
    """All registered workflows."""
    manager = engine_of(request).workflow_manager
    plans = [manager.plan(name) for name in manager.list_workflows()]
    rows = [(plan.definition, triggers_of(plan.definition)) for plan in plans]
    return desk_of(request).page(
        request,
        "workflows.html",
        identity=caller,
        section="workflows",
        watch="/console/stream?kinds=definitions",
        rows=rows,
    )


@router.get("/workflows/{name}")
async def show_workflow(request: Request, name: str, caller: Viewer) -> Response:
    """One workflow: its graph, what starts it, and the form that does."""
    plan = engine_of(request).workflow_manager.plan(name)
    return await _page(request, caller, plan, variables=_first_variables(plan))


@router.post("/workflows/{name}/start")
async def start(
    request: Request,
    name: str,
    caller: Annotated[Identity, Depends(needs("workflows:execute"))],
    variables: Annotated[str, Form()] = "",
    key: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Start a workflow. The same form sent twice starts it once."""
    engine = engine_of(request)
    plan = engine.workflow_manager.plan(name)
    try:
        context = ExecutionContext(
            variables=read_variables(variables, engine.config.api.max_body_depth), actor=caller.name
        )
        started = await engine.start_workflow(name, context, idempotency_key=f"console:{key}" if key else None)
    except DuplicateKey as error:
        path = f"/executions/{error.execution_id}"
        told = "This form has started an execution before, with other variables. Send it again to start another one."
        return await _page(request, caller, plan, variables=variables, error=told, before=path, code=409)
    except (InputError, Conflict) as error:
        code = 409 if isinstance(error, Conflict) else 400
        return await _page(request, caller, plan, variables=variables, error=error.message, code=code)
    return see_other(f"/executions/{started}")


def read_variables(text: str, depth: int) -> dict[str, Any]:
    """The variables of a form: a JSON object; raises InputError."""
    value = parse_json(text.encode(), max_depth=depth) if text.strip() else {}
    if not isinstance(value, dict):
        raise InputError('the variables must be a JSON object, such as {"service_name": "playback-api"}')
    return value


async def _page(
    request: Request,
    caller: Identity,
    plan: Plan,
    *,
    variables: str,
    error: str = "",
    before: str = "",
    code: int = 200,
) -> Response:
    definition = plan.definition
    recent = await engine_of(request).queries.executions(workflow=definition.name, limit=8)
    return desk_of(request).page(
        request,
        "workflow.html",
        identity=caller,
        code=code,
        section="workflows",
        here=f"/workflows/{definition.name}",
        workflow=definition,
        plan=plan,
        warnings=engine_of(request).catalogue.warnings(definition),
        triggers=triggers_of(definition),
        graph=draw_workflow(definition),
        recent=recent.items,
        all_of_them=address("/executions", {"workflow": definition.name}),
        body=json.loads(plan.body),
        reads=names_read(plan),
        variables=variables,
        key=new_id(),
        error=error,
        before=before,
        may_start=caller.may("workflows:execute"),
    )


def triggers_of(definition: WorkflowDefinition) -> list[str]:
    """What starts a workflow, a line each."""
    if not definition.triggers and definition.conditions:
        return ["any event for which its conditions hold"]
    return [_trigger(trigger) for trigger in definition.triggers] or ["only a person or a program"]


_SHOWN = ("event", "alert", "state", "webhook", "cron", "timezone", "metric", "operator", "threshold")
"""What tells a trigger from others, in the order of a sentence."""
_TERMS = frozenset(AutomaticTrigger.model_fields)


def _trigger(trigger: Trigger) -> str:
    if isinstance(trigger, ManualTrigger):
        return "a person or a program"
    told = trigger.model_dump(exclude_none=True)
    words = [trigger.type.replace("_", " "), *(str(told[key]) for key in _SHOWN if key in told)]
    if "events" in told:
        words.append(", ".join(part["event"] for part in told["events"]))
    words += [f"{key} {told[key]}" for key in ("count", "within", "duration", "key") if key in told]
    if "condition" in told:
        words.append(f"if {told['condition']}")
    terms = trigger.model_dump(include=set(_TERMS), exclude_defaults=True)
    return " ".join(words) + (f" ({', '.join(sorted(key.replace('_', ' ') for key in terms))})" if terms else "")


def names_read(plan: Plan) -> list[str]:
    """The names that a start must give where no event brings them: those that the first actions read."""
    names = {name for step in plan.steps if not step.depends_on for name in step.parameters.names}
    return sorted(names - EXPLICIT - OWN)


def _first_variables(plan: Plan) -> str:
    inputs = plan.definition.inputs or {}
    return as_json({name: declared.default for name, declared in inputs.items() if declared.default is not None})
