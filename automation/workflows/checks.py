"""What is looked for in a plan as a whole. Pure: a plan goes in, what was found comes out, each with its path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from automation.conditions import compile_template, seconds_of
from automation.errors import DefinitionError
from automation.model.workflow import RetryPolicy, WorkflowDefinition
from automation.workflows.plan import FAILURES, Plan, Step

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


def doubtful(definition: WorkflowDefinition) -> Iterator[Finding]:
    """What is allowed and hardly meant: time limits that leave no time, triggers that are nearly those of failures."""
    limit = definition.timeout_seconds
    for index, action in enumerate(definition.actions):
        policy = action.retry or RetryPolicy()
        attempts = policy.attempts or action.retry_attempts or 1
        if limit is None or action.timeout_seconds is None:
            continue
        waits = (policy.initial_seconds * policy.factor**number for number in range(attempts - 1))
        longest = attempts * action.timeout_seconds + sum(min(policy.max_seconds, wait) for wait in waits)
        if longest > limit:
            took = f"{attempts} attempts of {action.timeout_seconds:g} s" if attempts > 1 else "one attempt"
            yield (
                f"actions[{index}].timeout_seconds",
                f"{took} may take {longest:g} s, and the workflow is ended after {limit:g} s",
            )
    for index, trigger in enumerate(definition.rollback_strategy.triggers if definition.rollback_strategy else ()):
        near = difflib.get_close_matches(trigger, sorted(FAILURES), n=1, cutoff=0.7)
        if near and trigger not in FAILURES and not trigger.endswith("_failure"):
            yield (
                f"rollback_strategy.triggers[{index}]",
                f"{trigger!r} is a condition, true when a value of this name is; did you mean {near[0]!r}?",
            )


def _may_succeed(step: Step) -> bool:
    if step.plugin.name == _FAILS:
        return False
    return not any(not condition.names and condition.evaluate({}) is not True for condition in step.conditions)
