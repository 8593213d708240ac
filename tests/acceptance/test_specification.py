"""The specification's examples, as they are written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from automation import (
    ActionContext,
    ActionDefinition,
    AlertSeverity,
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    Event,
    ExecutionContext,
    Priority,
    Refused,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
    action,
    undo,
)
from automation.errors import ConfigurationError
from automation.testing import engine as engine_under_test


async def test_basic_configuration(tmp_path: Path) -> None:
    config = AutomationConfig(
        level=AutomationLevel.AUTONOMOUS,
        max_concurrent_actions=50,
        retry_attempts=5,
        timeout_seconds=900,
        monitoring_interval=15,
        enable_predictive_scaling=True,
        enable_ml_optimization=True,
    )

    engine = AutomationEngine(config)

    assert engine.config.level is AutomationLevel.AUTONOMOUS
    assert list(tmp_path.iterdir()) == [], "constructing touches nothing"


def test_the_defaults_of_the_specification() -> None:
    config = AutomationConfig()

    assert (config.level, config.max_concurrent_actions, config.retry_attempts) == (AutomationLevel.INTELLIGENT, 10, 3)
    assert (config.timeout_seconds, config.monitoring_interval) == (300, 30)
    assert config.enable_predictive_scaling is config.enable_ml_optimization is True


async def test_creating_a_simple_workflow(engine: AutomationEngine) -> None:
    restart_action = ActionDefinition(
        name="restart_service",
        action_type="infrastructure",
        parameters={"service_name": "spotify-api", "graceful": True, "wait_for_health": True},
        timeout_seconds=300,
        retry_attempts=3,
    )
    workflow = WorkflowDefinition(
        name="service_restart_workflow",
        description="Restart a service with health checks",
        actions=[restart_action],
        conditions=["service_health_check_failed"],
        priority=Priority.HIGH,
    )

    engine.workflow_manager.register_workflow(workflow)

    assert engine.workflow_manager.list_workflows() == ["service_restart_workflow"]
    assert engine.workflow_manager.get_workflow("service_restart_workflow") == workflow
    assert await engine.workflow_manager.validate_workflow(workflow) is True
    receipt = await engine.publish(Event(type="service_health_check_failed", subject="spotify-api"))
    await engine.drain()
    result = await engine.wait_for(receipt.executions[0])
    # The specification defines no service of that name, which is found when the action runs.
    assert result.status is WorkflowStatus.FAILED
    assert "there is no service 'spotify-api'" in (result.error or "")


async def test_intelligent_alert_configuration(engine: AutomationEngine) -> None:
    alert_config = {
        "name": "high_cpu_usage",
        "condition": "cpu_usage > 80 AND duration > 5m",
        "severity": AlertSeverity.HIGH,
        "actions": [
            {
                "type": "scale_infrastructure",
                "parameters": {"service_name": "recommendation-engine", "scale_factor": 1.5, "max_instances": 20},
            },
            {
                "type": "notify_slack",
                "parameters": {"channel": "#ops-alerts", "message": "Auto-scaling triggered for high CPU usage"},
            },
        ],
        "cooldown_period": 600,  # 10 minutes
    }

    engine.register_alert_workflow(alert_config)

    assert [rule.name for rule in engine.alerts.rules()] == ["high_cpu_usage"]
    workflow = engine.workflow_manager.get_workflow("high_cpu_usage")
    assert workflow is not None
    assert [step.action_type for step in workflow.actions] == [
        "infrastructure.scale_infrastructure",
        "notification.notify_slack",
    ]


class Greet(BaseModel):
    who: str


@action("demo.greet", idempotent=True, effect="read")
async def greet(params: Greet, context: ActionContext) -> dict[str, Any]:
    """Greet somebody."""
    return {"greeting": f"hello {params.who}"}


async def test_the_public_interface(tmp_path: Path) -> None:
    workflow = WorkflowDefinition(
        name="hello",
        actions=[ActionDefinition(name="greet", action_type="demo", parameters={"who": "${who}"})],
        conditions=["who != 'nobody'"],
    )
    async with AutomationEngine(AutomationConfig(database_url="sqlite:///ops.db")) as engine:
        assert await engine.register_workflow(workflow) is True
        context = ExecutionContext(variables={"who": "you"})
        result = await engine.execute_workflow("hello", context)
        assert result.status is WorkflowStatus.SUCCEEDED
        assert result.outputs["greet"] == {"greeting": "hello you"}
        assert result.error is None
        assert await engine.get_workflow_status(result.execution_id) is WorkflowStatus.SUCCEEDED
        execution_id = await engine.start_workflow("hello", context, idempotency_key="deploy-42")
        assert execution_id == await engine.start_workflow("hello", context, idempotency_key="deploy-42")
        await engine.publish(Event(type="service_health_check_failed", subject="playback-api", data={"a": 1}))
        await engine.observe("cpu_usage", 91.5, subject="playback-api", labels={"host": "a1"})
        await engine.drain(timeout=60)
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.SUCCEEDED
    assert (tmp_path / "ops.db").exists()


async def test_a_later_engine_takes_up_what_is_left(config: AutomationConfig) -> None:
    workflow = WorkflowDefinition(
        name="long",
        actions=[
            ActionDefinition(name="wait", action_type="flow", parameters={"seconds": 3600}),
            ActionDefinition(name="greet", action_type="demo", parameters={"who": "${who}"}),
        ],
    )
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as first:
        await first.register_workflow(workflow)
        execution_id = await first.start_workflow("long", ExecutionContext(variables={"who": "you"}))

    async with AutomationEngine(config, clock=clock) as second:
        await clock.advance(3600)
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["greet"] == {"greeting": "hello you"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////no/such/folder/x.db", "the folder /no/such/folder does not exist"),
        ("mysql://somewhere/db", "mysql is not supported"),
        ("ops.db", "is not a URL"),
        ("sqlite://ops.db", "needs three slashes"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_one_clear_line(url: str, message: str) -> None:
    from automation.errors import AutomationError

    with pytest.raises(AutomationError) as caught:
        async with AutomationEngine(AutomationConfig(database_url=url)):
            pass
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_configuration_is_refused_with_every_problem() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AutomationConfig(retry_attempts=0, api={"prot": 1}, levle="x")
    assert {problem.path for problem in caught.value.problems} == {"retry_attempts", "api.prot", "levle"}


async def test_automated_traffic_spike_management() -> None:
    """Example 2, with the operations of its families that this test brings along."""
    traffic_spike_workflow = WorkflowDefinition(
        name="traffic_spike_management",
        description="Automatic traffic spike management",
        triggers=[
            {"type": "metric_threshold", "metric": "requests_per_second", "threshold": 10000, "duration": "2m"},
        ],
        actions=[
            ActionDefinition(
                name="analyze_traffic_pattern",
                action_type="flow.set",
                parameters={"values": {"traffic_pattern": "organic"}},
            ),
            ActionDefinition(
                name="adaptive_scaling",
                action_type="flow.set",
                parameters={"values": {"scaled": True}},
                conditions=["traffic_pattern == 'organic'"],
            ),
            ActionDefinition(
                name="activate_rate_limiting",
                action_type="flow.set",
                parameters={"values": {"limited": True}},
                conditions=["traffic_pattern == 'bot'"],
            ),
        ],
    )
    async with engine_under_test() as engine:
        await engine.register_workflow(traffic_spike_workflow)
        await engine.observe("requests_per_second", 12_000, subject="playback-api")
        await engine.clock.advance(119)
        assert (await engine.queries.executions()).items == ()
        await engine.clock.advance(1)

        (found,) = (await engine.queries.executions(workflow="traffic_spike_management")).items
        result = await engine.wait_for(found.id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["adaptive_scaling"] == {"scaled": True}
    assert "activate_rate_limiting" not in result.outputs


@pytest.mark.parametrize(
    ("accuracy", "deployed", "degraded", "status", "undone"),
    [
        (0.95, {}, False, WorkflowStatus.SUCCEEDED, []),
        (0.95, Refused("no room"), False, WorkflowStatus.ROLLED_BACK, ["deploy_canary"]),
        (0.95, {}, True, WorkflowStatus.ROLLED_BACK, ["full_deployment", "deploy_canary"]),
        (0.50, {}, False, WorkflowStatus.SUCCEEDED, []),
        (Refused("no model"), {}, False, WorkflowStatus.FAILED, []),
    ],
)
async def test_ml_deployment_automation(
    accuracy: Any, deployed: Any, degraded: bool, status: WorkflowStatus, undone: list[str]
) -> None:
    """Example 1: what deployed is undone, the last first, when a deployment fails or performance is degraded."""
    ml_deployment_workflow = WorkflowDefinition(
        name="ml_model_deployment",
        description="Automated deployment with A/B validation",
        actions=[
            ActionDefinition(
                name="validate_model",
                action_type="ml",
                parameters={
                    "model_path": "${model_path}",
                    "validation_dataset": "${validation_dataset}",
                    "acceptance_threshold": 0.92,
                },
            ),
            ActionDefinition(
                name="deploy_canary",
                action_type="deployment",
                parameters={"deployment_type": "canary", "traffic_percentage": 5, "monitoring_duration": 1800},
            ),
            ActionDefinition(
                name="evaluate_canary",
                action_type="ml",
                parameters={
                    "metrics": ["accuracy", "latency", "error_rate"],
                    "comparison_baseline": "current_production",
                },
            ),
            ActionDefinition(
                name="full_deployment",
                action_type="deployment",
                parameters={"deployment_type": "blue_green", "rollback_on_failure": True},
                conditions=["canary_evaluation_passed"],
            ),
        ],
        rollback_strategy={
            "enabled": True,
            "triggers": ["deployment_failure", "performance_degradation"],
            "max_rollback_time": 300,
        },
    )
    refused = isinstance(accuracy, Exception)
    outcomes = {
        "validate_model": accuracy if refused else {"accuracy": accuracy},
        "deploy_canary": {},
        "evaluate_canary": {
            "canary_evaluation_passed": not refused and accuracy > 0.92,
            "performance_degradation": degraded,
        },
        "full_deployment": deployed,
    }
    inputs = {"model_path": "/models/7", "validation_dataset": "june"}
    async with engine_under_test(outcomes=outcomes) as engine:
        await engine.register_workflow(ml_deployment_workflow)
        result = await engine.execute_workflow("ml_model_deployment", ExecutionContext(variables=inputs))
        stored = await engine.queries.execution(result.execution_id)

    assert result.status is status
    assert ((stored.error or {}).get("rollback") or {}).get("undone", []) == undone


class Learning(BaseModel):
    model_path: str = ""
    validation_dataset: str = ""
    acceptance_threshold: float = 0.0
    metrics: list[str] = []
    comparison_baseline: str = ""


class Deployment(BaseModel):
    deployment_type: str
    traffic_percentage: float = 100
    monitoring_duration: float = 0
    rollback_on_failure: bool = False


async def learn(params: Learning, context: ActionContext) -> dict[str, Any]:
    return {}


async def deploy(params: Deployment, context: ActionContext) -> dict[str, Any]:
    return {}


async def withdraw(params: Deployment, result: Any, context: ActionContext) -> None:
    return None


for known in ("validate_model", "evaluate_canary"):
    action(f"ml.{known}", effect="read")(learn)
for known in ("deploy_canary", "full_deployment"):
    action(f"deployment.{known}")(deploy)
    undo(f"deployment.{known}")(withdraw)
