"""What an execution has come to, for those who waited for it."""

from __future__ import annotations

from automation.model.execution import ActionStatus, ExecutionResult
from automation.workflows.state import State


def result_of(execution_id: str, workflow: str, state: State) -> ExecutionResult:
    """How an execution ended, from its folded state."""
    error = state.error or {}
    text = error.get("message")
    if text and error.get("action"):
        text = f"{error['action']}: {error.get('type', 'error')}: {text}"
    return ExecutionResult(
        execution_id=execution_id,
        workflow=workflow,
        status=state.status,
        outputs={
            name: action.outputs
            for name, action in state.actions.items()
            if action.status is ActionStatus.SUCCEEDED and name in state.names
        },
        error=text,
        actions=state.runs(),
        duration_seconds=(state.finished_at or state.started_at) - state.started_at,
    )
