"""The whole way with a real Prometheus and a real Alertmanager: a metric rises, our workflow runs, it falls again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from automation import AutomationEngine, WorkflowDefinition
from automation.api.server import Server
from automation.model.alert import Alert, AlertState
from automation.model.execution import Execution
from tests.conftest import needs
from tests.support.programs import Page, until, web_page
from tests.support.prometheus import alertmanager, prometheus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    needs("prometheus"),
    needs("prometheus-alertmanager"),
]

RULE = {
    "alert": "HighLatency",
    "expr": "latency_seconds > 2",
    "for": "0s",
    "labels": {"severity": "critical"},
    "annotations": {"summary": "{{ $labels.host }} answers in {{ $value }} s"},
}

WORKFLOW = WorkflowDefinition.model_validate(
    {
        "name": "relieve",
        "triggers": [{"type": "alert", "alert": "HighLatency"}],
        "actions": [
            {
                "name": "look",
                "action_type": "flow.set",
                "parameters": {
                    "values": {
                        "host": "${event.data.labels.host}",
                        "text": "${event.data.annotations.summary}",
                        "severity": "${event.severity}",
                    }
                },
            }
        ],
    }
)


async def test_an_alert_of_prometheus_runs_our_workflow_once_and_is_resolved(
    server: tuple[AutomationEngine, Server], folder: Path
) -> None:
    engine, serving = server
    await engine.register_workflow(WORKFLOW)
    token = await engine.tokens.issue("alertmanager", ["automation_source"], expires_in=None, actor="test")
    with web_page() as service:
        _say(service, 0.1)
        async with (
            alertmanager(folder, _receiver(folder, serving.url, token)) as manager,
            prometheus(folder, _scraping(folder, service.url, manager)),
        ):
            log = folder / "alertmanager.log"
            # Given: all is well, and nothing has run.
            assert await _executions(engine) == ()

            # When the latency rises.
            _say(service, 7.5)
            execution = (await until(lambda: _executions(engine), "the workflow runs", log=log))[0]
            result = await engine.wait_for(execution.id)

            # Then the workflow saw what Prometheus knows.
            assert result.outputs["look"] == {"host": "a1", "text": "a1 answers in 7.5 s", "severity": "critical"}
            assert execution.event_source == "alertmanager"
            alert = await _alert(engine)
            assert (alert.name, alert.state, alert.source) == ("HighLatency", AlertState.FIRING, "alertmanager")
            assert alert.labels["host"] == "a1"

            # And Alertmanager, which repeats itself each second, starts it no second time.
            await until(lambda: _duplicates(engine) >= 2, "two repeated notifications have come", log=log)
            assert len(await _executions(engine)) == 1

            # When the latency falls, the alert is resolved, and that starts nothing.
            _say(service, 0.2)
            await until(lambda: _resolved(engine), "the alert is resolved", log=log)
            event = (await engine.queries.events(type="alert.resolved")).items[0].event
            assert event.data["alert"] == "HighLatency"
            assert event.data["labels"]["host"] == "a1"
            assert len(await _executions(engine)) == 1

            # When it rises again, that is a new alert, and the workflow runs again.
            _say(service, 9)
            await until(lambda: _count(engine, 2), "the workflow runs a second time", log=log)
            assert (await _alert(engine)).state is AlertState.FIRING


async def test_a_wrong_token_is_refused(server: tuple[AutomationEngine, Server], folder: Path) -> None:
    engine, serving = server
    await engine.register_workflow(WORKFLOW)
    viewer = await engine.tokens.issue("viewer", ["automation_viewer"], expires_in=None, actor="test")
    with web_page() as service:
        _say(service, 5)
        async with (
            alertmanager(folder, _receiver(folder, serving.url, viewer)) as manager,
            prometheus(folder, _scraping(folder, service.url, manager)),
        ):
            log = folder / "alertmanager.log"
            await until(lambda: "unexpected status code 403" in log.read_text(), "Alertmanager is told 403", log=log)
            await until(lambda: _refusals(engine), "the refusal is in the audit chain", log=log)
            assert await _executions(engine) == ()


def _say(service: Page, latency: float) -> None:
    service.text = f'# TYPE latency_seconds gauge\nlatency_seconds{{host="a1"}} {latency}\n'


def _receiver(folder: Path, url: str, token: str) -> dict[str, Any]:
    secret = folder / "token"
    secret.write_text(token)
    webhook = {
        "url": f"{url}/webhooks/alertmanager",
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": str(secret)}},
    }
    return {
        "route": {
            "receiver": "automation",
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1s",
        },
        "receivers": [{"name": "automation", "webhook_configs": [webhook]}],
    }


def _scraping(folder: Path, service: str, manager: str) -> dict[str, Any]:
    rules = folder / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "latency", "rules": [RULE]}]}))
    return {
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
        "scrape_configs": [{"job_name": "service", "static_configs": [{"targets": [service]}]}],
    }


async def _executions(engine: AutomationEngine) -> tuple[Execution, ...]:
    return (await engine.queries.executions(workflow="relieve")).items


async def _count(engine: AutomationEngine, wanted: int) -> bool:
    return len(await _executions(engine)) == wanted


async def _alert(engine: AutomationEngine) -> Alert:
    (alert,) = (await engine.queries.alerts()).items
    return alert


async def _resolved(engine: AutomationEngine) -> bool:
    return (await _alert(engine)).state is AlertState.RESOLVED


async def _refusals(engine: AutomationEngine) -> bool:
    rows = (await engine.queries.audit(kind="access_attempt")).items
    return any(row.act == "authorize" or row.detail.get("permission") == "events:publish" for row in rows)


def _duplicates(engine: AutomationEngine) -> float:
    name, labels = "automation_events_suppressed_total", {"reason": "duplicate"}
    return engine.metrics.registry.get_sample_value(name, labels) or 0.0
