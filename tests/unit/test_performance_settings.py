"""PERFORMANCE_CONFIG of the specification: it loads as written, and its keys do what they say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from automation import ActionDefinition, AutomationConfig, AutomationEngine, ConfigurationError, WorkflowDefinition
from automation.model.performance import BatchProcessing
from automation.store.writer import Unit
from tests.support import busy, handlers

PERFORMANCE_CONFIG: dict[str, Any] = {
    "async_execution": True,
    "thread_pool_size": 50,
    "process_pool_size": 8,
    "cache_strategy": "redis_cluster",
    "database_connection_pool": 20,
    "batch_processing": {"enabled": True, "batch_size": 100, "max_wait_time": 5},
    "circuit_breaker": {"enabled": True, "failure_threshold": 5, "recovery_timeout": 60},
}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def test_the_configuration_of_the_specification_loads_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    file = tmp_path / "automation.yaml"
    file.write_text(yaml.safe_dump({"performance": PERFORMANCE_CONFIG}))
    monkeypatch.setenv("AUTOMATION_PERFORMANCE__CIRCUIT_BREAKER__FAILURE_THRESHOLD", "7")

    given = AutomationConfig(performance=PERFORMANCE_CONFIG)
    loaded = AutomationConfig.load(file)

    # And two keys that the specification does not have.
    further = {"retry_budget": None, "garbage_threshold": 50_000}
    assert given.performance.model_dump() == {**PERFORMANCE_CONFIG, **further}
    assert loaded.performance.circuit_breaker.failure_threshold == 7
    assert loaded.performance.batch_processing == given.performance.batch_processing


def test_the_defaults_are_those_of_the_specification_where_they_are_not_better() -> None:
    default = AutomationConfig().performance.model_dump()

    differing = {key for key, value in PERFORMANCE_CONFIG.items() if default[key] != value}
    assert differing == {"cache_strategy", "batch_processing"}


@pytest.mark.parametrize("wrong", [{"thread_pool_size": 0}, {"batch_processing": {"size": 3}}, {"threads": 5}])
def test_what_is_not_a_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="performance"):
        AutomationConfig(performance=wrong)


@pytest.mark.parametrize(
    ("batch", "most"),
    [({}, 2000), ({"batch_size": 100}, 100), ({"batch_size": 0}, 1), ({"enabled": False}, 1)],
)
async def test_the_batch_size_is_how_many_units_share_a_transaction(
    config: AutomationConfig, batch: dict[str, Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BatchProcessing(**batch).most == most
    engine = AutomationEngine(AutomationConfig(**{**config.model_dump(), "performance": {"batch_processing": batch}}))
    sizes: list[int] = []
    write = engine.store.backend.write

    async def counted(units: list[Unit]) -> None:
        sizes.append(len(units))
        await write(units)

    monkeypatch.setattr(engine.store.backend, "write", counted)
    async with engine:
        await engine.register_workflow(
            WorkflowDefinition(name="w", actions=(ActionDefinition(name="a", action_type="test.record"),))
        )
        await asyncio.gather(*(engine.start_workflow("w") for _ in range(150)))
        await engine.drain()

    assert max(sizes) <= most
    assert max(sizes) > 1 or most == 1


@pytest.mark.parametrize(("asynchronous", "at_once"), [(True, 3), (False, 1)])
async def test_without_asynchronous_execution_one_action_runs_after_the_other(
    config: AutomationConfig, asynchronous: bool, at_once: int
) -> None:
    performance = config.performance.model_copy(update={"async_execution": asynchronous})
    gate = busy.new_gate()
    actions = tuple(
        ActionDefinition(name=f"a{n}", action_type="busy.gate", parameters={"seconds": 0.1}, depends_on=())
        for n in range(3)
    )
    async with AutomationEngine(config.model_copy(update={"performance": performance})) as engine:
        await engine.register_workflow(WorkflowDefinition(name="w", actions=actions, priority="critical"))
        result = await engine.execute_workflow("w")

    assert result.error is None
    assert gate.most == at_once
