"""What is looked for in a plan as a whole. Pure: a plan goes in, what was found comes out, each with its path."""

from __future__ import annotations

from collections.abc import Iterator

from automation.workflows.plan import Plan, Step

Finding = tuple[str, str]
"""A path in the workflow, and what is wrong there."""

_FAILS = "flow.fail"


def unreachable(plan: Plan) -> Iterator[Finding]:
    """Joins that can never be met, because too many of the actions they count can never succeed."""
    hopeless: set[str] = set()
    for step in plan.in_order():
        failing = sorted(hopeless.intersection(step.depends_on))
        unmet = step.needed is not None and len(set(step.depends_on)) - len(failing) < step.needed
        if unmet:
            names = ", ".join(failing)
            yield f"actions[{step.index}].join", f"can never be met: {names} can never succeed"
        if unmet or not _may_succeed(step):
            hopeless.add(step.name)


def _may_succeed(step: Step) -> bool:
    if step.plugin.name == _FAILS:
        return False
    return not any(not condition.names and condition.evaluate({}) is not True for condition in step.conditions)
