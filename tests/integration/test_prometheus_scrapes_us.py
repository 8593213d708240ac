"""Prometheus scrapes our `/metrics`, and finds there what the specification names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx2
import pytest

from automation import AutomationEngine, WorkflowDefinition, WorkflowStatus
from automation.api.server import Server
from tests.conftest import needs
from tests.support.programs import until, web_page
from tests.support.prometheus import prometheus, query

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120), needs("prometheus"), needs("promtool")]

AUTOMATION_METRICS = {
    "workflow_executions_total": "workflow_executions_total",
    "workflow_execution_duration_seconds": "workflow_execution_duration_seconds_count",
    "active_workflows": "active_workflows",
    "failed_workflows_total": "failed_workflows_total",
    "action_executions_total": "action_executions_total",
    "action_execution_duration_seconds": "action_execution_duration_seconds_count",
    "alert_notifications_sent_total": "alert_notifications_sent_total",
    "automation_efficiency_ratio": "automation_efficiency_ratio",
}
"""The names of the specification, each with a series that it gives."""


def _promtool(text: str) -> tuple[int, str]:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    return checked.returncode, checked.stdout + checked.stderr


async def _run_one_workflow(engine: AutomationEngine, receiver: str) -> None:
    told = {"name": "tell", "action_type": "notification.webhook", "parameters": {"url": f"http://{receiver}/"}}
    await engine.register_workflow(WorkflowDefinition.model_validate({"name": "greet", "actions": [told]}))
    assert (await engine.execute_workflow("greet")).status is WorkflowStatus.SUCCEEDED


async def test_prometheus_finds_all_metrics_of_the_specification(
    server: tuple[AutomationEngine, Server], folder: Path
) -> None:
    engine, serving = server
    target = serving.url.removeprefix("http://")
    scraping = {"scrape_configs": [{"job_name": "automation-engine", "static_configs": [{"targets": [target]}]}]}
    with web_page() as receiver:
        await _run_one_workflow(engine, receiver.url)
        assert len(receiver.posted) == 1
        async with prometheus(folder, scraping) as address:
            for series in AUTOMATION_METRICS.values():
                await until(lambda series=series: query(address, series), f"{series} is scraped")

            (executions,) = await query(address, "workflow_executions_total")
            assert executions["metric"]["workflow"] == "greet"
            assert executions["value"][1] == "1"
            (failed,) = await query(address, "failed_workflows_total")
            assert failed["value"][1] == "0"
            (ratio,) = await query(address, "automation_efficiency_ratio")
            assert ratio["value"][1] == "1"
            (up,) = await query(address, 'up{job="automation-engine"}')
            assert up["value"][1] == "1"


async def test_promtool_finds_nothing_to_complain_about(server: tuple[AutomationEngine, Server]) -> None:
    engine, serving = server
    with web_page() as receiver:
        await _run_one_workflow(engine, receiver.url)
    async with httpx2.AsyncClient() as client:
        text = (await client.get(f"{serving.url}/metrics")).raise_for_status().text

    assert _promtool(text) == (0, "")


async def test_the_writer_is_measured(server: tuple[AutomationEngine, Server]) -> None:
    engine, _ = server
    with web_page() as receiver:
        await _run_one_workflow(engine, receiver.url)

    assert (engine.metrics.registry.get_sample_value("automation_store_commits_total") or 0) >= 1
