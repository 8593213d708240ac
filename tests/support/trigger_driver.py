"""What the durability driver does with triggers that remember."""

from __future__ import annotations

from typing import Any

from automation import AutomationEngine, Event, WorkflowDefinition

TRIGGERS: dict[str, dict[str, Any]] = {
    "counts": {"type": "count", "event": "hit", "count": 3, "within": "5m"},
    "pairs": {"type": "sequence", "events": [{"event": "hit"}, {"event": "end"}], "within": "5m", "key": "pair"},
    "gathers": {"type": "event", "event": "end", "throttle": {"once_after": "5m"}},
    "accumulates": {"type": "event", "event": "hit", "throttle": {"accumulate": {"count": 4, "within": "5m"}}},
    "rests": {"type": "event", "event": "hit", "cooldown": "5m"},
    "misses": {"type": "absence", "event": "hit", "within": "10m"},
}
STARTS = {"counts": 4, "pairs": 6, "gathers": 1, "accumulates": 3, "rests": 1, "misses": 1}
"""How often each starts with all of `EVENTS`, and a quarter of an hour later."""
EVENTS = [(kind, number // 2) for number in range(12) for kind in (("hit", "end") if number % 2 else ("hit",))]


def workflow(name: str) -> WorkflowDefinition:
    """A workflow with one of the triggers."""
    action = {"name": "a", "action_type": "flow.set", "parameters": {"values": {"done": True}}}
    return WorkflowDefinition.model_validate({"name": name, "actions": [action], "triggers": [TRIGGERS[name]]})


async def publish_all(engine: AutomationEngine, together: int | None = None) -> None:
    """Publish all events, each by its number: one after the other, or so many in each list."""
    found = [
        Event(type=kind, id=f"e-{number}", source="test", data={"pair": pair})
        for number, (kind, pair) in enumerate(EVENTS)
    ]
    if together is None:
        for event in found:
            await engine.publish(event)
        return
    for first in range(0, len(found), together):
        await engine.publish_many(found[first : first + together])


async def starts(engine: AutomationEngine) -> dict[str, int]:
    """How often each workflow has started."""
    return {name: len((await engine.queries.executions(workflow=name)).items) for name in TRIGGERS}
