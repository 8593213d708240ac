"""The workflows that are registered: checked when they come, looked up by name when they start."""

from __future__ import annotations

from collections.abc import Callable

from automation.errors import DefinitionError, NotFound
from automation.model.workflow import WorkflowDefinition
from automation.workflows.compiler import compile_workflow
from automation.workflows.plan import Plan


class WorkflowManager:
    """Registers workflows. A name registered again is a new version; executions keep the one they started with."""

    def __init__(self, on_change: Callable[[str, Plan | None], None]) -> None:
        self._plans: dict[str, Plan] = {}
        self._on_change = on_change

    def register_workflow(self, workflow: WorkflowDefinition) -> None:
        """Register; raises DefinitionError with every problem, and then nothing is registered."""
        plan = compile_workflow(workflow)
        self._plans[workflow.name] = plan
        self._on_change(workflow.name, plan)

    def remove_workflow(self, name: str) -> None:
        """Forget a workflow; its executions go on."""
        if self._plans.pop(name, None) is not None:
            self._on_change(name, None)

    def get_workflow(self, name: str) -> WorkflowDefinition | None:
        """The definition registered under this name, or None."""
        plan = self._plans.get(name)
        return plan.definition if plan else None

    async def validate_workflow(self, workflow: WorkflowDefinition) -> bool:
        """Whether it could be registered. For the problems, catch the DefinitionError of `compile_workflow`."""
        try:
            compile_workflow(workflow)
        except DefinitionError:
            return False
        return True

    def list_workflows(self) -> list[str]:
        """The names of all registered workflows, sorted."""
        return sorted(self._plans)

    def plan(self, name: str) -> Plan:
        """The compiled workflow; raises NotFound."""
        try:
            return self._plans[name]
        except KeyError:
            known = ", ".join(self.list_workflows()) or "none"
            raise NotFound(f"there is no workflow {name!r}; registered: {known}", kind="workflow", name=name) from None
