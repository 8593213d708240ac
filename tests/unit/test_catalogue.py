"""Definitions: applied together, kept where nothing else brings them back."""

from __future__ import annotations

import pytest

from automation import ActionDefinition, AutomationConfig, AutomationEngine, DefinitionError, WorkflowDefinition
from automation.definitions import Definitions, read_text
from automation.model.alert import AlertRule
from tests.support import handlers  # noqa: F401 - registers the operations

WORKFLOW = WorkflowDefinition(name="w", actions=(ActionDefinition(name="a", action_type="test.record"),))

FILE = """
services:
  - {name: web, settings: {command: ["true"]}}
workflows:
  - {name: one, actions: [{name: a, action_type: test.record}]}
alerts:
  - {name: hot, condition: cpu_usage > 80, actions: [{type: test.record}]}
schedules:
  - {name: nightly, cron: "0 3 * * *", workflow: one}
monitors:
  - {name: host, type: host}
"""


async def test_what_is_kept_comes_back_and_the_rest_does_not(config: AutomationConfig) -> None:
    async with AutomationEngine(config) as engine:
        engine.workflow_manager.register_workflow(WORKFLOW)
        await engine.save(actor="ann", keep=True)
        await engine.register_workflow(WORKFLOW.model_copy(update={"name": "by-program"}))
    async with AutomationEngine(config) as engine:
        assert engine.workflow_manager.list_workflows() == ["w"]
        engine.workflow_manager.remove_workflow("w")
        await engine.save(actor="ann", keep=True)
    async with AutomationEngine(config) as engine:
        assert engine.workflow_manager.list_workflows() == []
        acts = [(row.act, row.subject, row.actor) for row in (await engine.queries.audit()).items]
    assert ("workflow.register", "w", "ann") in acts
    assert ("workflow.remove", "w", "ann") in acts


async def test_definitions_come_and_go_together(engine: AutomationEngine) -> None:
    definitions, problems = read_text(FILE)
    assert problems == []

    await engine.apply(definitions)
    assert engine.workflow_manager.list_workflows() == ["hot", "one"]
    assert engine.services.names() == ["web"]
    assert set(engine.watching.scheduler.definitions) == {"nightly"}
    assert "host" in engine.watching.monitor.states

    await engine.apply(read_text("workflows: []")[0])
    assert engine.workflow_manager.list_workflows() == []
    assert engine.services.names() == []
    assert engine.watching.scheduler.definitions == {}
    assert "host" not in engine.watching.monitor.states


async def test_a_cooldown_that_is_no_length_of_time_says_where_and_what(engine: AutomationEngine) -> None:
    text = "alerts: [{name: hot, condition: x > 1, cooldown_period: 10 minutes}]"
    (found,) = engine.catalogue.check(read_text(text)[0])
    assert (found.severity, found.path) == ("error", "alerts[0].cooldown_period")
    assert "write 10m" in found.message


async def test_wrong_settings_say_what_was_perhaps_meant(engine: AutomationEngine) -> None:
    text = """
sources: [{name: f, type: file, settings: {path: x, typ: raw, poll_seconds: soon}}]
monitors: [{name: p, type: promql, settings: {url: "http://p", query: up, metric: up, querry: up}}]
"""
    assert [str(problem) for problem in engine.catalogue.check(read_text(text)[0])] == [
        "sources[0].settings.poll_seconds: must be a valid number, unable to parse string as a number",
        "sources[0].settings.typ: unknown key; did you mean 'type'?",
        "monitors[0].settings.querry: unknown key; did you mean 'query'?",
    ]


async def test_one_that_is_wrong_changes_nothing(engine: AutomationEngine) -> None:
    await engine.apply(read_text(FILE)[0])

    wrong = FILE.replace("test.record}]}\nalerts", "test.nothing}]}\nalerts").replace("name: nightly", "name: weekly")
    with pytest.raises(DefinitionError, match=r"workflows\[0\].actions\[0\]"):
        await engine.apply(read_text(wrong)[0])

    assert engine.workflow_manager.list_workflows() == ["hot", "one"]
    assert set(engine.watching.scheduler.definitions) == {"nightly"}


async def test_what_is_only_doubtful_is_a_warning(engine: AutomationEngine) -> None:
    text = """
workflows:
  - name: w
    actions: [{name: restart_service, action_type: infrastructure, parameters: {service_name: nowhere}}]
schedules:
  - {name: s, cron: "* * * * *", workflow: missing}
"""
    found = engine.catalogue.check(read_text(text)[0])

    assert {(problem.severity, problem.path) for problem in found} == {
        ("warning", "workflows[0].actions[0].parameters.service_name"),
        ("warning", "schedules[0].workflow"),
    }


async def test_a_name_that_is_nearly_duration_is_doubtful(engine: AutomationEngine) -> None:
    text = """
alerts:
  - {name: a, condition: "cpu_usage > 80 AND duraton > 1m", resolve_when: "lables == 'x' OR queue_duration < 3"}
  - {name: b, condition: "cpu_usage > 80 AND duration > 1m AND ratio > 1"}
  - {name: c, condition: "cpu-usage > 80 AND `job:rate` > used - free AND subject != 'cpu-usage'"}
"""
    found = engine.catalogue.check(read_text(text)[0])
    assert [(problem.severity, problem.path, problem.message) for problem in found] == [
        ("warning", "alerts[0].condition", "'duraton' is taken for a metric; did you mean 'duration'?"),
        ("warning", "alerts[0].resolve_when", "'lables' is taken for a metric; did you mean 'labels'?"),
        ("warning", "alerts[2].condition", "cpu-usage is cpu - usage; a metric of this name is written `cpu-usage`"),
    ]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("load > 1 OR node.cpu > 80", "column 13: a metric has no parts: the metric node.cpu is written `node.cpu`"),
        ("lables.zone == 'x'", "column 1: a metric has no parts: did you mean 'labels'?"),
        ("event.type == 'x'", "column 1: an alert rule is about metrics: events start workflows by triggers"),
    ],
)
async def test_a_part_of_a_metric_is_refused(engine: AutomationEngine, condition: str, reason: str) -> None:
    rule = {"name": "a", "condition": condition}
    with pytest.raises(DefinitionError) as refused:
        engine.register_alert_workflow(rule)
    assert str(refused.value).startswith(reason)
    (found,) = engine.catalogue.check(Definitions(alerts=(AlertRule(**rule),)))
    assert (found.severity, found.path, found.message.splitlines()[0]) == ("error", "alerts[0].condition", reason)


async def test_a_kept_alert_comes_back_with_its_actions(config: AutomationConfig) -> None:
    rule = {"name": "hot", "condition": "cpu_usage > 80", "actions": [{"type": "test.record"}]}
    async with AutomationEngine(config) as engine:
        engine.register_alert_workflow(rule)
        await engine.save(actor="ann", keep=True)
    async with AutomationEngine(config) as engine:
        assert [known.name for known in engine.alerts.rules()] == ["hot"]
        assert engine.workflow_manager.list_workflows() == ["hot"]


async def test_registering_the_same_again_is_not_a_change(config: AutomationConfig) -> None:
    other = WORKFLOW.model_copy(update={"description": "another"})
    for workflow in (WORKFLOW, WORKFLOW, other, WORKFLOW):
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(workflow)
            rows = (await engine.queries.audit(kind="configuration_change")).items
    assert [row.act for row in rows] == ["workflow.register"] * 3


async def test_the_default_folder_is_made_at_the_start() -> None:
    async with AutomationEngine() as engine:
        assert engine.config.data_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("child", [[], {}, [["a"]], 1, None, ""])
async def test_a_workflow_whose_name_is_no_text_does_not_break_the_check(
    engine: AutomationEngine, child: object
) -> None:
    action = {"name": "a", "action_type": "flow.workflow", "parameters": {"workflow": child}}
    definition = WorkflowDefinition.model_validate({"name": "w", "actions": [action]})

    problems = engine.catalogue.check(Definitions(workflows=(definition,)))

    assert "workflows[0].actions[0].parameters.workflow" in {problem.path for problem in problems}
