"""`flow.workflow`: a workflow as a step of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from automation.actions.context import ActionContext, Await
from automation.errors import ChildFailed
from automation.model.base import Name
from automation.model.execution import WorkflowStatus
from automation.plugins import action, plugin


@dataclass(frozen=True, slots=True)
class Child:
    """An execution that an action has started."""

    execution_id: str
    workflow: str
    status: WorkflowStatus
    outputs: dict[str, Any]
    error: str | None = None


class SubWorkflows(Protocol):
    """Starts workflows for actions."""

    async def child(self, context: ActionContext, workflow: str, variables: dict[str, Any], wait: bool) -> Child:
        """The execution that the action has started, or now starts; raises NotFound, InputError, Conflict, Refused."""
        ...

    async def roll_back(self, context: ActionContext) -> None:
        """Undo what the executions that the action has started have done; raises Refused for what cannot be undone."""
        ...


class Workflow(BaseModel):
    """Which workflow, and what with."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    workflow: Name
    """The name of a registered workflow."""
    variables: dict[str, Any] = Field(default_factory=dict)
    """What it is started with."""
    wait: bool = True
    """Whether the action ends when the other execution does, or as soon as that is started."""


@action("flow.workflow", idempotent=True, effect="read")
async def run_workflow(params: Workflow, context: ActionContext) -> dict[str, Any]:
    """Start another workflow and wait for its end; what its actions returned, by key, is what this one returns.

    It is an execution of its own, which the journal and the pages show beside this one. It takes no place among the
    running actions, and no memory, while it is waited for. If it fails, this action does, with the other's error; if
    this execution is cancelled or its time is over, so is the other. Undone, it is rolled back. With `wait: false` the
    other execution is on its own, and its id is returned as `execution_id`. At most ten workflows may so start one
    another.
    """
    child = await context.resource(SubWorkflows).child(context, params.workflow, params.variables, params.wait)
    if not params.wait:
        return {"execution_id": child.execution_id}
    if not child.status.finished:
        raise Await(child.execution_id, "workflow", f"waits for {child.execution_id} of {child.workflow}")
    if child.status is not WorkflowStatus.SUCCEEDED:
        how = child.status.value.replace("_", " ")
        raise ChildFailed(
            f"{child.execution_id} of workflow {child.workflow} {how}: {child.error or how}",
            execution_id=child.execution_id,
        )
    return child.outputs


@plugin("undo", "flow.workflow", takes_no_place=True)
async def undo_workflow(params: Workflow, result: Any, context: ActionContext) -> None:
    """Roll back what the other execution has done."""
    await context.resource(SubWorkflows).roll_back(context)
