"""What a definition says of when and how often an action is run, in words: for dry runs and drawings."""

from __future__ import annotations

from automation.model.guardrail import FreezeWindow
from automation.model.workflow import ActionDefinition, ForEach, RetryBudget, RetryPolicy, WaitFor, WorkflowDefinition


def shape_of(action: ActionDefinition) -> tuple[str, ...]:
    """Each thing that makes it more than an action that runs once in its turn, as a few words."""
    found: list[str] = []
    if action.join != "all":
        found.append(f"after {joined(action)}")
    if action.for_each is not None:
        found.append(_for_each(action.for_each))
    if action.delay is not None:
        found.append(f"after a delay of {spoken(action.delay)}")
    if action.action_type == "flow.workflow":
        wait = action.parameters.get("wait", True)
        found.append(f"starts workflow {action.parameters.get('workflow')}{', and waits for its end' if wait else ''}")
    if action.wait_for is not None:
        found.append(_awaited(action.wait_for))
    if action.repeat is not None:
        apart = f", {spoken(action.repeat.delay)} apart" if action.repeat.delay is not None else ""
        found.append(f"until {action.repeat.until}, at most {action.repeat.max} times{apart}")
    if action.verify is not None:
        found.append(f"then must be true: {action.verify}")
    return tuple(found)


def care_of(action: ActionDefinition) -> tuple[str, ...]:
    """What it says of failing, as far as that is not as for any action."""
    found: list[str] = []
    attempts = (action.retry.attempts if action.retry is not None else None) or action.retry_attempts
    if attempts is not None:
        found.append(f"tried at most {attempts} times" if attempts > 1 else "tried once")
    if action.retry is not None and attempts != 1:
        found += _retried(action.retry)
    if action.timeout_seconds is not None:
        found.append(f"at most {spoken(action.timeout_seconds)} an attempt")
    if action.heartbeat_timeout_seconds is not None:
        found.append(f"a heartbeat at least every {spoken(action.heartbeat_timeout_seconds)}")
    if action.on_failure == "continue":
        found.append("may fail")
    if action.always:
        found.append("always runs")
    if action.rollback is not None:
        found.append(f"undone by {action.rollback.action_type}")
    if action.on_guardrail != "fail":
        found.append(f"if a guardrail holds it back: {action.on_guardrail}")
    if action.on_interrupt is not None:
        found.append(f"if the engine dies in it: {action.on_interrupt}")
    return tuple(found)


def allowed(budget: RetryBudget) -> str:
    """How many retries a budget lets there be."""
    return (
        f"{budget.share * 100:g}% of the first attempts and {budget.least_per_second:g} a second beside, within "
        f"{budget.window_seconds} s"
    )


def limits_of(workflow: WorkflowDefinition) -> tuple[str, ...]:
    """What it says of its own time, and of what its actions may change."""
    found = [] if workflow.timeout_seconds is None else [f"at most {workflow.timeout_seconds:g} s"]
    guards = workflow.guardrails
    if guards is None:
        return tuple(found)
    blast = guards.blast_radius
    if guards.cooldown_seconds:
        found.append(f"{guards.cooldown_seconds:g} s between two acts of one operation on one target")
    for rate, whose in ((guards.target_rate, "on one target"), (guards.workflow_rate, "of this workflow")):
        if rate is not None:
            found.append(f"at most {rate.limit} acts {whose} within {rate.window_seconds:g} s")
    if blast.share is not None:
        found.append(f"at most {blast.share * 100:g}% of a service's replicas at once")
    if blast.services is not None:
        found.append(f"at most {blast.services} services at once")
    found += [f"frozen by {freeze.name}: {_when(freeze)}" for freeze in guards.freezes]
    return tuple(found)


def _when(freeze: FreezeWindow) -> str:
    if freeze.cron is not None:
        return f"{freeze.duration_seconds:g} s from each {freeze.cron} ({freeze.timezone})"
    return f"{freeze.starts_at:%Y-%m-%d %H:%M} to {freeze.ends_at:%Y-%m-%d %H:%M %Z}"


def _retried(policy: RetryPolicy) -> list[str]:
    told = f"pauses of {policy.initial_seconds:g} s x {policy.factor:g} each time, {policy.max_seconds:g} s at most"
    found = [f"{told}, with jitter" if policy.jitter else told]
    return [*found, f"tried again after {', '.join(policy.on)}"] if policy.on else found


def _for_each(each: ForEach) -> str:
    items = each.items if isinstance(each.items, str) else f"{len(each.items)} items"
    return f"for each of {items}, {each.concurrency} at a time"


def _awaited(wait: WaitFor) -> str:
    words = f"waits for an event {wait.event}"
    if wait.condition is not None:
        words += f" with {wait.condition}"
    return words if wait.timeout is None else f"{words}, at most {spoken(wait.timeout)}"


def spoken(duration: float | str) -> str:
    """A duration as it was written, with its unit: `1h30m`, `30 s`."""
    return duration if isinstance(duration, str) else f"{duration:g} s"


def joined(action: ActionDefinition) -> str:
    """What its join waits for: `any of a, b` or `2 of a, b, c`."""
    return f"{action.join} of {', '.join(action.depends_on or ('the action before it',))}"
