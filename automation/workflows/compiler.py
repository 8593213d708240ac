"""From a workflow definition to its plan. Pure: a definition goes in, a plan or every problem at once comes out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from automation.conditions import (
    Condition,
    Template,
    compile_bound,
    compile_measured,
    compile_template,
    seconds_of,
)
from automation.errors import ConditionError, DefinitionError, Problem
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.model.workflow import WAIT_FOR, ActionDefinition, WorkflowDefinition
from automation.plugins import NoSettings, Plugin, registry, setting_problems
from automation.store.values import unstorable
from automation.workflows import checks, counts, doubts
from automation.workflows.plan import EXPLICIT, FAILURES, FAMILY_FAILURE, EventWait, Plan, Step, Undo
from automation.workflows.repeat import Loop
from automation.workflows.trigger_checks import triggers
from automation.workflows.verify import Check, parse_check


def compile_workflow(definition: WorkflowDefinition, *, path: str = "") -> Plan:
    """Check a definition and compile it; raises DefinitionError with every problem and its path."""
    wrong = [Problem(place, message) for place, message in unstorable(definition, path)]
    if wrong:
        _refuse(definition, path, wrong)
    definition, wrong = counts.as_triggers(definition, path)
    if wrong:
        _refuse(definition, path, wrong)
    # Files are checked before they are applied, and applied before they are recovered: the same plan serves all.
    key = (registry.version, _pinned(definition))
    plan = _plans.pop(key, None) or _Compiler(definition, path).compile()
    _plans[key] = plan
    if len(_plans) > _KEPT_PLANS:
        del _plans[next(iter(_plans))]
    return plan


_plans: dict[tuple[int, str], Plan] = {}
_KEPT_PLANS = 1000


def _refuse(definition: WorkflowDefinition, path: str, wrong: list[Problem]) -> NoReturn:
    """Refuse what cannot be stored, with all else that is wrong."""
    try:
        _Compiler(definition, path, wrong).compile()
    except RecursionError:
        # What is nested without end cannot be looked at any further.
        pass
    raise DefinitionError(wrong, what=f"workflow {definition.name!r}")


class _Compiler:
    def __init__(self, definition: WorkflowDefinition, path: str, wrong: Iterable[Problem] = ()) -> None:
        self.definition = definition
        self.path = f"{path}." if path else ""
        self.problems = list(wrong)

    def compile(self) -> Plan:
        definition = self.definition
        names = [action.name for action in definition.actions]
        for index, name in enumerate(names):
            if name in names[:index]:
                self._problem(f"actions[{index}].name", f"there is already an action {name!r}")
        conditions = self._conditions(definition.conditions, "conditions")
        strategy = definition.rollback_strategy
        for index, text in enumerate(strategy.triggers if strategy else ()):
            if text not in FAILURES and not FAMILY_FAILURE.fullmatch(text):
                self._condition(text, f"rollback_strategy.triggers[{index}]")
        steps = tuple(self._step(index, action, names) for index, action in enumerate(definition.actions))
        self._find_cycles(names)
        at_once = (*triggers(definition), *checks.policies(definition), *checks.concurrency(definition))
        self.problems += [Problem(self.path + place, message) for place, message in at_once]
        # What is wrong with one action hides nothing of the others; only the graph as a whole needs all of them.
        sound = not self.problems
        plan = Plan(definition, steps, conditions)
        self._check_names(plan, frozenset(names))
        further = (*checks.unreachable(plan),) if sound else ()
        further += (*checks.endless(plan), *checks.silent(plan))
        self.problems += [Problem(self.path + path, message) for path, message in further]
        if self.problems:
            raise DefinitionError(self.problems, what=f"workflow {definition.name!r}")
        doubtful = tuple(Problem(path, message, severity="warning") for path, message in doubts.of(plan))
        return replace(plan, warnings=doubtful, body=_pinned(definition))

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(self.path + path, message))

    def _condition(self, text: str, path: str) -> Condition | None:
        try:
            return compile_measured(text, units=UNITS, kept=KEPT_SECONDS)
        except ConditionError as error:
            self._problem(path, error.message)
            return None

    def _conditions(self, texts: Iterable[str], path: str) -> tuple[Condition, ...]:
        found = (self._condition(text, f"{path}[{index}]") for index, text in enumerate(texts))
        return tuple(condition for condition in found if condition is not None)

    def _step(self, index: int, action: ActionDefinition, names: list[str]) -> Step:
        path = f"actions[{index}]"
        # Of an unknown operation, and of parameters that cannot be read, all else is looked at all the same.
        known = self._operation(action, path)
        plugin = known or _UNKNOWN
        depends_on = action.depends_on
        if depends_on is None:
            depends_on = (names[index - 1],) if index else ()
        for position, name in enumerate(depends_on):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self._problem(f"{path}.depends_on[{position}]", f"there is no action {name!r}{hint}")
            elif name == action.name:
                self._problem(f"{path}.depends_on[{position}]", "an action cannot depend on itself")
        self._effect(action, plugin, path)
        needed = self._join(action, tuple(depends_on), path)
        conditions = self._conditions(action.conditions, f"{path}.conditions")
        template = self._template(action.parameters, f"{path}.parameters")
        validated = None
        if known is not None and template is not None:
            validated = self._parameters(known, action.parameters, template, path)
        undo = self._undo(action, plugin, path)
        items = self._items(action, f"{path}.for_each")
        delay = self._duration(action.delay, f"{path}.delay")
        return Step(
            index,
            action,
            plugin,
            tuple(depends_on),
            conditions,
            template or compile_template({}),
            validated,
            undo,
            items,
            needed,
            delay,
            verify=self._verify(action, path),
            wait_for=self._wait_for(action, plugin, path),
            repeat=self._repeat(action, path),
        )

    def _effect(self, action: ActionDefinition, plugin: Plugin, path: str) -> None:
        own = str(plugin.options.get("effect", "standard"))
        if action.effect is not None and _EFFECTS.index(action.effect) < _EFFECTS.index(own):
            self._problem(f"{path}.effect", f"{plugin.name} is {own}, which can be raised and not lowered")

    def _repeat(self, action: ActionDefinition, path: str) -> Loop | None:
        given = action.repeat
        if given is None:
            return None
        if action.for_each is not None:
            message = "an action has repeat or for_each; to repeat for each item, start a workflow that repeats"
            self._problem(f"{path}.repeat", message)
        until = self._condition(given.until, f"{path}.repeat.until")
        delay = self._duration(given.delay, f"{path}.repeat.delay")
        return None if until is None else Loop(until, given.max, delay, given.on_exhausted == "fail")

    def _wait_for(self, action: ActionDefinition, plugin: Plugin, path: str) -> EventWait | None:
        given = action.wait_for
        if given is None:
            if plugin.name == WAIT_FOR:
                self._problem(f"{path}.wait_for", f"is required by {WAIT_FOR}")
            return None
        if plugin.name not in (WAIT_FOR, _UNKNOWN.name):
            self._problem(
                f"{path}.wait_for", f"such an action does nothing else: leave out its action_type, or use {WAIT_FOR}"
            )
        bound = None
        try:
            bound = None if given.condition is None else compile_bound(given.condition, units=UNITS, kept=KEPT_SECONDS)
        except ConditionError as error:
            self._problem(f"{path}.wait_for.condition", error.message)
        for name in sorted(bound.same if bound is not None else ()):
            if name.partition(".")[0] != "event":
                self._problem(
                    f"{path}.wait_for.condition",
                    f"{name} is the execution's own value where it has one, as ${{{name}}} is; any event would fit: "
                    f"write event.data.{name} for what the event carries",
                )
        return EventWait(given.event, bound, self._duration(given.timeout, f"{path}.wait_for.timeout"))

    def _verify(self, action: ActionDefinition, path: str) -> Check | None:
        try:
            return None if action.verify is None else parse_check(action.verify)
        except ConditionError as error:
            self._problem(f"{path}.verify", error.message)
            return None

    def _join(self, action: ActionDefinition, depends_on: tuple[str, ...], path: str) -> int | None:
        if action.join == "all":
            return None
        needed, given = 1 if action.join == "any" else action.join, len(set(depends_on))
        if not given:
            self._problem(f"{path}.join", "there is nothing to join: it depends on no action")
        elif needed > given:
            self._problem(f"{path}.join", f"{needed} of {given} cannot succeed; at most {given}")
        return needed

    def _items(self, action: ActionDefinition, path: str) -> Template | None:
        given = action.for_each.items if action.for_each is not None else None
        template = None if given is None else self._template(given, path)
        if template is not None and template.text:
            wanted = "must be a list, or one expression such as ${hosts} that gives one"
            self._problem(path, f"{wanted}, not the text {given!r}")
        return template

    def _duration(self, value: float | str | None, path: str) -> Template | None:
        template = None if value is None else self._template(value, path)
        if template is not None and template.constant:
            try:
                return compile_template(seconds_of(value))
            except ValueError as error:
                self._problem(path, str(error))
        return template

    def _undo(self, action: ActionDefinition, plugin: Plugin, path: str) -> Undo | None:
        given = action.rollback
        if given is None:
            own = registry.find("undo", plugin.name)
            return Undo(own) if own else None
        operation = registry.find("action", given.action_type)
        if operation is None:
            self._problem(f"{path}.rollback.action_type", registry.unknown("action", given.action_type))
            return None
        if operation.name == WAIT_FOR:
            self._problem(f"{path}.rollback.action_type", "an undo cannot wait for an event: nothing says for which")
        template = self._template(given.parameters, f"{path}.rollback.parameters")
        if template is None:
            return None
        self._parameters(operation, given.parameters, template, f"{path}.rollback")
        return Undo(operation, template, given.timeout_seconds)

    def _template(self, value: Any, path: str) -> Template | None:
        try:
            return compile_template(value)
        except DefinitionError as error:
            for problem in error.problems:
                self._problem(_join(path, problem.path), problem.message)
            return None

    def _operation(self, action: ActionDefinition, path: str) -> Plugin | None:
        composed = f"{action.action_type}.{action.name}"
        plugin = registry.find("action", composed)
        if plugin is not None:
            return plugin
        if "." in action.action_type or registry.find("action", action.action_type) is not None:
            plugin = registry.find("action", action.action_type)
            if plugin is not None:
                return plugin
            self._problem(f"{path}.action_type", registry.unknown("action", action.action_type))
            return None
        self._problem(path, registry.unknown("action", composed))
        return None

    def _parameters(self, plugin: Plugin, values: Mapping[str, Any], template: Template, path: str) -> BaseModel | None:
        try:
            model = plugin.settings.model_validate(values, extra="forbid")
        except ValidationError as error:
            for problem in setting_problems(error, plugin.settings):
                # What an expression will give is known only when it runs; its type is checked then.
                if not _is_template(values, problem.path):
                    self._problem(_join(f"{path}.parameters", problem.path), problem.message)
            return None
        return model if template.constant else None

    def _find_cycles(self, names: list[str]) -> None:
        actions = self.definition.actions
        waits = {
            action.name: set(
                action.depends_on if action.depends_on is not None else ((names[index - 1],) if index else ())
            )
            & set(names) - {action.name}
            for index, action in enumerate(actions)
        }
        while True:
            free = {name for name, needed in waits.items() if not needed}
            if not free:
                break
            waits = {name: needed - free for name, needed in waits.items() if name not in free}
        if waits:
            self._problem("actions", f"these depend on one another in a circle: {' -> '.join(_circle(waits))}")

    def _check_names(self, plan: Plan, actions: frozenset[str]) -> None:
        inputs = self.definition.inputs
        for step in plan.steps:
            for place, paths in checks.uses(step):
                for name in paths:
                    parts = name.split(".")
                    if parts[0] == "actions" and len(parts) > 1 and parts[1] not in actions:
                        self._problem(place, f"{name}: there is no action {parts[1]!r}")
                    elif inputs is not None and not (
                        parts[0] in inputs or self._has_other_origin(parts[0], step, place)
                    ):
                        near = difflib.get_close_matches(parts[0], list(inputs), n=1)
                        hint = f"; did you mean {near[0]!r}?" if near else ""
                        self._problem(place, f"{parts[0]!r} is neither a declared input nor an output{hint}")

    def _has_other_origin(self, name: str, step: Step, place: str) -> bool:
        # What an action returns is not declared, so after another action any name may be one of its outputs; and what
        # is looked at after its own work may be one of its own, or a metric.
        return name in EXPLICIT or name in step.own_names or bool(step.depends_on) or place.endswith(_AFTERWARDS)


_UNKNOWN = Plugin("action", "", lambda: None, NoSettings, {"effect": "read"})
"""In the place of an operation that is not there, of which the definition is refused."""

_EFFECTS = ("read", "standard", "critical")
"""From the least to the most."""

_AFTERWARDS = (".verify", ".wait_for.condition", ".repeat.until", ".repeat.delay", ".rollback.parameters")
"""Keys that are looked at when there are more names: of outputs, of metrics, or of the event that has come."""


def _pinned(definition: WorkflowDefinition) -> str:
    body = definition.model_dump(mode="json", exclude_defaults=True)
    for trigger, told in zip(definition.triggers, body.get("triggers", ()), strict=True):
        # Its default, but without it nobody can tell which kind of trigger it was.
        told["type"] = trigger.type
    return to_json(body).decode()


def _join(base: str, path: str) -> str:
    if not path:
        return base
    return base + path if path.startswith("[") else f"{base}.{path}"


def _is_template(parameters: Mapping[str, Any], path: str) -> bool:
    """Whether the value at a problem's path, or a value above it, is text with an expression in it."""
    value: Any = parameters
    for part in path.replace("[", ".[").split("."):
        if isinstance(value, str):
            break
        if part.startswith("["):
            position = int(part[1:-1])
            value = value[position] if isinstance(value, list | tuple) and position < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return isinstance(value, str) and "${" in value


def _circle(waits: Mapping[str, set[str]]) -> list[str]:
    name = next(iter(waits))
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = sorted(waits[name])[0]
    return [*seen[seen.index(name) :], name]
