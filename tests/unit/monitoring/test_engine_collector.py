"""The collector `engine`, measuring a real engine in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from automation import AutomationConfig, AutomationEngine, VirtualClock
from automation.definitions import Definitions
from automation.infrastructure.services import Services
from automation.model.execution import WorkflowStatus
from automation.model.metric import CATALOGUE
from automation.model.schedule import MonitorDefinition
from automation.model.workflow import ActionDefinition, WorkflowDefinition
from automation.monitoring.collector import EngineFigures, Probe
from automation.monitoring.collectors.engine import EngineCollector
from automation.monitoring.collectors.engine import engine as collect
from tests.support.virtual import ended, until


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def running(config: AutomationConfig, clock: VirtualClock) -> AsyncIterator[AutomationEngine]:
    async with AutomationEngine(config, clock=clock) as engine:
        monitor = MonitorDefinition(name="own", type="engine", interval_seconds=3600)
        nap = ActionDefinition(name="nap", action_type="flow.wait", parameters={"seconds": 600})
        await engine.apply(
            Definitions(
                monitors=(monitor,),
                workflows=(
                    WorkflowDefinition(name="slow", actions=(nap,)),
                    WorkflowDefinition(
                        name="quick",
                        actions=(ActionDefinition(name="a", action_type="flow.set", parameters={"values": {"x": 1}}),),
                    ),
                ),
            )
        )
        yield engine


async def measured(engine: AutomationEngine) -> dict[str, float]:
    found = await engine.watching.monitor.round("own")
    assert found.problems == []
    assert {sample.name for sample in found.samples} <= set(CATALOGUE)
    assert {sample.subject for sample in found.samples} == {"automation"}
    return {":".join((sample.name, *sample.labels.values())): sample.value for sample in found.samples}


async def test_it_counts_executions_and_tells_the_age_of_the_oldest_that_goes_on(
    running: AutomationEngine, clock: VirtualClock
) -> None:
    before = await measured(running)
    assert {name: value for name, value in before.items() if value} == {}
    # Also those that are 0, so that an alert on them ends.
    assert {f"engine_executions:{status.value}" for status in WorkflowStatus} <= set(before)

    done = await running.start_workflow("quick")
    await ended(running, clock, done)
    slow = await running.start_workflow("slow")

    async def waits() -> bool:
        return (await running.get_workflow_status(slow)) is WorkflowStatus.WAITING

    await until(waits)
    await clock.advance(90)
    found = await measured(running)
    assert found["engine_executions:succeeded"] == 1
    assert found["engine_executions:waiting"] == 1
    # Of the one that waits: the other was older, but has ended.
    assert found["engine_oldest_unfinished_seconds"] == pytest.approx(90, abs=0.01)
    assert found["engine_pending_writes"] == 0

    await clock.advance(600)
    await ended(running, clock, slow)
    assert (await measured(running))["engine_oldest_unfinished_seconds"] == 0


async def test_figures_become_samples(config: AutomationConfig, clock: VirtualClock) -> None:
    async def figures() -> EngineFigures:
        return EngineFigures({"failed": 3}, clock.now() + 5, 7, {"queue": 40})

    probe = Probe(Services(config.data_dir, clock), clock, 30, figures=figures)
    found = await collect(EngineCollector(subject="eu"), probe)
    assert [(sample.name, sample.subject, sample.labels, sample.value) for sample in found.samples] == [
        ("engine_executions", "eu", {"status": "failed"}, 3),
        # Created in the future, by a clock that was set back since.
        ("engine_oldest_unfinished_seconds", "eu", {}, 0),
        ("engine_pending_writes", "eu", {}, 7),
        ("engine_source_lag", "eu", {"source": "queue"}, 40),
    ]
    alone = await collect(EngineCollector(), Probe(Services(config.data_dir, clock), clock, 30))
    assert alone.problems == ["there is no engine here to measure"]
