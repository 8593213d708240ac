"""Whatever is started, ended, cancelled and killed, in whatever order: never more than the limit, and none starves."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import BaseModel
from sqlalchemy import select

from automation import ActionContext, AutomationConfig, AutomationEngine, ExecutionContext, WorkflowDefinition, action
from automation.errors import Conflict
from automation.store.tables import seats

T = TypeVar("T")

POLICIES = {"queue": ("queue", 1), "pair": ("queue", 2), "skip": ("skip", 1), "replace": ("replace", 1)}
KEYS = st.sampled_from(["a", "b"])
NUMBER = st.integers(0, 999)
SLACK = 0.02
"""Seconds in which the engines do what follows from one step."""


class Claim(BaseModel):
    workflow: str
    key: str


under_way: Counter[tuple[str, str]] = Counter()
most: Counter[tuple[str, str]] = Counter()
ends: dict[str, asyncio.Event] = {}


@action("seats.hold", idempotent=True)
async def hold(params: Claim, context: ActionContext) -> dict[str, Any]:
    """Be under way until it is told to end."""
    claim = (params.workflow, params.key)
    under_way[claim] += 1
    most[claim] = max(most[claim], under_way[claim])
    try:
        await ends.setdefault(context.execution_id, asyncio.Event()).wait()
    finally:
        under_way[claim] -= 1
    return {}


def definition(name: str) -> WorkflowDefinition:
    on_conflict, limit = POLICIES[name]
    holds = {"name": "hold", "action_type": "seats.hold", "parameters": {"workflow": name, "key": "${key}"}}
    concurrency = {"key": "${key}", "limit": limit, "on_conflict": on_conflict}
    return WorkflowDefinition.model_validate({"name": name, "actions": [holds], "concurrency": concurrency})


class Nodes(RuleBasedStateMachine):
    """Two engines on one database."""

    empty: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.started: list[str] = []
        self.engines: list[AutomationEngine] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def and_then() -> T:
            found = await work
            await asyncio.sleep(SLACK)
            return found

        return self.loop.run_until_complete(asyncio.wait_for(and_then(), 30))

    @initialize()
    def begin(self) -> None:
        for known in (under_way, most, ends):
            known.clear()
        shutil.copy(self.empty, self.folder / "automation.db")
        self.engines = [self.run(self._engine()) for _ in range(2)]

    async def _engine(self) -> AutomationEngine:
        config = AutomationConfig(
            database_url=f"sqlite:///{self.folder}/automation.db",
            data_dir=self.folder / "data",
            max_concurrent_actions=50,
        )
        engine = AutomationEngine(config)
        await engine.start(watch=False)
        for name in POLICIES:
            await engine.register_workflow(definition(name))
        return engine

    @rule(name=st.sampled_from(sorted(POLICIES)), key=KEYS, node=st.integers(0, 1), count=st.integers(1, 3))
    def start(self, name: str, key: str, node: int, count: int) -> None:
        """Some at the same moment, by the one node and the other."""
        context = ExecutionContext(variables={"key": key})

        async def all_at_once() -> list[Any]:
            asked = [self.engines[(node + number) % 2].start_workflow(name, context) for number in range(count)]
            return await asyncio.gather(*asked, return_exceptions=True)

        for answer in self.run(all_at_once()):
            assert isinstance(answer, str | Conflict), answer
            assert name == "skip" or isinstance(answer, str)
            if isinstance(answer, str):
                self.started.append(answer)

    # Numbers, and not what there is, are drawn: what there is depends on how quick the machine is.

    @rule(number=NUMBER)
    def end(self, number: int) -> None:
        if ends:
            ends[sorted(ends)[number % len(ends)]].set()
            self.run(asyncio.sleep(0))

    @rule(number=NUMBER, node=st.integers(0, 1))
    def cancel(self, number: int, node: int) -> None:
        if self.started:
            with contextlib.suppress(Conflict):
                self.run(self.engines[node].cancel(self.started[number % len(self.started)]))

    @rule(node=st.integers(0, 1))
    def kill(self, node: int) -> None:
        """One engine stands still, as for `kill -9`; the other finds it dead, and a third takes its place."""

        async def die() -> None:
            dead = self.engines[node]
            tasks = [run.task for run in dead._runner.runs.values() if run.task is not None]
            tasks += [task for task in (dead._seats._usher, dead._recovery._task) if task is not None]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            await dead.store.close()
            dead._executor.close()
            await self.engines[1 - node]._recovery.bury(dead._recovery.node)

        self.run(die())
        self.engines[node] = self.run(self._engine())

    @invariant()
    def never_more_than_the_limit(self) -> None:
        for (name, key), count in most.items():
            assert count <= POLICIES[name][1], f"{count} of {name} at once for {key}"

    def teardown(self) -> None:
        try:
            if self.engines:
                self.run(self._finish())
        finally:
            for engine in self.engines:
                self.loop.run_until_complete(engine.stop())
            self.loop.run_until_complete(_end_the_rest())
            self.loop.close()
            shutil.rmtree(self.folder)

    async def _finish(self) -> None:
        """Whatever is under way is told to end, until nothing is left."""
        queries = self.engines[0].queries
        async with asyncio.timeout(30):
            while [each for each in self.started if not (await queries.execution(each)).status.finished]:
                for event in ends.values():
                    event.set()
                await asyncio.sleep(0.02)
        self.never_more_than_the_limit()
        assert await self.engines[0].store.first(select(seats.c.execution_id)) is None


async def _end_the_rest() -> None:
    """End what else the killed engines had begun."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.mark.timeout(300)
def test_seats_are_held_by_never_more_than_the_limit_and_reach_everybody(empty_database: Path) -> None:
    class Bound(Nodes):
        empty = empty_database

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=12,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
