"""What happened, read back from the store, and whether it is what the demonstration promises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from automation.demo.stage import ALERT, RESTART
from automation.errors import Problem
from automation.model.event import Event
from automation.model.execution import ActionRun, ActionStatus, Execution, WorkflowStatus
from automation.queries import Queries
from automation.store.alerts import Notification
from automation.store.events import Decision

KILLED, RAISED, REPORTED = "demo.replica_killed", "demo.load_raised", "demo.load_report"


@dataclass(frozen=True, slots=True)
class Run:
    """An execution and its actions."""

    execution: Execution
    actions: tuple[ActionRun, ...]

    def action(self, operation: str) -> ActionRun | None:
        """The action that ran this operation."""
        return next((action for action in self.actions if action.operation == operation), None)

    @property
    def succeeded(self) -> bool:
        """Whether all went well."""
        return self.execution.status is WorkflowStatus.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, what it started, and what it did not start with the reason."""

    event: Event
    runs: tuple[Run, ...]
    decisions: tuple[Decision, ...]

    def run(self, workflow: str) -> Run | None:
        """What it started of this workflow."""
        return next((run for run in self.runs if run.execution.workflow == workflow), None)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the store has of one demonstration."""

    happenings: tuple[Happening, ...]
    """Oldest first."""
    notifications: tuple[Notification, ...] = ()
    audit_rows: int = 0
    audit_problems: tuple[Problem, ...] = ()

    def first(self, type: str, after: Happening | None = None, **data: Any) -> Happening | None:
        """The first event of this type that is not before `after` and has this data."""
        since = after.event.time if after else 0.0
        for happening in self.happenings:
            event = happening.event
            fits = event.type == type and event.time >= since
            if fits and all(event.data.get(name) == value for name, value in data.items()):
                return happening
        return None

    @property
    def killed(self) -> Happening | None:
        """That a replica was killed."""
        return self.first(KILLED)

    @property
    def failed(self) -> Happening | None:
        """That the health check of the killed replica failed."""
        if self.killed is None:
            return None
        return self.first("service_health_check_failed", self.killed, target=self.killed.event.data["replica"])

    @property
    def restart(self) -> Run | None:
        """The restart that followed from that."""
        return self.failed.run(RESTART) if self.failed else None

    @property
    def recovered(self) -> Happening | None:
        """That the health check no longer fails."""
        if self.failed is None:
            return None
        return self.first("service_health_check_recovered", self.failed, target=self.failed.event.data["target"])

    @property
    def raised(self) -> Happening | None:
        """That the load was raised."""
        return self.first(RAISED)

    @property
    def firing(self) -> Happening | None:
        """That the CPU alert fired."""
        return self.first("alert.firing", self.raised, alert=ALERT) if self.raised else None

    @property
    def scaling(self) -> Run | None:
        """The actions that the alert started."""
        return self.firing.run(ALERT) if self.firing else None

    @property
    def resolved(self) -> Happening | None:
        """That the alert is over."""
        if self.firing is None:
            return None
        return self.first("alert.resolved", self.firing, fingerprint=self.firing.event.data["fingerprint"])

    @property
    def reported(self) -> Happening | None:
        """What the load generator saw."""
        return self.first(REPORTED)


async def read_facts(queries: Queries, *, audit: bool = False) -> Facts:
    """Read all of it; the audit chain is checked only where that is asked for."""
    happenings = []
    for stored in reversed((await queries.events(limit=1000)).items):
        detail = await queries.event(stored.event.id, stored.event.source)
        runs = [
            Run(execution, (await queries.execution_detail(execution.id)).actions) for execution in detail.executions
        ]
        happenings.append(Happening(stored.event, tuple(runs), detail.decisions))
    happenings.sort(key=lambda happening: happening.event.time)
    rows, problems = await queries.verify_audit() if audit else (0, [])
    return Facts(tuple(happenings), await queries.notifications(), rows, tuple(problems))


def judge(facts: Facts, *, threshold: float = 80.0) -> list[str]:
    """What of the story did not happen, each in a sentence; empty if all of it did."""
    return [text for text in _missing(facts, threshold) if text]


def _missing(facts: Facts, threshold: float) -> Iterable[str]:
    yield "" if facts.killed else "no replica was killed"
    yield "" if facts.failed else "the health check of the killed replica did not fail"
    yield _not_restarted(facts.restart)
    yield "" if facts.recovered else "the health check did not recover"
    yield "" if facts.raised else "the load was not raised"
    yield _not_above(facts.firing, threshold)
    yield from _not_scaled(facts.scaling)
    yield "" if any(one.status == "sent" for one in facts.notifications) else "no message was sent to Slack"
    yield _not_below(facts.resolved, threshold)
    yield _not_served(facts.reported)
    yield "" if facts.audit_rows else "the audit chain is empty"
    yield from (f"audit {problem}" for problem in facts.audit_problems)


def _not_restarted(run: Run | None) -> str:
    if run is None:
        return f"the failed health check did not start {RESTART}"
    action = run.action("infrastructure.restart_service")
    if not run.succeeded or action is None or action.status is not ActionStatus.SUCCEEDED:
        return f"{RESTART} is {run.execution.status.value}"
    return "" if action.outputs["restarted"] else f"{RESTART} restarted nothing"


def _not_above(firing: Happening | None, threshold: float) -> str:
    if firing is None:
        return f"{ALERT} did not fire"
    value = firing.event.data.get("value")
    return "" if value is not None and value > threshold else f"{ALERT} fired at {value}, not above {threshold:g}"


def _not_scaled(run: Run | None) -> Iterable[str]:
    if run is None:
        yield f"{ALERT} did not start its actions"
        return
    scale, slack = run.action("infrastructure.scale_infrastructure"), run.action("notification.notify_slack")
    if scale is None or scale.status is not ActionStatus.SUCCEEDED:
        yield "scale_infrastructure did not succeed"
    elif not scale.outputs["to"] > scale.outputs["from"]:
        yield f"scale_infrastructure went from {scale.outputs['from']} to {scale.outputs['to']} replicas"
    if slack is None or slack.status is not ActionStatus.SUCCEEDED:
        yield "notify_slack did not succeed"
    if not run.succeeded:
        yield f"the actions of {ALERT} are {run.execution.status.value}"


def _not_below(resolved: Happening | None, threshold: float) -> str:
    if resolved is None:
        return f"{ALERT} was not resolved"
    value = resolved.event.data.get("value")
    return "" if value is not None and value <= threshold else f"{ALERT} was resolved at {value}"


def _not_served(reported: Happening | None) -> str:
    if reported is None:
        return "the load generator did not report"
    return "" if reported.event.data["ok"] else "the load generator was never answered"
