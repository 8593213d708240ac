"""What people may ask of executions beside their end: each asks once more, and for the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.console.desk import desk_of
from automation.console.gate import PageRoute, see_other
from automation.console.pages.workflows import read_variables
from automation.errors import AutomationError, Conflict, DuplicateKey, InputError
from automation.model.execution import Execution, ExecutionDetail, WorkflowStatus
from automation.model.identity import Identity
from automation.model.ids import new_id
from automation.workflows.again import RETRYABLE
from automation.workflows.control import Again

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Starter = Annotated[Identity, Depends(needs("workflows:execute"))]
Reason = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Question:
    """How a person is asked once more."""

    verb: str
    text: str
    button: str


QUESTIONS: dict[str, Question] = {
    "pause": Question(
        "Pause",
        "What is running may end, and nothing further begins until somebody resumes it. Its time limit does not count "
        "meanwhile.",
        "Pause the execution",
    ),
    "resume": Question("Resume", "It goes on where it stands, with all that is due by now.", "Resume the execution"),
    "retry": Question(
        "Retry",
        "It goes on from what has failed. What was completed is not run again; what comes after the failure is, "
        "cleanup included.",
        "Retry the execution",
    ),
}


@router.get("/executions/{execution_id}/rerun")
async def ask_rerun(
    request: Request, execution_id: str, caller: Starter, action: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Ask from where, and with which variables."""
    return await _rerun_page(request, execution_id, caller, RerunForm(action=action))


class RerunForm(BaseModel):
    """What a person fills in."""

    key: Annotated[str, Field(max_length=100)] = ""
    """Made with the form: the same form sent twice starts one execution."""
    action: Annotated[str, Field(max_length=200)] = ""
    variables: str = ""
    newest: bool = False
    reason: Annotated[str, Field(max_length=2000)] = ""


@router.post("/executions/{execution_id}/rerun")
async def rerun(request: Request, execution_id: str, caller: Starter, form: Annotated[RerunForm, Form()]) -> Response:
    """Do an execution again as a new one, from the beginning or from an action on."""
    engine = engine_of(request)
    try:
        changed = read_variables(form.variables, engine.config.api.max_body_depth)
        key = f"console:{form.key}" if form.key else None
        again = Again(changed, form.newest, form.reason.strip(), caller.name, key)
        if form.action:
            started = await engine.executions.fork(execution_id, form.action, again)
        else:
            started = await engine.executions.rerun(execution_id, again)
    except DuplicateKey as error:
        started = error.execution_id
    except (InputError, Conflict) as error:
        return await _rerun_page(request, execution_id, caller, form, error)
    return see_other(f"/executions/{started}")


@router.get("/executions/{execution_id}/pause")
@router.get("/executions/{execution_id}/resume")
@router.get("/executions/{execution_id}/retry")
async def ask(request: Request, execution_id: str, caller: Starter) -> Response:
    """Ask once more, and for the reason."""
    act = _act(request)
    detail = await engine_of(request).queries.execution_detail(execution_id)
    return desk_of(request).page(
        request,
        "ask.html",
        identity=caller,
        section="executions",
        execution=detail.execution,
        act=act,
        question=QUESTIONS[act],
        possible=act in possible(detail),
    )


@router.post("/executions/{execution_id}/pause")
@router.post("/executions/{execution_id}/resume")
@router.post("/executions/{execution_id}/retry")
async def do(request: Request, execution_id: str, caller: Starter, reason: Reason = "") -> Response:
    """Ask it of the execution."""
    part = engine_of(request).executions
    asked = {"pause": part.pause, "resume": part.resume, "retry": part.retry}
    await asked[_act(request)](execution_id, reason.strip(), actor=caller.name)
    return see_other(f"/executions/{execution_id}")


def _act(request: Request) -> str:
    return str(request.url.path.rpartition("/")[2])


def possible(detail: ExecutionDetail) -> tuple[str, ...]:
    """What may be asked of an execution now."""
    execution = detail.execution
    if execution.status in RETRYABLE:
        return () if any(entry.kind == "rollback_started" for entry in detail.journal) else ("retry",)
    if execution.status is WorkflowStatus.PAUSED or _pausing(execution):
        return ("resume",)
    pausable = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING, WorkflowStatus.WAITING)
    return ("pause",) if execution.status in pausable else ()


def _pausing(execution: Execution) -> bool:
    return execution.wish is not None and execution.wish.act == "pause"


async def _rerun_page(
    request: Request, execution_id: str, caller: Identity, form: RerunForm, error: AutomationError | None = None
) -> Response:
    detail = await engine_of(request).queries.execution_detail(execution_id)
    undone = any(entry.kind == "rollback_started" for entry in detail.journal)
    return desk_of(request).page(
        request,
        "rerun.html",
        identity=caller,
        code=200 if error is None else 409 if isinstance(error, Conflict) else 400,
        section="executions",
        execution=detail.execution,
        detail=detail,
        actions=[] if undone or not detail.execution.status.finished else [run.name for run in detail.actions],
        form=form,
        key=new_id(),
        error=error.message if error else "",
    )
