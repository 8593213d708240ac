"""Events that are published together: in their order, each for itself, and none twice, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, delete

from automation import (
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    Event,
    InputError,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.config import Events
from automation.errors import Conflict
from automation.store import tables
from automation.store.audit import Fact
from automation.store.statement import Op, Statement
from automation.triggers.dispatcher import Retain
from tests.support.databases import Database
from tests.support.virtual import until


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> AsyncIterator[AutomationEngine]:
    async with AutomationEngine(config_of(database, tmp_path)) as running:
        yield running


def config_of(database: Database, folder: Path, retain: Retain = "all") -> AutomationConfig:
    return AutomationConfig(
        database_url=database.url, data_dir=folder, level=AutomationLevel.AUTONOMOUS, events=Events(retain=retain)
    )


WAITING = {"name": "w", "wait_for": {"event": "go", "timeout": "1h"}}
FORGET = Statement(
    "forget", delete(tables.events).where(tables.events.c.id == bindparam("where_id")), ("where_id",), 1, expect=1
)


async def define(engine: AutomationEngine, name: str, trigger: dict[str, Any] | None = None, **further: Any) -> None:
    action = {"name": "a", "action_type": "flow.set", "parameters": {"values": {"done": True}}}
    triggers = [trigger] if trigger is not None else []
    body = {"name": name, "triggers": triggers, "actions": [action], **further}
    await engine.register_workflow(WorkflowDefinition.model_validate(body))


def numbered(*numbers: int, type: str = "reading") -> list[Event]:
    return [Event(type=type, source="s", id=f"{number}", data={"load": number}) for number in numbers]


async def stored(engine: AutomationEngine) -> list[str]:
    """The ids of all events, oldest first."""
    found = await engine.queries.events(limit=1000)
    return [item.event.id for item in reversed(found.items)]


async def decided(engine: AutomationEngine, outcome: str) -> list[str]:
    found = (await engine.queries.decisions(limit=1000)).items
    return sorted(str(decision.event_id) for decision in found if decision.outcome == outcome)


async def test_each_starts_what_it_starts_and_all_are_kept_in_their_order(engine: AutomationEngine) -> None:
    await define(engine, "w", {"type": "event", "event": "reading", "condition": "load % 100 == 7"})

    receipts = await engine.publish_many(numbered(*range(2500)))

    assert [receipt.event_id for receipt in receipts] == [str(number) for number in range(2500)]
    assert [number for number, receipt in enumerate(receipts) if receipt.executions] == list(range(7, 2500, 100))
    await engine.drain()
    assert len((await engine.queries.executions(workflow="w", status=WorkflowStatus.SUCCEEDED, limit=100)).items) == 25
    newest = (await engine.queries.events(limit=1000)).items
    assert [int(item.event.id) for item in newest] == list(range(2499, 1499, -1))
    assert [item.event.id for item in newest if item.matched] == [str(number) for number in range(2407, 1506, -100)]
    assert await engine.publish_many([]) == []


async def test_however_many_start_something_the_engine_does_other_work_between_some_of_them(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await define(engine, "w", {"type": "event", "event": "reading"})
    commit, together = engine.store.commit, []

    async def counted(ops: Sequence[Op], facts: Sequence[Fact] = ()) -> None:
        together.append([op[0].name for op in ops].count("event"))
        await commit(ops, facts)

    monkeypatch.setattr(engine.store, "commit", counted)
    receipts = await engine.publish_many(numbered(*range(250)))
    assert [len(receipt.executions) for receipt in receipts] == [1] * 250
    assert [count for count in together if count] == [100, 100, 50]
    await engine.drain()


async def test_those_that_were_there_before_are_told_and_start_nothing(engine: AutomationEngine) -> None:
    await define(engine, "w", {"type": "event", "event": "reading", "condition": "load % 2 == 0"})
    await engine.publish_many(numbered(2, 3, 240))

    receipts = await engine.publish_many(numbered(*range(300), 5, 6))

    assert [receipt.event_id for receipt in receipts if receipt.duplicate] == ["2", "3", "240", "5", "6"]
    assert sum(len(receipt.executions) for receipt in receipts) == 148
    assert await decided(engine, "duplicate") == ["2", "240", "3", "5", "6"]
    assert sorted(map(int, await stored(engine))) == list(range(300))
    assert all(receipt.duplicate for receipt in await engine.publish_many(numbered(*range(300))))
    await engine.drain()
    assert len((await engine.queries.executions(workflow="w", limit=1000)).items) == 150


async def test_one_that_is_wrong_refuses_all_and_is_named(engine: AutomationEngine) -> None:
    with pytest.raises(InputError, match=r"^\[1\]: event\.subject: must not contain NUL") as caught:
        await engine.publish_many([*numbered(1), Event(type="x", subject="a\0b"), *numbered(2)])

    assert caught.value.details["path"] == "[1]"
    assert await stored(engine) == []


async def test_a_pattern_sees_them_in_their_order(engine: AutomationEngine) -> None:
    sequence = [{"event": "down"}, {"event": "up"}]
    await define(engine, "flapped", {"type": "sequence", "events": sequence, "within": "1h"})
    await define(engine, "often", {"type": "count", "event": "down", "count": 3, "within": "1h"})

    types = ["up", "down", "other", "up", "up", "down", "down"]
    receipts = await engine.publish_many([Event(type=each, source="s", id=f"e{n}") for n, each in enumerate(types)])

    assert [len(receipt.executions) for receipt in receipts] == [0, 0, 0, 1, 0, 0, 1]
    assert [(await engine.queries.executions(workflow=name)).items[0].workflow for name in ("flapped", "often")]


async def test_a_wait_is_over_with_the_first_that_meets_it(engine: AutomationEngine) -> None:
    await define(engine, "waits", actions=[WAITING])
    waiting = [await engine.start_workflow("waits") for _ in range(2)]

    async def all_wait() -> bool:
        return len(engine._awaited._types) == 2

    await until(all_wait)
    receipts = await engine.publish_many([*numbered(1), *numbered(2, 3, type="go")])

    assert [sorted(receipt.woken) for receipt in receipts] == [[], sorted(waiting), []]
    assert [(await engine.wait_for(each)).status.value for each in waiting] == ["succeeded"] * 2


async def test_where_there_is_one_seat_one_of_them_takes_it(engine: AutomationEngine) -> None:
    concurrency = {"key": "${event.subject}", "on_conflict": "skip"}
    await define(engine, "w", {"type": "event", "event": "reading"}, concurrency=concurrency, actions=[WAITING])

    receipts = await engine.publish_many(numbered(1, 2, 3))

    assert [len(receipt.executions) for receipt in receipts] == [1, 0, 0]
    assert await decided(engine, "concurrency") == ["2", "3"]
    assert await stored(engine) == ["1", "2", "3"]


async def test_what_is_not_kept_is_counted(database: Database, tmp_path: Path) -> None:
    async with AutomationEngine(config_of(database, tmp_path, "matched")) as engine:
        await define(engine, "w", {"type": "event", "event": "reading", "condition": "load == 7"})
        counts = {"type": "count", "event": "rare", "count": 2, "within": "1h"}
        await define(engine, "often", counts)

        await engine.publish_many([*numbered(*range(20)), *numbered(30, 31, 32, type="rare"), *numbered(40)])

        # What a trigger remembers of an event must not be counted twice.
        kept = [name for name in await stored(engine) if not name.startswith("often")]
        assert kept == ["7", "30", "31", "32"]
        assert b'automation_events_received_total{source="s"} 24.0' in engine.metrics.render()
        # What was not kept is not known; what was, is.
        assert [r.duplicate for r in await engine.publish_many(numbered(6, 7, 7))] == [False, True, True]


async def test_an_event_that_a_trigger_makes_may_be_there_already(database: Database, tmp_path: Path) -> None:
    async with AutomationEngine(config_of(database, tmp_path), clock=VirtualClock()) as engine:
        await define(engine, "w", {"type": "any", "events": [{"event": "a"}, {"event": "b"}]})
        await engine.publish_many([Event(type="a", source="s", id="1")])
        assert len(await stored(engine)) == 2
        # The same again, as of a database from which the event is gone and what was made of it is not.
        await engine.store.commit([FORGET(where_id="1")])

        receipts = await engine.publish_many(
            [*numbered(5), Event(type="a", source="s", id="1"), Event(type="b", source="s", id="2")]
        )

    assert [(receipt.duplicate, len(receipt.executions)) for receipt in receipts] == [
        (False, 0),
        (True, 0),
        (False, 1),
    ]


@pytest.mark.parametrize("at_once", [False, True])
async def test_the_last_of_those_that_take_the_place_of_one_another_stays(
    engine: AutomationEngine, at_once: bool
) -> None:
    concurrency = {"key": "${event.subject}", "on_conflict": "replace"}
    await define(engine, "w", {"type": "event", "event": "reading"}, concurrency=concurrency, actions=[WAITING])

    if at_once:
        receipts = await asyncio.gather(*map(engine.publish, numbered(1, 2, 3)))
    else:
        receipts = await engine.publish_many(numbered(1, 2, 3))
    started = [receipt.executions[0] for receipt in receipts]

    async def settled() -> bool:
        found = [await engine.get_workflow_status(each) for each in started]
        return [status.finished for status in found] == [True, True, False] and len(engine._awaited._types) == 1

    await until(settled)
    await engine.publish_many(numbered(4, type="go"))
    results = [await engine.wait_for(each) for each in started]
    assert [result.status.value for result in results] == ["cancelled", "cancelled", "succeeded"]


def told(id: str, state: str = "firing", **data: Any) -> Event:
    """An alert of another system."""
    given = {"alert": "slow", "fingerprint": "f1", "starts_at": 1_700_000_000.0, **data}
    return Event(type=f"alert.{state}", source="alertmanager", id=id, data=given)


@pytest.mark.parametrize("together", [True, False])
async def test_an_alert_that_is_told_of_twice_is_not_taken_for_one_that_fires_again(
    engine: AutomationEngine, together: bool
) -> None:
    for event in (told("1"), told("2", "resolved")):
        await engine.publish(event)
    again = (await engine.publish_many([told("1")]))[0] if together else await engine.publish(told("1"))

    assert again.duplicate
    assert [alert.state.value for alert in (await engine.queries.alerts()).items] == ["resolved"]
    with pytest.raises(Conflict, match="resolved, not firing"):
        await engine.alerts.acknowledge("f1", "ada")


async def test_one_that_tells_of_an_impossible_alert_refuses_all_whichever_transaction_it_were_in(
    engine: AutomationEngine,
) -> None:
    many = [*numbered(*range(2001)), told("x", starts_at="yesterday")]
    with pytest.raises(InputError, match=r"\[2001\]: event.data.starts_at: must be seconds") as caught:
        await engine.publish_many(many)

    assert caught.value.path == "[2001]"
    assert await stored(engine) == []


@pytest.mark.parametrize(
    "trigger",
    [
        {"type": "count", "event": "login", "count": 2, "within": "1m", "key": "event.data.user"},
        {"type": "event", "event": "login", "throttle": {"accumulate": {"count": 2, "within": "1m"}, "key": "user"}},
    ],
)
async def test_a_key_may_hold_what_the_database_does_not_take_as_text(
    engine: AutomationEngine, trigger: dict[str, Any]
) -> None:
    await define(engine, "w", trigger)

    first, other, second = await engine.publish_many(
        [Event(type="login", data={"user": user}) for user in ("a\0b", "a\0c", "a\0b")]
    )

    assert [len(each.executions) for each in (first, other, second)] == [0, 0, 1]


async def test_a_concurrency_key_that_no_database_takes_starts_nothing_and_says_so(engine: AutomationEngine) -> None:
    await define(engine, "w", {"type": "event", "event": "login"}, concurrency={"key": "${user}", "limit": 1})

    receipt = await engine.publish(Event(type="login", data={"user": "a\0b"}))

    assert receipt.executions == ()
    [reason] = receipt.skipped
    assert "concurrency.key: must not contain NUL" in reason
