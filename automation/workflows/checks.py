"""What is looked for in a plan as a whole. Pure: a plan goes in, what was found comes out, each with its path."""

from __future__ import annotations

from collections.abc import Iterator

from automation.conditions import compile_template, seconds_of
from automation.errors import DefinitionError
from automation.model.workflow import WorkflowDefinition
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


def policies(definition: WorkflowDefinition) -> Iterator[Finding]:
    """Durations of approvals that are none, or that cannot come."""
    named = [("approval", definition.approval)]
    named += [(f"actions[{index}].approval", action.approval) for index, action in enumerate(definition.actions)]
    for path, policy in named:
        lengths: dict[str, float] = {}
        for key in ("expires", "escalate_after") if policy else ():
            value = getattr(policy, key)
            try:
                if value is not None:
                    lengths[key] = seconds_of(value)
            except ValueError as error:
                yield f"{path}.{key}", str(error)
        if len(lengths) == 2 and lengths["escalate_after"] >= lengths["expires"]:
            yield f"{path}.escalate_after", "would come when it has expired already"


def concurrency(definition: WorkflowDefinition) -> Iterator[Finding]:
    """What is wrong with a concurrency key: it is made when the workflow starts, of inputs and the event alone."""
    if definition.concurrency is None:
        return
    try:
        template = compile_template(definition.concurrency.key)
    except DefinitionError as error:
        yield from (("concurrency.key", problem.message) for problem in error.problems)
        return
    if template.secrets:
        yield "concurrency.key", "must not have a secret in it: it is stored and shown"
    known = None if definition.inputs is None else {*definition.inputs, "event", "context"}
    for name in sorted(template.names):
        if name == "actions":
            yield "concurrency.key", "no action has run when it is made"
        elif known is not None and name not in known:
            yield "concurrency.key", f"{name!r} is not a declared input"


def uses(step: Step) -> list[tuple[str, frozenset[str]]]:
    """The names that an action's expressions and conditions read, each with its place."""
    base = f"actions[{step.index}]"
    found = [(f"{base}.conditions[{index}]", condition.paths) for index, condition in enumerate(step.conditions)]
    found.append((f"{base}.parameters", step.parameters.paths))
    found += [
        (f"{base}.{key}", template.paths)
        for key, template in (("for_each", step.items), ("delay", step.delay))
        if template is not None
    ]
    if step.wait_for is not None and step.wait_for.timeout is not None:
        found.append((f"{base}.wait_for.timeout", step.wait_for.timeout.paths))
    if step.wait_for is not None and step.wait_for.condition is not None:
        found.append((f"{base}.wait_for", step.wait_for.condition.given_paths))
        found.append((f"{base}.wait_for.condition", step.wait_for.condition.paths))
    if step.repeat is not None:
        found.append((f"{base}.repeat.until", step.repeat.until.paths))
        if step.repeat.delay is not None:
            found.append((f"{base}.repeat.delay", step.repeat.delay.paths))
    if step.verify is not None:
        found.append((f"{base}.verify", step.verify.condition.paths))
    if step.undo is not None and step.undo.parameters is not None:
        found.append((f"{base}.rollback.parameters", step.undo.parameters.paths))
    return found


def silent(plan: Plan) -> Iterator[Finding]:
    """Limits of silence on what never gives a heartbeat: steps of the engine itself."""
    for step in plan.steps:
        if step.definition.heartbeat_timeout_seconds is not None and step.plugin.name.startswith("flow."):
            yield f"actions[{step.index}].heartbeat_timeout_seconds", f"{step.plugin.name} gives no heartbeats"


def endless(plan: Plan) -> Iterator[Finding]:
    """A workflow that starts itself, with nothing that could keep it from it."""
    if plan.conditions:
        return
    for step in plan.steps:
        held = step.conditions or step.items is not None or step.depends_on
        if step.starts_workflows and not held and step.definition.parameters.get("workflow") == plan.name:
            yield f"actions[{step.index}]", "starts this very workflow, without a condition: it cannot finish"


def _may_succeed(step: Step) -> bool:
    if step.plugin.name == _FAILS:
        return False
    fixed = (condition for condition in step.conditions if not condition.names and not condition.windows)
    return all(condition({}) for condition in fixed)
