"""What is doubtful in a plan, though not wrong: warnings. Pure: a plan goes in, what was found comes out."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from automation.conditions import Condition, seconds_of
from automation.plugins import Plugin
from automation.workflows.checks import Finding, uses
from automation.workflows.plan import FAILURES, FAMILY_FAILURE, Plan, Step
from automation.workflows.repeat import Loop
from automation.workflows.run import attempts_of, longest_pause, policy_of

_EACH = frozenset({"results", "succeeded", "failed"})
"""The outputs of an action with `for_each`."""

_BEFORE_IT_BEGINS = (".parameters", ".for_each", ".delay", ".wait_for", ".wait_for.timeout")
"""What of an action is worked out when it begins."""

WAIT = "flow.wait"
"""The operation that waits for a time."""

_SHOWN = 5
"""How many actions a warning names, at most."""


def of(plan: Plan) -> Iterator[Finding]:
    """All that is doubtful in a definition by itself; `haste` depends on the configuration as well."""
    for look in (collisions, triggers, unbound, retried, undisturbed, early, contradictions, fixed):
        yield from look(plan)


def collisions(plan: Plan) -> Iterator[Finding]:
    """Outputs of the same key, where they are known: of `flow.set`, of `for_each`, and of operations whose function
    is annotated with the model that it returns. The later one hides the earlier one.

    What one operation returns each time it is used is only told where somebody reads it by that key alone.
    """
    # In an undo, `${key}` is what its own action has returned.
    found = [paths for step in plan.steps for place, paths in uses(step) if not place.endswith(".rollback.parameters")]
    read = {path.partition(".")[0] for paths in found for path in paths}
    named: dict[str, list[Step]] = {}
    for step in plan.in_order():
        for key in _outputs(step):
            named.setdefault(key, []).append(step)
    for key, steps in named.items():
        for earlier, later in pairwise(steps):
            if key in read or "flow.set" in (earlier.plugin.name, later.plugin.name):
                message = (
                    f"gives the output {key!r}, as {earlier.name!r} does: ${{{key}}} is that of the last one to end; "
                    f"${{actions.{earlier.name}.{key}}} and ${{actions.{later.name}.{key}}} tell them apart"
                )
                yield f"actions[{later.index}]", message


def triggers(plan: Plan) -> Iterator[Finding]:
    """Triggers of a rollback that are nearly those of failures, or are of a family that no action has."""
    strategy = plan.definition.rollback_strategy
    if strategy is None:
        return
    families = sorted(set().union(*(step.families for step in plan.steps)))
    known = FAILURES.union(f"{family}_failure" for family in families)
    for index, trigger in enumerate(strategy.triggers):
        if trigger in known:
            continue
        place = f"rollback_strategy.triggers[{index}]"
        near = difflib.get_close_matches(trigger, sorted(known), n=1, cutoff=0.7)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if FAMILY_FAILURE.fullmatch(trigger):
            hint = hint or f"; there are actions of {', '.join(families)}"
            yield place, f"no action is of the family {trigger.removesuffix('_failure')!r}{hint}"
        elif near:
            yield place, f"{trigger!r} is a condition, true when a value of this name is{hint}"


def unbound(plan: Plan) -> Iterator[Finding]:
    """Conditions over metrics alone, of a workflow without triggers: any event starts it while they are true."""
    conditions = plan.conditions
    about_events = any(known.event_types is not None or known.needed_names is not None for known in conditions)
    if plan.definition.triggers or about_events:
        return
    for index, condition in enumerate(conditions):
        if condition.windows:
            message = "is about metrics alone: any event starts the workflow while it is true"
            yield f"conditions[{index}]", f"{message}; say which event, or write an alert rule"


def fixed(plan: Plan) -> Iterator[Finding]:
    """Conditions that depend on nothing: they are always true, or never."""
    for index, condition in enumerate(plan.conditions):
        yield from _fixed(f"conditions[{index}]", condition, "keeps nothing from starting it", "nothing starts it")
    for step in plan.steps:
        base = f"actions[{step.index}]"
        for index, condition in enumerate(step.conditions):
            yield from _fixed(
                f"{base}.conditions[{index}]", condition, "the action is always run", "the action is never run"
            )
        if step.verify is not None:
            yield from _fixed(f"{base}.verify", step.verify.condition, "nothing is verified", "it always fails")
        if step.repeat is not None:
            often = f"it runs {step.repeat.most} times"
            yield from _fixed(f"{base}.repeat.until", step.repeat.until, "it runs once", often)
            yield from _counted(f"{base}.repeat.until", step.repeat)


def _fixed(place: str, condition: Condition, always: str, never: str) -> Iterator[Finding]:
    if condition.names or condition.windows or condition.has_duration:
        return
    holds = condition.evaluate({}) is True
    yield place, f"depends on nothing, and is {'always' if holds else 'never'} true: {always if holds else never}"


def _counted(place: str, loop: Loop) -> Iterator[Finding]:
    """One that depends on the number of the iteration alone, and is true in none of them."""
    if loop.until.names != {"iteration"} or loop.until.windows:
        return
    if not any(loop.until.evaluate({"iteration": number}) for number in range(1, loop.most + 1)):
        yield place, f"is true in none of its {loop.most} iterations: only repeat.max ends it"


def undisturbed(plan: Plan) -> Iterator[Finding]:
    """What is to become of an action that cannot be interrupted by the death of an engine."""
    for step in plan.steps:
        if step.waits and step.definition.on_interrupt not in (None, "retry"):
            message = (
                "has no effect: what waits for an event or a workflow goes on after a crash, and does nothing twice"
            )
            yield f"actions[{step.index}].on_interrupt", message


def early(plan: Plan) -> Iterator[Finding]:
    """Outputs that an action reads by the name of one for which nothing makes it wait."""
    before: dict[str, frozenset[str]] = {}
    for step in plan.in_order():
        before[step.name] = frozenset(step.depends_on).union(*(before[name] for name in step.depends_on))
    for step in plan.steps:
        for place, paths in uses(step):
            if place.endswith(".rollback.parameters") or not place.endswith(_BEFORE_IT_BEGINS):
                continue
            read = {path.split(".")[1] for path in paths if path.startswith("actions.")}
            for name in sorted(read.intersection(before) - before[step.name]):
                if name == step.name and step.repeat is None:
                    yield place, f"reads what {name!r} returns, which is not known before it has run"
                elif step.name in before[name]:
                    yield place, f"reads what {name!r} returns, which begins only when {step.name!r} has ended"
                elif name != step.name:
                    message = f"reads what {name!r} returns, and does not wait for it: add it to depends_on"
                    yield place, message


def retried(plan: Plan) -> Iterator[Finding]:
    """Names in `retry.on` that no error has."""
    for step in plan.steps:
        policy = step.definition.retry
        if policy is None or not policy.on:
            continue
        known = _errors(Exception)
        # As people write them: `timeouterror` is meant to be `TimeoutError`.
        written = {name.lower(): name for name in sorted(known)}
        for index, name in enumerate(policy.on):
            if name in known:
                continue
            near = difflib.get_close_matches(name.lower(), written, n=1)
            hint = f"; did you mean {written[near[0]]!r}?" if near else ""
            yield (
                f"actions[{step.index}].retry.on[{index}]",
                f"no error is named {name!r}, as far as is known here{hint}",
            )


def contradictions(plan: Plan) -> Iterator[Finding]:
    """Keys of one action of which one makes another idle."""
    for step in plan.steps:
        definition, place = step.definition, f"actions[{step.index}]"
        policy, attempts = definition.retry, definition.retry_attempts
        if policy is not None and policy.attempts and attempts and policy.attempts != attempts:
            yield f"{place}.retry_attempts", f"is {attempts}, and retry.attempts is {policy.attempts}, which counts"
        if policy is not None and policy.initial_seconds > policy.max_seconds:
            message = f"is {policy.initial_seconds:g}, and no pause is longer than max_seconds, {policy.max_seconds:g}"
            yield f"{place}.retry.initial_seconds", message
        beats, limit = definition.heartbeat_timeout_seconds, definition.timeout_seconds
        if beats is not None and limit is not None and beats >= limit:
            message = f"is {beats:g}: its timeout_seconds, {limit:g}, is over before it could be found silent"
            yield f"{place}.heartbeat_timeout_seconds", message


def _errors(root: type[Exception]) -> set[str]:
    """The names of a class of errors and all below it, also those of operations that are no part of this program."""
    return {root.__name__}.union(*(_errors(each) for each in root.__subclasses__()))


def haste(plan: Plan, attempts: int, timeout: float, verify: float) -> Iterator[Finding]:
    """A time limit of the workflow that is over before its actions have used the attempts that they may.

    The arguments are the defaults of the configuration. An action that says nothing of attempts and time does not
    count: nobody has said what it needs.
    """
    limit = plan.definition.timeout_seconds
    if limit is None:
        return
    longest: dict[str, tuple[float, tuple[str, ...]]] = {}
    for step in plan.in_order():
        before = max((longest[name] for name in step.depends_on), default=(0.0, ()), key=lambda found: found[0])
        seconds, why = _longest(step, attempts, timeout, verify)
        longest[step.name] = (before[0] + seconds, (*before[1], f"{step.name}: {why}") if why else before[1])
    seconds, told = max(longest.values(), key=lambda found: found[0])
    if seconds > limit:
        shown = "; ".join(told[:_SHOWN]) + ("; ..." if len(told) > _SHOWN else "")
        yield "timeout_seconds", f"{limit:g} s is less than its actions may take: up to {seconds:g} s ({shown})"


def _longest(step: Step, attempts: int, timeout: float, verify: float) -> tuple[float, str]:
    """How long an action may take by what its definition says, and how that comes about."""
    definition = step.definition
    delay = step.delay.render({}) if step.delay is not None and step.delay.constant else 0.0
    told = [f"{delay:g} s of delay"] if delay else []
    if waited := _waited(step):
        return delay + waited, " + ".join([*told, f"{waited:g} s of waiting"])
    if definition.timeout_seconds is None and definition.retry is None and definition.retry_attempts is None:
        return delay, " + ".join(told)
    many = attempts_of(definition, attempts)
    each = definition.timeout_seconds or timeout
    told.append(f"{many} x {each:g} s")
    if step.verify is not None:
        within = verify if step.verify.within is None else step.verify.within
        told.append(f"{many} x {within:g} s of verify")
        each += within
    policy = policy_of(definition)
    pauses = sum(longest_pause(policy, attempt) for attempt in range(1, many))
    if pauses:
        told.append(f"{pauses:g} s between them")
    return delay + many * each + pauses, " + ".join(told)


def _waited(step: Step) -> float:
    """The seconds for which an action does nothing but wait, as far as its definition says."""
    if step.wait_for is not None:
        timeout = step.wait_for.timeout
        return timeout.render({}) if timeout is not None and timeout.constant else 0.0
    return (
        seconds_of(step.parameters.value["seconds"]) if step.plugin.name == WAIT and step.parameters.constant else 0.0
    )


def _outputs(step: Step) -> frozenset[str]:
    """The keys of what an action returns, as far as they are known before it has run."""
    if step.items is not None:
        return _EACH
    if step.plugin.name == "flow.set":
        values = step.definition.parameters.get("values")
        return frozenset(values) if isinstance(values, Mapping) else frozenset()
    return frozenset(_fields(_returned(step.plugin)))


def _returned(plugin: Plugin) -> Any:
    try:
        return typing.get_type_hints(plugin.function).get("return")
    except NameError:
        # Written inside of a function: its types are names of that.
        return None


def _fields(kind: Any) -> Iterator[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from kind.model_fields
    elif typing.is_typeddict(kind):
        yield from kind.__required_keys__
