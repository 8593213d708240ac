"""A plan: a workflow definition, checked and compiled. What the runner follows; `compiler.py` makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel

from automation.conditions import BoundCondition, Condition, Template
from automation.errors import Problem
from automation.model.workflow import ActionDefinition, WorkflowDefinition
from automation.plugins import Plugin
from automation.store import records
from automation.workflows.repeat import Loop
from automation.workflows.verify import Check

EXPLICIT = frozenset({"actions", "context", "event"})
"""Roots of names that always mean the same, whatever inputs and outputs are called."""

FAILURES = frozenset({"action_failure", "timeout", "cancelled"})
"""What may trigger a rollback, beside `<family>_failure` and conditions."""

FAMILY_FAILURE = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*_failure")
"""A trigger such as `deployment_failure`, of whatever family: it need not be a condition."""

OWN = frozenset({"attempt"})
"""Names of the action's own scope."""

ITEM = frozenset({"item", "index"})
"""Names of the scope of one item of a `for_each`."""

WORKFLOW = "flow.workflow"
"""The operation that starts another workflow."""

MOST_INTERRUPTIONS = 10
"""How often an action is run again by itself after the engine has died, or was stopped, while it ran."""


@dataclass(frozen=True, slots=True, eq=False)
class Undo:
    """What takes a step back."""

    plugin: Plugin
    parameters: Template | None = None
    """Of an undo that the definition gives; the operation's own takes the parameters of the action."""
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EventWait:
    """The event that a step waits for."""

    event_type: str
    condition: BoundCondition | None
    timeout: Template | None


@dataclass(frozen=True, eq=False)
class Step:
    """One action of a plan."""

    index: int
    definition: ActionDefinition
    plugin: Plugin
    depends_on: tuple[str, ...]
    conditions: tuple[Condition, ...]
    parameters: Template
    validated: BaseModel | None
    """The parameters, read once, where nothing in them depends on the run."""
    undo: Undo | None = None
    items: Template | None = None
    """For `for_each`: what gives the list."""
    needed: int | None = None
    """For `join: any` or a number: how many of those it depends on must have succeeded. None: all must have ended."""
    delay: Template | None = None
    """What gives the time for which it is held back before it begins."""
    verify: Check | None = None
    """What must be true once it has done its work."""
    wait_for: EventWait | None = None
    """The event that it waits for."""
    repeat: Loop | None = None
    """Until when it is run again."""

    @cached_property
    def own_names(self) -> frozenset[str]:
        """Names of its own scope."""
        own = OWN | ITEM if self.items is not None else OWN
        return own if self.repeat is None else own | {"iteration"}

    @cached_property
    def names(self) -> frozenset[str]:
        """Names without which it cannot begin."""
        found = self.parameters.names | _names(self.items) | _names(self.delay)
        if self.wait_for is not None:
            found |= _names(self.wait_for.timeout)
            if self.wait_for.condition is not None:
                found |= self.wait_for.condition.given_names
        return found

    @cached_property
    def name(self) -> str:
        """The action's name."""
        return self.definition.name

    @property
    def families(self) -> frozenset[str]:
        """What its operation is one of, such as `deployment`: as it is registered, and as it was written."""
        return frozenset({self.plugin.name.partition(".")[0], self.definition.action_type.partition(".")[0]})

    @cached_property
    def effect(self) -> str:
        """`read`, `standard` or `critical`: what the definition says or, if it says nothing, the operation."""
        return self.definition.effect or str(self.plugin.options.get("effect", "standard"))

    @cached_property
    def on_interrupt(self) -> str:
        """What becomes of it when the engine has died while it ran: `retry`, `fail`, or `ask` a person."""
        if self.definition.on_interrupt is not None:
            return self.definition.on_interrupt
        if self.idempotent:
            return "retry"
        return "ask" if self.effect == "critical" else "fail"

    def if_interrupted(self, times: int) -> str:
        """The same when it has happened so many times: in the end a person is asked. It may be what kills engines.

        What waits for an event or a workflow does nothing itself, and what has come for it is stored: it goes on.
        """
        if self.waits:
            return "retry"
        return "ask" if self.on_interrupt == "retry" and times > MOST_INTERRUPTIONS else self.on_interrupt

    @cached_property
    def starts_workflows(self) -> bool:
        """Whether it starts another workflow."""
        return self.plugin.name == WORKFLOW

    @cached_property
    def waits(self) -> bool:
        """Whether it may wait for something that is stored as a wait: an event, or the end of a workflow."""
        return self.wait_for is not None or self.starts_workflows

    @cached_property
    def idempotent(self) -> bool:
        """Whether running it again with the same idempotency key is harmless."""
        return bool(self.plugin.options.get("idempotent")) or self.effect == "read"


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked workflow."""

    definition: WorkflowDefinition
    steps: tuple[Step, ...]
    conditions: tuple[Condition, ...]
    warnings: tuple[Problem, ...] = ()
    body: str = ""
    """The definition as JSON: what an execution is pinned to."""

    @cached_property
    def name(self) -> str:
        """The workflow's name."""
        return self.definition.name

    @cached_property
    def id(self) -> str:
        """What names this version of the workflow: a hash of its content."""
        return records.definition("workflow", self.name, self.body, 0.0)[0]

    @cached_property
    def on_conflict(self) -> Literal["queue", "skip", "replace"] | None:
        """What becomes of one too many with the same concurrency key; None if executions have no key."""
        return None if self.definition.concurrency is None else self.definition.concurrency.on_conflict

    @cached_property
    def waits(self) -> bool:
        """Whether any of its steps may wait for something that is stored as a wait."""
        return self.starts_workflows or any(step.waits for step in self.steps)

    @cached_property
    def starts_workflows(self) -> bool:
        """Whether any of its steps, or what undoes one, starts another workflow."""
        undos = (step.undo.plugin for step in self.steps if step.undo is not None)
        return any(step.starts_workflows for step in self.steps) or any(
            undo.kind == "action" and undo.name == WORKFLOW for undo in undos
        )

    @cached_property
    def inputs_used(self) -> tuple[tuple[str, int], ...]:
        """Names that only a variable or the event can give, each with the index of the action that uses it."""
        return tuple(
            (name, step.index)
            for step in self.steps
            if not step.depends_on
            for name in sorted(step.names - EXPLICIT - step.own_names)
        )

    @cached_property
    def by_name(self) -> Mapping[str, Step]:
        """The steps by the names of their actions."""
        return {step.name: step for step in self.steps}

    @cached_property
    def blockers(self) -> Mapping[str, int]:
        """For each step, how many others it waits for: to end or, where it joins some of them, to succeed."""
        return {step.name: step.needed or len(set(step.depends_on)) for step in self.steps}

    @cached_property
    def spare(self) -> Mapping[str, int]:
        """For each step that joins some of those it depends on, how many of them it can do without."""
        return {step.name: len(set(step.depends_on)) - step.needed for step in self.steps if step.needed is not None}

    @cached_property
    def dependents(self) -> Mapping[str, tuple[Step, ...]]:
        """For each step, those that wait for it."""
        found: dict[str, list[Step]] = {step.name: [] for step in self.steps}
        for step in self.steps:
            for name in dict.fromkeys(step.depends_on):
                found[name].append(step)
        return {name: tuple(steps) for name, steps in found.items()}

    def in_order(self) -> list[Step]:
        """The steps, each after all it depends on."""
        return _ordered(self.steps)

    def layers(self) -> list[list[Step]]:
        """The steps, ordered so that each comes in a later layer than all it depends on: how a picture shows them."""
        depth: dict[str, int] = {}
        for step in self.in_order():
            depth[step.name] = 1 + max((depth[name] for name in step.depends_on), default=-1)
        rows: list[list[Step]] = [[] for _ in range(max(depth.values()) + 1)]
        for step in self.steps:
            rows[depth[step.name]].append(step)
        return rows


def _ordered(steps: Iterable[Step]) -> list[Step]:
    done: set[str] = set()
    left = list(steps)
    order: list[Step] = []
    while left:
        ready = [step for step in left if all(name in done for name in step.depends_on)]
        order += ready
        done |= {step.name for step in ready}
        left = [step for step in left if step.name not in done]
    return order


def _names(template: Template | None) -> frozenset[str]:
    return template.names if template is not None else frozenset()
