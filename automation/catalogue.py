"""The definitions in force: checked together, put where each is needed, kept as versions, audited."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from automation.alerts.book import AlertBook
from automation.alerts.reading import cooldown_of, doubts, of_metrics
from automation.clock import Clock
from automation.definitions import Definitions
from automation.errors import ConditionError, DefinitionError, Problem
from automation.infrastructure.services import Services
from automation.model.alert import AlertRule
from automation.model.base import Definition
from automation.model.schedule import ScheduleDefinition
from automation.model.service import ServiceDefinition
from automation.model.trigger import AlertTrigger, ScheduleTrigger, trigger_name
from automation.model.workflow import ActionDefinition, WorkflowDefinition
from automation.plugins import Kind, read_settings, registry, validation_problems
from automation.schedules.cron import parse_cron
from automation.sources.supervisor import check_source
from automation.store import records, statements
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store, to_json
from automation.triggers.index import Index
from automation.triggers.rules import Rule, rules_of
from automation.workflows.asking import level_of
from automation.workflows.compiler import compile_workflow
from automation.workflows.doubts import haste
from automation.workflows.manager import WorkflowManager
from automation.workflows.plan import Plan
from automation.workflows.surroundings import Defaults

log = logging.getLogger("automation.catalogue")

_KEPT = "registered."
"""Positions of what is registered again at the next start."""

_CURRENT = "current."
"""Positions of the versions that were in force last: what is the same again is not a change."""


@dataclass(frozen=True, slots=True)
class _Change:
    kind: str
    name: str
    body: str | None


class Catalogue:
    """All definitions of an engine."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        index: Index,
        alerts: AlertBook,
        services: Services,
        defaults: Defaults,
    ) -> None:
        self._defaults = defaults
        self._level = defaults.level
        self._store = store
        self._clock = clock
        self._index = index
        self._alerts = alerts
        self._services = services
        self._unsaved: list[_Change] = []
        self._applying = False
        self._current: dict[str, str] | None = None
        self._applied = Definitions()
        self.workflows = WorkflowManager(self._workflow_changed)
        self.schedules: dict[str, ScheduleDefinition] = {}
        """All schedules, those of workflows' triggers included, by name."""

    def add_alert(self, config: AlertRule | Mapping[str, Any]) -> None:
        """Register an alert rule, and a workflow of the same name for its actions; raises DefinitionError."""
        rule = config if isinstance(config, AlertRule) else read_alert(config)
        plan = _plan_of(rule)
        taken = self.workflows.get_workflow(rule.name)
        known = {known.name for known in self._alerts.rules()}
        if plan is not None and taken is not None and rule.name not in known:
            raise DefinitionError([Problem("name", f"there is already a workflow {rule.name!r}")], what="alert")
        self._alerts.define(rule)
        if plan is not None:
            self.workflows.register_workflow(plan.definition)
        elif taken is not None and rule.name in known:
            self.workflows.remove_workflow(rule.name)
        self._note("alert", rule.name, rule)
        # What is doubtful in files has been said by whoever has read them, with file and line.
        for key, text in () if self._applying else doubts(rule):
            log.warning("alert %s: %s: %s", rule.name, key, text)

    def remove_alert(self, name: str) -> None:
        """Forget an alert rule and the workflow of its actions."""
        self._alerts.forget(name)
        self.workflows.remove_workflow(name)
        self._note("alert", name, None)

    def add_service(self, service: ServiceDefinition) -> None:
        """Define a service; raises DefinitionError or NotFound."""
        self._services.define(service)
        self._note("service", service.name, service)

    def add_schedule(self, schedule: ScheduleDefinition) -> None:
        """Define a schedule; raises DefinitionError."""
        self.schedules[schedule.name] = schedule
        if schedule.workflow is not None:
            rule = Rule(schedule.workflow, f"schedule {schedule.name}", frozenset({"schedule"}), schedule.name)
            self._index.put(f"schedule:{schedule.name}", [rule])
        self._note("schedule", schedule.name, schedule)

    def remove_schedule(self, name: str) -> None:
        """Forget a schedule."""
        self.schedules.pop(name, None)
        self._index.take_out(f"schedule:{name}")
        self._note("schedule", name, None)

    def check(self, wanted: Definitions) -> list[Problem]:
        """Everything that is wrong with the definitions, warnings included; nothing is changed."""
        problems: list[Problem] = []
        names = {workflow.name for workflow in wanted.workflows}
        services = {service.name for service in wanted.services} | set(self._services.names())
        for place, workflow in enumerate(wanted.workflows):
            problems += self._workflow_problems(workflow, f"workflows[{place}]")
            if workflow.level is not None and level_of(self._level, workflow) is not workflow.level:
                message = f"{workflow.level.value} asks less than the configured level {self._level.value}, which holds"
                problems.append(Problem(f"workflows[{place}].level", message, severity="warning"))
            for index, action in enumerate(workflow.actions):
                path = f"workflows[{place}].actions[{index}].parameters"
                service, child = action.parameters.get("service_name"), action.parameters.get("workflow")
                if isinstance(service, str) and "${" not in service and service not in services:
                    text = f"no service {service!r} is defined"
                    problems.append(Problem(f"{path}.service_name", text, severity="warning"))
                if action.action_type == "flow.workflow" and isinstance(child, str):
                    known = child in names or "${" in child or self.workflows.get_workflow(child) is not None
                    if not known:
                        text = f"there is no workflow {child!r} yet"
                        problems.append(Problem(f"{path}.workflow", text, severity="warning"))
        for place, rule in enumerate(wanted.alerts):
            path = f"alerts[{place}]"
            if rule.actions and rule.name in names:
                problems.append(Problem(f"{path}.name", f"there is already a workflow {rule.name!r}"))
            problems += _problems_of(lambda r=rule, p=path: _check_alert(r, p))
            problems += [Problem(f"{path}.{key}", text, severity="warning") for key, text in doubts(rule)]
        for place, service in enumerate(wanted.services):
            problems += _problems_of(
                lambda s=service, p=place: _check_plugin("platform", s.platform, s.settings, f"services[{p}]")
            )
        for place, source in enumerate(wanted.sources):
            problems += _under(f"sources[{place}]", _problems_of(lambda s=source: check_source(s)))
        for place, monitor in enumerate(wanted.monitors):
            problems += _problems_of(
                lambda m=monitor, p=place: _check_plugin("collector", m.type, m.settings, f"monitors[{p}]")
            )
        for place, schedule in enumerate(wanted.schedules):
            problems += _under(f"schedules[{place}]", _problems_of(lambda s=schedule: parse_cron(s.cron, s.timezone)))
            if schedule.workflow is not None and schedule.workflow not in names | set(self.workflows.list_workflows()):
                path = f"schedules[{place}].workflow"
                problems.append(Problem(path, f"there is no workflow {schedule.workflow!r}", severity="warning"))
        return problems

    def warnings(self, workflow: WorkflowDefinition) -> tuple[Problem, ...]:
        """What is doubtful in a workflow that could be registered, with paths within it: `timeout_seconds`."""
        place = "workflows[0]."
        found = self.check(Definitions(workflows=(workflow,)))
        return tuple(replace(p, path=p.path.removeprefix(place)) for p in found if p.severity == "warning")

    def apply(self, wanted: Definitions) -> None:
        """Make these the definitions of the files: what is new or changed comes in, what is gone goes.

        Raises DefinitionError, and changes nothing, if any of them is wrong.
        """
        wrong = [problem for problem in self.check(wanted) if problem.severity == "error"]
        if wrong:
            raise DefinitionError(wrong, what="definitions")
        self._applying = True
        try:
            self._replace(self._applied, wanted)
        finally:
            self._applying = False
        self._applied = wanted

    def _replace(self, before: Definitions, wanted: Definitions) -> None:
        for schedule in _gone(before.schedules, wanted.schedules):
            self.remove_schedule(schedule)
        for alert in _gone(before.alerts, wanted.alerts):
            self.remove_alert(alert)
        for workflow in _gone(before.workflows, wanted.workflows):
            self.workflows.remove_workflow(workflow)
        for service in _gone(before.services, wanted.services):
            self._services.forget(service)
            self._note("service", service, None)
        for service in _new(before.services, wanted.services):
            self.add_service(service)
        for workflow in _new(before.workflows, wanted.workflows):
            self.workflows.register_workflow(workflow)
        for alert in _new(before.alerts, wanted.alerts):
            self.add_alert(alert)
        for schedule in _new(before.schedules, wanted.schedules):
            self.add_schedule(schedule)

    @property
    def unsaved(self) -> bool:
        """Whether something was registered that is not yet on disk."""
        return bool(self._unsaved)

    async def save(self, actor: str = "local", *, keep: bool = False) -> None:
        """Store what has changed since the last call as versions, with an audit row for each change.

        With `keep`, it is registered again at the next start: for what has no file and no program to come from.
        """
        if self._current is None:
            self._current = await records.all_positions(self._store, _CURRENT)
        changes, self._unsaved = self._unsaved, []
        now = self._clock.now()
        ops: list[Op] = []
        facts = []
        for change in changes:
            place = f"{change.kind}.{change.name}"
            digest = None
            if change.body is not None:
                digest, op = records.definition(change.kind, change.name, change.body, now)
                ops.append(op)
            if keep and not self._of_alert(change):
                ops.append(_position(_KEPT + place, digest, now))
            if self._current.get(place) == digest:
                # The same as in the last run: registered again, but not changed.
                continue
            ops.append(_position(_CURRENT + place, digest, now))
            if digest is None:
                self._current.pop(place)
            else:
                self._current[place] = digest
            act = f"{change.kind}.{'remove' if digest is None else 'register'}"
            detail = {} if digest is None else {"version": digest}
            facts.append(Fact(now, "configuration_change", actor, act, change.name, "ok", to_json(detail)))
        if ops:
            await self._store.commit(ops, facts)

    async def restore(self) -> None:
        """Register again what was kept. What files or the program define under the same name goes before it."""
        for place, digest in (await records.all_positions(self._store, _KEPT)).items():
            kind, _, name = place.partition(".")
            body = await records.definition_body(self._store, digest)
            try:
                if kind == "alert" and name not in {rule.name for rule in self._alerts.rules()} and body:
                    self.add_alert(AlertRule.model_validate_json(body))
                elif kind == "workflow" and self.workflows.get_workflow(name) is None and body:
                    self.workflows.register_workflow(WorkflowDefinition.model_validate_json(body))
            except (DefinitionError, ValidationError) as error:
                log.error("%s %s, registered over REST, is no longer valid and is left out: %s", kind, name, error)

    def _workflow_problems(self, workflow: WorkflowDefinition, path: str) -> Iterable[Problem]:
        try:
            plan = compile_workflow(workflow)
        except DefinitionError as error:
            return _under(path, error.problems)
        default = self._defaults
        hasty = haste(plan, default.retry_attempts, default.timeout_seconds, default.verify_within_seconds)
        return _under(path, [*plan.warnings, *(Problem(at, text, severity="warning") for at, text in hasty)])

    def _of_alert(self, change: _Change) -> bool:
        """Whether this is the workflow that an alert's actions make: it comes and goes with its alert."""
        return change.kind == "workflow" and change.name in {rule.name for rule in self._alerts.rules()}

    def _note(self, kind: str, name: str, definition: Definition | None) -> None:
        body = None if definition is None else definition.model_dump_json(exclude_defaults=True)
        self._unsaved.append(_Change(kind, name, body))

    def _workflow_changed(self, name: str, plan: Plan | None) -> None:
        self._unsaved.append(_Change("workflow", name, plan.body if plan else None))
        if plan is None:
            self._index.take_out(name)
        else:
            self._index.put(name, rules_of(plan))
            # What is doubtful in files has been said by whoever has read them, with file and line.
            for warning in () if self._applying else self.warnings(plan.definition):
                log.warning("workflow %s: %s", name, warning)
        for known in [key for key in self.schedules if key.startswith(f"{name}.trigger-")]:
            del self.schedules[known]
        for place, trigger in enumerate(plan.definition.triggers if plan else ()):
            if isinstance(trigger, ScheduleTrigger):
                key = trigger_name(name, place)
                self.schedules[key] = ScheduleDefinition(name=key, cron=trigger.cron, timezone=trigger.timezone)


def _position(name: str, digest: str | None, now: float) -> Op:
    if digest is None:
        return statements.POSITION_DELETE(where_name=name)
    return records.save_position(name, digest, now)


def read_alert(config: Mapping[str, Any]) -> AlertRule:
    """An alert rule from a plain mapping; raises DefinitionError with every problem."""
    try:
        return AlertRule.model_validate(dict(config))
    except ValidationError as error:
        name = config.get("name", "alert")
        raise DefinitionError(validation_problems(error), what=f"alert {name!r}") from None


def workflow_of(rule: AlertRule) -> WorkflowDefinition | None:
    """The workflow that an alert rule's actions make, or None if it has none."""
    if not rule.actions:
        return None
    actions: list[ActionDefinition] = []
    taken: dict[str, int] = {}
    for action in rule.actions:
        plugin = registry.find("action", action.type)
        last = action.type.rpartition(".")[2]
        taken[last] = taken.get(last, 0) + 1
        actions.append(
            ActionDefinition(
                name=last if taken[last] == 1 else f"{last}_{taken[last]}",
                action_type=plugin.name if plugin else action.type,
                parameters=action.parameters,
                # People are told, also and just when what was tried before has failed.
                always=bool(plugin and plugin.name.startswith("notification.")),
            )
        )
    return WorkflowDefinition(
        name=rule.name,
        description=f"Actions of the alert {rule.name}",
        actions=tuple(actions),
        triggers=(AlertTrigger(alert=rule.name, condition="event.source == 'alerts'"),),
        labels={"alert": rule.name},
    )


def _plan_of(rule: AlertRule, path: str = "") -> Plan | None:
    definition = workflow_of(rule)
    return compile_workflow(definition, path=path) if definition else None


def _check_alert(rule: AlertRule, path: str) -> None:
    problems: list[Problem] = []
    for key in ("condition", "resolve_when"):
        text = getattr(rule, key)
        try:
            if text is not None:
                of_metrics(text)
        except ConditionError as error:
            problems.append(Problem(f"{path}.{key}", error.message))
    try:
        cooldown_of(rule)
    except DefinitionError as error:
        problems += _under(path, error.problems)
    try:
        _plan_of(rule, path)
    except DefinitionError as error:
        problems += [Problem(p.path.replace(".action_type", ".type"), p.message) for p in error.problems]
    if problems:
        raise DefinitionError(problems, what="alert")


def _check_plugin(kind: Kind, name: str, settings: Mapping[str, Any], path: str) -> None:
    plugin = registry.find(kind, name)
    if plugin is None:
        place = f"{path}.{'platform' if kind == 'platform' else 'type'}"
        raise DefinitionError([Problem(place, registry.unknown(kind, name))], what=kind)
    read_settings(plugin.settings, settings, f"{path}.settings")


def _under(path: str, problems: Iterable[Problem]) -> list[Problem]:
    return [replace(problem, path=f"{path}.{problem.path}") for problem in problems]


def _problems_of(check: Any) -> Iterable[Problem]:
    try:
        check()
    except DefinitionError as error:
        return error.problems  # type: ignore[no-any-return]
    return ()


def _gone(before: Iterable[Any], after: Iterable[Any]) -> list[str]:
    return sorted({item.name for item in before} - {item.name for item in after})


def _new(before: Iterable[Any], after: Iterable[Any]) -> list[Any]:
    known = {item.name: item for item in before}
    return [item for item in after if known.get(item.name) != item]
