"""What triggers remember is the same on every database, and for every node on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, Event, VirtualClock, WorkflowDefinition
from automation.store import trigger_states
from automation.store.statement import Unexpected
from automation.store.store import Store
from automation.store.trigger_states import TriggerState, same, write
from tests.support.databases import Database
from tests.support.virtual import until

PLACE = ("w.trigger-0", "pattern", "ü\u2028")


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    opened = Store(database.url)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_row_is_changed_only_from_the_revision_that_was_seen(store: Store) -> None:
    first = TriggerState.new({"until": 5.0, "x": "ü"}, "digest", 5.0)
    second = TriggerState.new({"until": 6.0}, "digest", None)
    await store.commit([write(PLACE, None, first, 1.0)])  # type: ignore[list-item]
    assert await trigger_states.at(store, [PLACE, ("other", "", "")]) == {PLACE: first}
    await store.commit([same(PLACE, first.revision), same(("other", "", ""), None)])

    for wrong in (write(PLACE, None, second, 2.0), write(PLACE, "r", second, 2.0), write(PLACE, "r", None, 2.0)):
        assert wrong is not None
        with pytest.raises(Unexpected, match="trigger_state"):
            await store.commit([wrong])
    for stale in (same(PLACE, None), same(PLACE, "r"), same(("other", "", ""), "r")):
        with pytest.raises(Unexpected, match="trigger_state"):
            await store.commit([stale])

    await store.commit([write(PLACE, first.revision, second, 2.0)])  # type: ignore[list-item]
    assert await trigger_states.changed(store, 1.5) == {PLACE: second}
    await store.commit([write(PLACE, second.revision, None, 3.0)])  # type: ignore[list-item]
    assert await trigger_states.changed(store, 0.0) == {}


async def test_a_chain_of_changes_goes_in_one_batch(store: Store) -> None:
    """As events that come together write it: each follows the one before, and one that is refused undoes no other."""
    before: str | None = None
    units = []
    for number in range(60):
        if number % 7 == 3:
            units.append(store.commit([same(PLACE, before)]))
        after = TriggerState.new({"n": number}, "d", None) if number % 10 != 9 else None
        op = write(PLACE, before, after, float(number))
        assert op is not None
        units.append(store.commit([op]))
        before = after.revision if after is not None else None
    units.append(store.commit([same(PLACE, "never")]))
    found = await asyncio.gather(*units, return_exceptions=True)
    assert [type(outcome) for outcome in found[:-1]] == [type(None)] * (len(found) - 1)
    assert isinstance(found[-1], Unexpected)


class Nodes:
    """Two engines on one database and one clock."""

    def __init__(self, engines: list[AutomationEngine], clock: VirtualClock) -> None:
        self.engines = engines
        self.clock = clock

    async def define(self, trigger: dict[str, Any]) -> None:
        """Let both have a workflow with this trigger."""
        action = {"name": "a", "action_type": "flow.set", "parameters": {"values": {"done": True}}}
        body = {"name": "w", "actions": [action], "triggers": [trigger]}
        for engine in self.engines:
            await engine.register_workflow(WorkflowDefinition.model_validate(body))

    async def starts(self) -> int:
        """How often the workflow has started."""
        return len((await self.engines[0].queries.executions(workflow="w", limit=1000)).items)


@pytest.fixture
async def nodes(database: Database, tmp_path: Path) -> AsyncIterator[Nodes]:
    clock = VirtualClock()
    config = AutomationConfig(database_url=database.url, data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        engines = [AutomationEngine(config, clock=clock) for _ in range(2)]
        for engine in engines:
            await stack.enter_async_context(engine)
        yield Nodes(engines, clock)


async def test_events_of_one_pattern_may_come_to_any_node(nodes: Nodes) -> None:
    await nodes.define({"type": "sequence", "events": [{"event": "a"}, {"event": "b"}], "within": "1h"})
    for number in range(6):
        first, second = nodes.engines[number % 2], nodes.engines[1 - number % 2]
        await first.publish(Event(type="a", id=f"a-{number}"))
        receipt = await second.publish(Event(type="b", id=f"b-{number}"))
        assert len(receipt.executions) == 1
    assert await nodes.starts() == 6


async def test_events_that_come_to_both_nodes_at_once_are_each_counted_once(nodes: Nodes) -> None:
    await nodes.define({"type": "count", "event": "a", "count": 5, "within": "1h"})
    events = [Event(type="a", id=f"{number}") for number in range(40)]
    receipts = await asyncio.gather(*(engine.publish(event) for event in events for engine in nodes.engines))

    assert sum(receipt.duplicate for receipt in receipts) == 40
    assert await nodes.starts() == 8


@pytest.mark.parametrize(
    "trigger",
    [
        {"type": "absence", "event": "a", "within": 60},
        {"type": "event", "event": "a", "throttle": {"once_after": 60}},
        {"type": "not_all", "events": [{"event": "a"}, {"event": "b"}], "within": 60},
    ],
)
async def test_time_that_is_over_is_ended_by_one_node(nodes: Nodes, trigger: dict[str, Any]) -> None:
    await nodes.define(trigger)
    await nodes.engines[0].publish(Event(type="a"))
    await nodes.engines[1].triggers.refresh()

    await nodes.clock.advance(61)

    async def some() -> bool:
        await nodes.clock.settle()
        return bool(await nodes.starts())

    await until(some)
    await nodes.clock.advance(600)
    assert await nodes.starts() == 1


async def test_what_was_switched_off_is_off_for_all_nodes(nodes: Nodes) -> None:
    await nodes.define({"type": "event", "event": "a"})
    first, second = nodes.engines
    await first.triggers.switches.turn("w", on=False, actor="ann", reason="it is broken")
    await second.triggers.refresh()

    receipt = await second.publish(Event(type="a"))
    assert receipt.executions == ()
    assert "disabled by ann" in receipt.skipped[0]

    await second.triggers.switches.turn("w", on=True, actor="bob")
    assert len((await second.publish(Event(type="a"))).executions) == 1
