"""The end of the demonstration: a table of what the store says happened, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.cli.output import Output, duration
from automation.clock import iso
from automation.demo.facts import KILLED, RAISED, REPORTED, Facts, Happening, Run
from automation.model.execution import ActionRun


def figures(facts: Facts) -> dict[str, Any]:
    """Detection and recovery times in seconds, replicas, CPU, and the availability that the load saw."""
    return {
        "restart": _restart(facts),
        "scaling": _scaling(facts),
        "load": _load(facts),
        "audit_rows": facts.audit_rows,
    }


def _restart(facts: Facts) -> dict[str, Any] | None:
    if facts.killed is None:
        return None
    since = facts.killed.event.time
    return {
        "detected_after": _after(since, facts.failed.event.time if facts.failed else None),
        "recovered_after": _after(since, facts.restart.execution.finished_at if facts.restart else None),
    }


def _scaling(facts: Facts) -> dict[str, Any] | None:
    if facts.raised is None:
        return None
    since = facts.raised.event.time
    scale = facts.scaling.action("infrastructure.scale_infrastructure") if facts.scaling else None
    outputs = scale.outputs if scale is not None and scale.outputs else {}
    return {
        "detected_after": _after(since, facts.firing.event.time if facts.firing else None),
        "recovered_after": _after(since, facts.resolved.event.time if facts.resolved else None),
        "replicas_from": outputs.get("from"),
        "replicas_to": outputs.get("to"),
        "cpu_usage_before": facts.firing.event.data.get("value") if facts.firing else None,
        "cpu_usage_after": facts.resolved.event.data.get("value") if facts.resolved else None,
    }


def _load(facts: Facts) -> dict[str, Any] | None:
    return dict(facts.reported.event.data) if facts.reported else None


def document(facts: Facts, missing: list[str], seconds: float) -> dict[str, Any]:
    """All of it as JSON."""
    return {
        "ok": not missing,
        "missing": missing,
        "seconds": round(seconds, 1),
        "events": [_event(happening) for happening in facts.happenings],
        "figures": figures(facts),
    }


def _event(happening: Happening) -> dict[str, Any]:
    event = happening.event
    return {
        "time": iso(event.time),
        "type": event.type,
        "subject": event.subject,
        "source": event.source,
        "data": event.data,
        "started": [_run(run) for run in happening.runs],
        "not_started": [{"workflow": one.subject, "reason": one.reason} for one in happening.decisions],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "execution": run.execution.id,
        "workflow": run.execution.workflow,
        "why": run.execution.reason,
        "status": run.execution.status.value,
        "actions": [
            {
                "name": action.name,
                "status": action.status.value,
                "seconds": _after(action.started_at, action.finished_at),
                "outputs": action.outputs,
            }
            for action in run.actions
        ],
    }


def show(out: Output, facts: Facts, began: float) -> None:
    """Print the table and the figures."""
    rows = [_row(happening, began) for happening in facts.happenings]
    out.table(("at", "event", "what it started, and why", "actions"), rows)
    out.line()
    found = figures(facts)
    out.table(("what happened", "detected after", "recovered after", "how"), _outcomes(found))
    out.line()
    out.line(availability(found["load"]))
    out.line(f"All of this is read from the store; its {found['audit_rows']} audit rows verify.")


def _row(happening: Happening, began: float) -> tuple[str, ...]:
    event = happening.event
    started = [f"{run.execution.workflow}\n({run.execution.reason})" for run in happening.runs]
    started += [f"not {one.subject}: {one.reason}" for one in happening.decisions]
    actions = [_action(action) for run in happening.runs for action in run.actions]
    what = _told(event.type, event.data)
    return (f"{event.time - began:.1f} s", what, "\n".join(started) or "-", "\n".join(actions) or "-")


def _told(type: str, data: Mapping[str, Any]) -> str:
    notes = {
        KILLED: lambda: f"{data['replica']} (pid {data['pid']}) by SIGKILL",
        RAISED: lambda: f"{data['from']:.0f} to {data['to']:.0f} requests a second",
        REPORTED: lambda: f"{data['sent']} requests",
        "service_health_check_failed": lambda: str(data["error"]),
        "service_health_check_recovered": lambda: str(data["reason"]),
        "alert.firing": lambda: f"{data['alert']} at {data['value']:.0f} %",
        "alert.resolved": lambda: f"{data['alert']} at {data['value']:.0f} %",
    }
    return f"{type}\n({notes[type]()})" if type in notes else type


def _action(action: ActionRun) -> str:
    took = _after(action.started_at, action.finished_at)
    note = ""
    outputs = action.outputs if isinstance(action.outputs, dict) else {}
    if "from" in outputs and "to" in outputs:
        note = f", {outputs['from']} to {outputs['to']} replicas"
    elif "restarted" in outputs:
        note = f", {len(outputs['restarted'])} replicas"
    elif "channel" in outputs:
        note = f", {outputs['channel']}"
    return f"{action.name}: {action.status.value}" + (f" in {duration(took)}" if took is not None else "") + note


def _outcomes(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    restart, scaling = found["restart"], found["scaling"]
    rows: list[tuple[str, ...]] = []
    if restart:
        rows.append(("a replica was killed", _shown(restart, "detected"), _shown(restart, "recovered"), "restarted"))
    if scaling:
        how = f"{scaling['replicas_from']} to {scaling['replicas_to']} replicas, CPU " + " to ".join(
            "-" if scaling[key] is None else f"{scaling[key]:.0f} %" for key in ("cpu_usage_before", "cpu_usage_after")
        )
        rows.append(("the load rose", _shown(scaling, "detected"), _shown(scaling, "recovered"), how))
    return rows


def _shown(found: Mapping[str, Any], what: str) -> str:
    value = found[f"{what}_after"]
    return "-" if value is None else duration(value)


def availability(load: Mapping[str, Any] | None) -> str:
    """What the load generator saw, in a sentence."""
    if load is None:
        return "The load generator did not report."
    share, finished = load["availability_percent"], load["ok"] + load["failed"]
    text = f"Availability that the load saw: {share:.2f} % of {finished} requests"
    if load["retried"]:
        text += f" ({load['retried']} met a connection error first and took a second try)"
    return f"{text}; slowest second's p99 {load['slowest_p99_ms']:.0f} ms."


def _after(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else round(max(0.0, end - begin), 3)
