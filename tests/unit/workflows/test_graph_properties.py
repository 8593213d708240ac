"""Random graphs against a model of what the documentation says: what runs, when, and how it ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from automation import Refused, TryLater, WorkflowDefinition, WorkflowStatus
from automation.testing import After, Rehearsal, run_workflow
from automation.workflows.state import fold
from tests.support import side_effects  # noqa: F401 - registers the operations
from tests.unit.workflows.test_workflow_properties import check_prefixes, told

GRAPHS = 3 * int(os.environ.get("DURABILITY_LIVES", "12"))

MANY = settings(max_examples=GRAPHS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pytestmark = pytest.mark.timeout(600 + GRAPHS)

FINAL = ("action_completed", "action_failed", "action_skipped", "action_cancelled")


@dataclass(frozen=True)
class Act:
    """One action of a graph, and its fate."""

    name: str
    number: int
    """Each has a duration that no sum of others' makes up, so that no two things happen at the same moment."""
    depends_on: tuple[str, ...]
    join: Any = "all"
    fails: int = 0
    """How many of its attempts fail; it has three."""
    final: bool = False
    """Whether its first failure is not to be tried again."""
    on_failure: str = "fail"
    always: bool = False
    condition: str | None = None
    """The action whose output its condition names; `nothing` is one that there is not."""
    items: int = 0
    at_once: int = 1

    @property
    def seconds(self) -> float:
        """How long one attempt takes."""
        return float(4**self.number)

    @property
    def pause(self) -> float:
        """How long it waits before it is tried again."""
        return float(4.0 ** -(self.number + 1))

    @property
    def attempts(self) -> int:
        """How many attempts it makes, if it makes any."""
        return 1 if self.final or not self.fails else min(self.fails + 1, 3)

    @property
    def succeeds(self) -> bool:
        """Whether it ends well, if it runs."""
        return (self.items > 0 and self.on_failure == "continue") or not (self.final or self.fails >= 3)

    @property
    def takes(self) -> float:
        """How long it takes in all."""
        if not self.items:
            return self.attempts * self.seconds + (self.attempts - 1) * self.pause
        return self.seconds if not self.succeeds else ceil(self.items / self.at_once) * self.seconds

    def definition(self) -> dict[str, Any]:
        """As users write it."""
        retry = {"attempts": 3, "initial_seconds": self.pause, "factor": 1, "jitter": False}
        told: dict[str, Any] = {"name": self.name, "action_type": "side.once", "timeout_seconds": 1e6, "retry": retry}
        told |= {"depends_on": self.depends_on, "on_failure": self.on_failure, "always": self.always}
        if self.depends_on:
            told["join"] = self.join
        if self.condition is not None:
            told["conditions"] = [f"{self.condition}_ok == 1"]
        if self.items:
            told["for_each"] = {"items": list(range(self.items)), "concurrency": self.at_once}
        return told

    def outcome(self) -> Any:
        """What comes of its attempts."""
        if self.final:
            return After(self.seconds, Refused("for good"))
        failures = [After(self.seconds, TryLater("not yet"))] * self.fails
        return [*failures, After(self.seconds, {f"{self.name}_ok": 1})][:3]


@st.composite
def graphs(draw: st.DrawFn) -> list[Act]:
    """Any graph of up to seven actions: in any order of the list, with joins, conditions, failures, cleanup, items."""
    names = "abcdefg"[: draw(st.integers(1, 7))]
    acts = []
    for number, name in enumerate(names):
        before = names[:number]
        depends_on = tuple(draw(st.lists(st.sampled_from(before), unique=True, max_size=4))) if before else ()
        join: Any = "all"
        if depends_on and draw(st.booleans()):
            join = draw(st.sampled_from(["any", *range(1, len(depends_on) + 1)]))
        items = draw(st.integers(1, 3)) if draw(st.integers(0, 4)) == 0 else 0
        final = draw(st.integers(0, 2)) == 0
        acts.append(
            Act(
                name,
                number,
                depends_on,
                join,
                fails=0 if items or final else draw(st.sampled_from([0, 0, 1, 2, 3])),
                final=final,
                on_failure=draw(st.sampled_from(["fail", "continue"])),
                always=draw(st.booleans()),
                condition=draw(st.sampled_from([*before, "nothing"])) if draw(st.integers(0, 3)) == 0 else None,
                items=items,
                at_once=draw(st.integers(1, 3)),
            )
        )
    return draw(st.permutations(acts))


@dataclass
class Model:
    """What the documentation says of a graph, played through by the end of each action."""

    acts: list[Act]
    statuses: dict[str, str] = field(default_factory=dict)
    begins: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    failed: str | None = None

    def play(self) -> Model:
        now = 0.0
        while True:
            while any(self._decide(act, now) for act in self.acts):
                pass
            running = {name: end for name, end in self.ends.items() if name not in self.statuses}
            if not running:
                return self
            name = min(running, key=lambda each: running[each])
            now = running[name]
            act = next(act for act in self.acts if act.name == name)
            self.statuses[name] = "succeeded" if act.succeeds else "failed"
            if act.succeeds and not act.items:
                self.outputs.add(name)
            if not act.succeeds and act.on_failure == "fail":
                self.failed = self.failed or name

    def _decide(self, act: Act, now: float) -> bool:
        """Whether something becomes of an action now."""
        if act.name in self.statuses or act.name in self.begins:
            return False
        ended = [self.statuses[name] for name in act.depends_on if name in self.statuses]
        reached = len(ended) == len(act.depends_on)
        if act.join != "all":
            needed = 1 if act.join == "any" else act.join
            lost = sum(status != "succeeded" for status in ended)
            hopeless = len(act.depends_on) - lost < needed
            if not hopeless and ended.count("succeeded") < needed:
                return False
            reached = not hopeless or act.always
        elif not reached:
            return False
        hindered = self.failed is not None and not act.always
        holds = act.condition is None or act.condition in self.outputs
        if hindered or not reached or not holds:
            self.statuses[act.name] = "skipped"
        else:
            self.begins[act.name] = now
            self.ends[act.name] = now + act.takes
        return True


async def rehearse(acts: list[Act]) -> Rehearsal:
    definition = WorkflowDefinition.model_validate({"name": "w", "actions": [act.definition() for act in acts]})
    return await run_workflow(definition, outcomes={act.name: act.outcome() for act in acts})


BROKEN = Act("a", 0, (), final=True)
MAY_FAIL = Act("a", 0, (), final=True, on_failure="continue")


@MANY
@example([BROKEN, Act("b", 1, ("a",)), Act("c", 2, ("a",), always=True), Act("d", 3, ()), Act("e", 4, ("d",))])
@example([MAY_FAIL, Act("b", 1, ()), Act("c", 2, ("a", "b"), join=1), Act("d", 3, ("a", "b"), join=2)])
@example([MAY_FAIL, Act("b", 1, ("a",), join=1, always=True), Act("c", 2, ("a",)), Act("d", 3, (), condition="c")])
@example([Act("a", 0, (), items=3, at_once=2, final=True), Act("b", 1, (), items=2, final=True, on_failure="continue")])
@given(graphs())
async def test_a_graph_runs_as_it_is_documented(acts: list[Act]) -> None:
    model = Model(acts).play()
    for status in set(model.statuses.values()):
        event(status)

    result = await rehearse(acts)

    assert {action.name: action.status.value for action in result.actions} == model.statuses
    assert result.status is (WorkflowStatus.FAILED if model.failed else WorkflowStatus.SUCCEEDED)
    assert (result.error or {}).get("action") == model.failed
    for action in result.actions:
        if action.name in model.begins:
            assert result.began_after(action.name) == pytest.approx(model.begins[action.name], abs=1e-4)
            assert (action.finished_at or 0.0) - result.began_at == pytest.approx(model.ends[action.name], abs=1e-4)
        else:
            assert action.started_at is None


@MANY
@given(graphs())
async def test_nothing_runs_twice_and_the_journal_tells_all(acts: list[Act]) -> None:
    result = await rehearse(acts)

    names = [act.name for act in acts]
    state = fold(names, result.journal)
    assert sorted(state.runs(), key=lambda run: run.name) == sorted(result.actions, key=lambda run: run.name)
    assert state.status is result.status
    assert told(state) == told(fold(names, list(result.journal)))
    check_prefixes(names, list(result.journal))
    for name in names:
        entries = [entry for entry in result.journal if entry.action == name and entry.kind in FINAL]
        assert sum("retry_at" not in entry.body for entry in entries) == 1, "it ends exactly once"
    runs = [(call.action, call.attempt) for call in result.calls]
    assert len(set(runs)) == len(runs), "an attempt was made twice"
    for act in acts:
        keys = {call.action: call.idempotency_key for call in result.calls if call.action.partition("[")[0] == act.name}
        for key in keys:
            attempts = [call.attempt for call in result.calls if call.action == key]
            assert attempts == list(range(1, act.attempts + 1))
        assert len(set(keys.values())) == len(keys)


def test_the_model_is_able_to_disagree() -> None:
    """A graph of which the outcome is plain."""
    broken = Act("a", 0, (), final=True)
    model = Model([broken, Act("b", 1, ("a",)), Act("c", 2, ("a",), always=True), Act("d", 3, ())]).play()

    assert model.statuses == {"a": "failed", "b": "skipped", "c": "succeeded", "d": "succeeded"}
    assert model.failed == "a"
    assert model.begins == {"a": 0, "c": 1, "d": 0}
