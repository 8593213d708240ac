"""Whether all of the story happened: what the store says, judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from automation.cli.output import Output
from automation.demo.facts import KILLED, RAISED, REPORTED, Facts, Happening, Run, judge
from automation.demo.report import availability, document, figures, show
from automation.errors import Problem
from automation.model.event import Event
from automation.model.execution import ActionRun, ActionStatus, Execution, WorkflowStatus
from automation.store.alerts import Notification
from automation.store.events import Decision


def run(workflow: str, *actions: ActionRun, status: WorkflowStatus = WorkflowStatus.SUCCEEDED) -> Run:
    execution = Execution(workflow, workflow, "d", status, 2, 10.0, 10.0, 12.0, reason=f"why {workflow}")
    return Run(execution, actions)


def action(operation: str, outputs: Any, status: ActionStatus = ActionStatus.SUCCEEDED) -> ActionRun:
    return ActionRun(operation.partition(".")[2], operation, status, 1, outputs, started_at=10.0, finished_at=11.5)


RESTARTED = run("service_restart_workflow", action("infrastructure.restart_service", {"restarted": ["r1", "r2"]}))
SCALED = run(
    "high_cpu_usage",
    action("infrastructure.scale_infrastructure", {"from": 2, "to": 3}),
    action("notification.notify_slack", {"channel": "#ops-alerts"}),
)
LOAD = {
    "sent": 100,
    "ok": 99,
    "failed": 1,
    "retried": 2,
    "availability_percent": 99.0,
    "slowest_p99_ms": 20.0,
    "errors": {},
}


def happening(type: str, at: float, *runs: Run, **data: Any) -> Happening:
    return Happening(Event(type=type, subject="playback-api", data=data, id=f"{type}@{at}", time=at), runs, ())


def facts() -> Facts:
    return Facts(
        (
            happening(KILLED, 8.0, replica="r1", pid=7, signal="SIGKILL"),
            happening("service_health_check_failed", 9.5, RESTARTED, target="r1", error="killed"),
            happening("service_health_check_recovered", 12.5, target="r1", reason="gone"),
            happening(RAISED, 13.0, **{"from": 9.0, "to": 36.0}),
            happening("alert.firing", 19.0, SCALED, alert="high_cpu_usage", value=104.0, fingerprint="f"),
            happening("alert.resolved", 21.0, alert="high_cpu_usage", value=68.0, fingerprint="f"),
            happening(REPORTED, 24.0, **LOAD),
        ),
        (Notification("k", "slack", "#ops-alerts", "text", "sent", 1, 19.5),),
        11,
    )


def without(type: str) -> Facts:
    known = facts()
    return replace(known, happenings=tuple(one for one in known.happenings if one.event.type != type))


def with_run(old: Run, new: Run | None) -> Facts:
    known = facts()

    def changed(one: Happening) -> Happening:
        return replace(one, runs=(new,) if new else ()) if old in one.runs else one

    return replace(known, happenings=tuple(changed(one) for one in known.happenings))


def with_data(type: str, **data: Any) -> Facts:
    known = facts()
    return replace(
        known,
        happenings=tuple(
            happening(type, one.event.time, *one.runs, **{**one.event.data, **data}) if one.event.type == type else one
            for one in known.happenings
        ),
    )


def test_a_story_that_happened() -> None:
    assert judge(facts()) == []


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        (lambda: without(KILLED), "no replica was killed"),
        (lambda: without("service_health_check_failed"), "the health check of the killed replica did not fail"),
        (
            lambda: with_data("service_health_check_failed", target="r9"),
            "the health check of the killed replica did not",
        ),
        (lambda: without("service_health_check_recovered"), "the health check did not recover"),
        (lambda: with_run(RESTARTED, None), "did not start service_restart_workflow"),
        (
            lambda: with_run(RESTARTED, run("service_restart_workflow", status=WorkflowStatus.FAILED)),
            "service_restart_workflow is failed",
        ),
        (
            lambda: with_run(
                RESTARTED, run("service_restart_workflow", action("infrastructure.restart_service", {"restarted": []}))
            ),
            "restarted nothing",
        ),
        (lambda: without(RAISED), "the load was not raised"),
        (lambda: without("alert.firing"), "high_cpu_usage did not fire"),
        (lambda: with_data("alert.firing", value=70.0), "high_cpu_usage fired at 70.0, not above 80"),
        (lambda: with_run(SCALED, None), "high_cpu_usage did not start its actions"),
        (
            lambda: with_run(SCALED, replace(SCALED, actions=SCALED.actions[1:])),
            "scale_infrastructure did not succeed",
        ),
        (
            lambda: with_run(
                SCALED,
                replace(
                    SCALED,
                    actions=(action("infrastructure.scale_infrastructure", {"from": 3, "to": 3}), SCALED.actions[1]),
                ),
            ),
            "went from 3 to 3 replicas",
        ),
        (
            lambda: with_run(SCALED, run("high_cpu_usage", SCALED.actions[0], status=WorkflowStatus.FAILED)),
            "notify_slack did not succeed",
        ),
        (lambda: without("alert.resolved"), "high_cpu_usage was not resolved"),
        (lambda: with_data("alert.resolved", value=95.0), "high_cpu_usage was resolved at 95.0"),
        (lambda: replace(facts(), notifications=()), "no message was sent to Slack"),
        (lambda: without(REPORTED), "the load generator did not report"),
        (lambda: with_data(REPORTED, ok=0), "the load generator was never answered"),
        (lambda: replace(facts(), audit_rows=0), "the audit chain is empty"),
        (lambda: replace(facts(), audit_problems=(Problem("main/3", "was changed"),)), "audit main/3: was changed"),
    ],
)
def test_what_did_not_happen_is_said(told: Callable[[], Facts], missing: str) -> None:
    assert any(missing in text for text in judge(told()))


def test_nothing_happened() -> None:
    assert len(judge(Facts(()))) >= 9
    assert figures(Facts(())) == {"restart": None, "scaling": None, "load": None, "audit_rows": 0}


def test_an_event_before_the_kill_does_not_count() -> None:
    known = facts()
    early = happening("service_health_check_failed", 7.0, RESTARTED, target="r1", error="earlier")
    kept = tuple(one for one in known.happenings if one.event.type != "service_health_check_failed")
    assert replace(known, happenings=(early, *kept)).failed is None


def test_the_figures() -> None:
    found = figures(facts())
    assert found["restart"] == {"detected_after": 1.5, "recovered_after": 4.0}
    assert found["scaling"] == {
        "detected_after": 6.0,
        "recovered_after": 8.0,
        "replicas_from": 2,
        "replicas_to": 3,
        "cpu_usage_before": 104.0,
        "cpu_usage_after": 68.0,
    }
    assert found["load"] == LOAD


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    known = facts()
    refused = replace(known.happenings[2], decisions=(Decision(1.0, "start", "other", "cooldown", "in cooldown"),))
    show(Output(), replace(known, happenings=(*known.happenings, refused)), 5.0)
    printed = capsys.readouterr().out
    assert "service_restart_workflow (why service_restart_workflow)" in printed
    assert "restart_service: succeeded in 1.5 s, 2 replicas" in printed
    assert "scale_infrastructure: succeeded in 1.5 s, 2 to 3 replicas notify_slack: succeeded in 1.5 s" in printed
    assert "not other: in cooldown" in printed
    assert "2 to 3 replicas, CPU 104 % to 68 %" in printed
    assert "99.00 % of 100 requests (2 met a connection error first and took a second try)" in printed


def test_a_story_that_broke_off_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("alert.firing", "alert.resolved", "service_health_check_failed", RAISED, KILLED):
        show(Output(), without(kind), 5.0)
    assert capsys.readouterr().out
    assert availability(None) == "The load generator did not report."


def test_the_document() -> None:
    told = document(facts(), ["x"], 12.345)
    assert (told["ok"], told["missing"], told["seconds"]) == (False, ["x"], 12.3)
    assert told["events"][1]["started"][0]["actions"][0]["outputs"] == {"restarted": ["r1", "r2"]}
    assert told["events"][0]["time"] == "1970-01-01T00:00:08.000Z"
