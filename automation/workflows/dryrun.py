"""What a start would do, without doing it: the steps in order, their conditions and their parameters as far as known.

Pure: a plan and variables go in, and nothing is touched. What an earlier action will return is not known before it has
run: a condition that hangs on it is unknown, and a parameter that needs it stays as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from automation.conditions import Condition, Measure
from automation.config import AutomationConfig
from automation.errors import InputError
from automation.model.approval import Approvals, Terms
from automation.model.workflow import AutomationLevel, RetryBudget
from automation.workflows.asking import level_of, needs_approval, terms_of
from automation.workflows.measuring import MeasuredNames, ahead, subject_of
from automation.workflows.plan import Plan, Step
from automation.workflows.seats import key_of
from automation.workflows.shape import allowed, care_of, limits_of, shape_of
from automation.workflows.starts import checked_inputs
from automation.workflows.state import Scope, State

Verdict = Literal["true", "false", "unknown"]


@dataclass(frozen=True, slots=True)
class ForeseenCondition:
    """A condition, and its value as far as it can be known now."""

    text: str
    value: Verdict


@dataclass(frozen=True, slots=True)
class ForeseenStep:
    """What would become of one action."""

    name: str
    operation: str
    effect: str
    layer: int
    """Steps of one layer can run at the same time; a layer begins with what the layers before it have let go."""
    depends_on: tuple[str, ...]
    runs: Verdict
    """Whether all its conditions hold; if not, it is skipped."""
    conditions: tuple[ForeseenCondition, ...]
    parameters: dict[str, Any]
    """Rendered, or as they are written where `unknown` names what is missing."""
    unknown: tuple[str, ...]
    needs_approval: bool
    held_by: str | None
    """What would hold it back if it began now: a guardrail or an open circuit, with its reason."""
    on_guardrail: str
    """What would become of it then: `fail`, `skip` or `wait`."""
    approval: str = ""
    """How it is asked for, in words, where it is."""
    shape: tuple[str, ...] = ()
    """When and how often it runs, and what becomes of its failure, where that is not as for any action."""


Judge = Callable[[Plan, Step, Any], str | None]
"""Says what would hold a step with these parameters back now."""


@dataclass(frozen=True, slots=True)
class ForeseenConcurrency:
    """Of which concurrency key it would need a seat."""

    key: str
    limit: int
    on_conflict: str


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a start of a workflow would do."""

    workflow: str
    starts: Verdict
    """Whether the workflow's own conditions let it start. Unknown does not hinder a start by hand."""
    conditions: tuple[ForeseenCondition, ...]
    variables: dict[str, Any]
    """What was given, with defaults filled in."""
    steps: tuple[ForeseenStep, ...]
    concurrency: ForeseenConcurrency | None = None
    retry_budgets: tuple[str, ...] = ()
    """How many retries there may be for all actions together, in words: of all workflows, and of this one."""
    proposed: str = ""
    """How it is asked for, in words, where a trigger would only propose it."""
    rollback: str = ""
    """On what it is rolled back, for how long, and what nothing would undo, in words; empty where it never is."""
    limits: tuple[str, ...] = ()
    """Of its time, and of what its actions may change, in words, as far as the workflow says it itself."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a dry run goes by beside the plan: what is configured, and what holds now."""

    level: AutomationLevel = AutomationLevel.AUTONOMOUS
    approvals: Approvals = field(default_factory=Approvals)
    retry_budget: RetryBudget | None = None
    judge: Judge | None = None
    measure: Measure | None = None
    """Tells what windows over metrics show now; without it they are unknown."""

    @classmethod
    def of(cls, config: AutomationConfig, judge: Judge, measure: Measure) -> Self:
        """As configured."""
        return cls(config.level, config.approvals, config.performance.retry_budget, judge, measure)


_CLEAR = Outlook()


def foresee(
    plan: Plan, variables: Mapping[str, Any], event: Mapping[str, Any] | None = None, outlook: Outlook = _CLEAR
) -> Foreseen:
    """What starting the plan with these variables would do; raises InputError for inputs that a start would refuse."""
    given = checked_inputs(plan, variables, event)
    state = State(step.name for step in plan.steps)
    state.variables, state.event = given, dict(event) if event else None
    scope = Scope(state)
    measured = MeasuredNames(scope, outlook.measure, subject_of({}, state.event))
    gates = tuple(ForeseenCondition(gate.text, _word(gate.evaluate(measured))) for gate in plan.conditions)
    steps = tuple(
        _step(plan, step, layer, state, outlook) for layer, steps in enumerate(plan.layers()) for step in steps
    )
    budgets = {"all workflows": outlook.retry_budget, "this workflow": plan.definition.retry_budget}
    return Foreseen(
        workflow=plan.name,
        starts=_all(gates),
        conditions=gates,
        variables=given,
        steps=steps,
        concurrency=_concurrency(plan, given, event),
        retry_budgets=tuple(f"{whose}: {allowed(budget)}" for whose, budget in budgets.items() if budget is not None),
        proposed=_proposed(plan, outlook),
        rollback=_rollback(plan),
        limits=limits_of(plan.definition),
    )


def _proposed(plan: Plan, outlook: Outlook) -> str:
    if level_of(outlook.level, plan.definition) is not AutomationLevel.MANUAL:
        return ""
    terms = terms_of(outlook.approvals, 0.0, plan.definition.approval)
    return f"by what a trigger starts, at level manual: {_told(terms)}"


def _rollback(plan: Plan) -> str:
    strategy = plan.definition.rollback_strategy
    if strategy is None or not strategy.enabled or not strategy.triggers:
        return ""
    told = f"on {' or '.join(strategy.triggers)}, within {strategy.max_rollback_time:g} s"
    without = [step.name for step in plan.in_order() if step.undo is None and step.effect != "read"]
    return f"{told}; nothing undoes {', '.join(without)}" if without else told


def _concurrency(plan: Plan, given: Mapping[str, Any], event: Mapping[str, Any] | None) -> ForeseenConcurrency | None:
    key, concurrency = key_of(plan, given, event), plan.definition.concurrency
    if key is None or concurrency is None:
        return None
    return ForeseenConcurrency(key, concurrency.limit, concurrency.on_conflict)


def _asked(plan: Plan, step: Step, defaults: Approvals) -> str:
    return _told(terms_of(defaults, 0.0, step.definition.approval, plan.definition.approval))


def _told(terms: Terms) -> str:
    told = f"{terms.quorum} {'has' if terms.quorum == 1 else 'have'} to approve"
    if terms.roles:
        told += f" of {' or '.join(terms.roles)}"
    if terms.escalate_at is not None:
        told += f"; escalates after {terms.escalate_at:g} s"
    if terms.expires_at is not None:
        told += f"; after {terms.expires_at:g} s: {terms.on_expiry}"
    return told


def _step(plan: Plan, step: Step, layer: int, state: State, outlook: Outlook) -> ForeseenStep:
    scope = Scope(state, {"attempt": 1})
    conditions = tuple(
        ForeseenCondition(condition.text, _word(_value(condition, step, scope, outlook.measure, state.event)))
        for condition in step.conditions
    )
    parameters, unknown = _parameters(step, scope)
    asks = needs_approval(level_of(outlook.level, plan.definition), step)
    return ForeseenStep(
        name=step.name,
        operation=step.plugin.name,
        effect=step.effect,
        layer=layer,
        depends_on=step.depends_on,
        runs=_all(conditions),
        conditions=conditions,
        parameters=parameters,
        unknown=unknown,
        needs_approval=asks,
        held_by=outlook.judge(plan, step, parameters) if outlook.judge is not None else None,
        on_guardrail=step.definition.on_guardrail,
        approval=_asked(plan, step, outlook.approvals) if asks else "",
        shape=(*shape_of(step.definition), *care_of(step.definition), *_own_undo(plan, step)),
    )


def _own_undo(plan: Plan, step: Step) -> tuple[str, ...]:
    # What the definition gives is told with the action; that of the operation counts only where there is a rollback.
    own = step.undo is not None and step.definition.rollback is None
    return ("undone by its operation",) if own and _rollback(plan) else ()


def _parameters(step: Step, scope: Scope) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        rendered: dict[str, Any] = step.parameters.render(scope)
    except InputError as error:
        return step.definition.parameters, tuple(dict.fromkeys(name for _, name in error.missing))
    return rendered, ()


def _value(condition: Condition, step: Step, scope: Scope, measure: Measure | None, event: Any) -> bool | None:
    value = condition.evaluate(ahead(condition, step, scope, measure, event))
    if value is None or not step.depends_on:
        return value
    # An earlier action may yet return what is missing, and change what is measured. What holds without it and with it
    # holds.
    return value if condition.evaluate(_Later(scope)) is value else None


class _Later:
    """The names of a scope, in which every name without a value has one that nobody knows."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or something that is not null and does not compare."""
        if name == "actions":
            return _SOMETHING
        value = self._scope.get(name)
        return _SOMETHING if value is None and name != "event" else value


class _Something(Mapping[str, Any]):
    """A value with every key, each of which has such a value."""

    def get(self, key: str, default: Any = None) -> Any:
        """Such a value."""
        return self

    def __getitem__(self, key: str) -> Any:
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_SOMETHING = _Something()


def _word(value: bool | None) -> Verdict:
    return "unknown" if value is None else "true" if value else "false"


def _all(conditions: Sequence[ForeseenCondition]) -> Verdict:
    values = {condition.value for condition in conditions}
    return "false" if "false" in values else "unknown" if "unknown" in values else "true"
