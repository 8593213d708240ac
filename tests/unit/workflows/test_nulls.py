"""A null that an action returns, an event carries or a list has is passed on as null."""

from __future__ import annotations

from automation import AutomationConfig, AutomationEngine, ExecutionContext, WorkflowDefinition, WorkflowStatus


async def test_null_is_a_value_that_is_passed_on(config: AutomationConfig) -> None:
    actions = [
        {"name": "find", "action_type": "flow.set", "parameters": {"values": {"owner": None, "about": {"at": None}}}},
        {
            "name": "tell",
            "action_type": "flow.set",
            "parameters": {"values": {"whom": "${actions.find.owner}", "at": ["${about.at}"], "which": "${which}"}},
        },
        {
            "name": "each",
            "action_type": "flow.set",
            "parameters": {"values": {"given": "${item}"}},
            "for_each": {"items": [1, None]},
        },
    ]
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": actions}))
        execution_id = await engine.start_workflow("w", ExecutionContext(variables={"which": None}))
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert result.outputs["tell"] == {"whom": None, "at": [None], "which": None}
    assert result.outputs["each"]["results"] == [{"given": 1}, {"given": None}]
