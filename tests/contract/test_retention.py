"""What is past its time goes, bit by bit; what is not stays; and what goes is not missed by what stays."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, Event, ExecutionContext, VirtualClock, WorkflowDefinition
from automation.config import Store as Settings
from automation.errors import StoreUnavailable
from automation.maintenance import Database
from automation.model.alert import Alert, AlertState
from automation.model.retention import Retention
from automation.retention.sweep import Sweep, Swept
from automation.store import alerts, executions, records, retention
from automation.store.alerts import Notification
from automation.store.audit import Fact
from automation.store.events import Decision, insert
from automation.store.records import Token
from automation.store.store import Store
from automation.store.tables import metadata
from tests.support import handlers
from tests.support.databases import Database as Stored

DAY = 86_400.0
KEPT = {
    "nodes": "each process removes its own, and those of dead processes of its machine",
    "definitions": "what the audit and kept executions refer to; small",
    "positions": "one row a thing, written again and again",
    "audit_heads": "one row a chain",
    "holds": "what people hold until they let it go",
    "breakers": "one row for each operation and target, written again and again",
    "trigger_states": "one row a trigger and key, as many as the trigger allows; it goes when its time is over",
    "writers": "writers on PostgreSQL remove those of writers that have gone",
}
"""Tables of which nothing goes by its age, with the reason."""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def config(database: Stored, tmp_path: Path) -> AutomationConfig:
    """Small batches, so that each test needs some."""
    handlers.calls.clear()
    settings = Retention(batch_rows=3, pause_seconds=0)
    store = Settings(inline_bytes=1024)
    return AutomationConfig(database_url=database.url, data_dir=tmp_path / "data", retention=settings, store=store)


@pytest.fixture
async def store(config: AutomationConfig) -> AsyncIterator[Store]:
    opened = Store(config.database, config.store)
    await opened.open()
    yield opened
    await opened.close()


async def sweep(store: Store, clock: VirtualClock, config: AutomationConfig, **settings: Any) -> Swept:
    update = {"retention": config.retention.model_copy(update=settings)}
    return await Sweep(store, clock, config.model_copy(update=update)).run()


async def until_asked(engine: AutomationEngine, execution_id: str) -> None:
    async with asyncio.timeout(20):
        while not await engine.approvals.of(execution_id):
            await asyncio.sleep(0.01)


def rows(database: Stored, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in database.rows(query)]


def after(days: float, config: AutomationConfig) -> Database:
    """The database, looked after so many days later."""
    return Database(config, VirtualClock(time.time() + days * DAY))


def test_every_table_has_a_rule() -> None:
    by_age = {
        "events",
        "decisions",
        "dead_letters",
        "notifications",
        "alerts",
        "tokens",
        "executions",
        "large_values",
        "audit",
        "metric_series",
        "metric_buckets",
    }
    with_executions = {table.name for table in retention.OF_EXECUTIONS}
    assert {"journal", "packed_journals", "large_value_uses"} <= with_executions
    assert set(metadata.tables) - by_age - with_executions == set(KEPT), "what becomes of the rows of this table?"


class TestByAge:
    async def test_events_go_but_for_those_that_are_needed(
        self, store: Store, clock: VirtualClock, config: AutomationConfig, database: Stored
    ) -> None:
        now = clock.now()
        ops = [insert(Event(type="e", id=f"old-{n}", source="s"), now - 31 * DAY, False) for n in range(8)]
        ops += [insert(Event(type="e", id=f"new-{n}", source="s"), now - 29 * DAY, False) for n in range(4)]
        ops.append(Decision(now - 2 * DAY, "event", "e", "duplicate", "seen", "s", "old-5").op())
        ops.append(Decision(now - 2 * DAY, "start", "w", "cooldown", "later", "s", "old-6").op())
        await store.commit(ops)
        database.run("INSERT INTO definitions VALUES ('d', 'workflow', 'w', '{}', 0)")
        database.run(
            "INSERT INTO executions (id, workflow, definition_id, status, priority, created_at, event_source, "
            "event_id, reason, actor) VALUES ('x', 'w', 'd', 'waiting', 0, 0, 's', 'old-7', '', '')",
        )

        swept = await sweep(store, clock, config)

        assert swept.deleted["events"] == 6
        left = [row[0] for row in rows(database, "SELECT id FROM events ORDER BY seq")]
        assert left == ["old-5", "old-7", "new-0", "new-1", "new-2", "new-3"]

    async def test_each_kind_goes_by_its_own_age(
        self, store: Store, clock: VirtualClock, config: AutomationConfig, database: Stored
    ) -> None:
        now = clock.now()
        for days in (89, 91):
            at = now - days * DAY
            name = f"d{days}"
            alert = Alert(name, "a", AlertState.RESOLVED, "high", "s", "x", starts_at=at, updated_at=at)
            firing = Alert(f"f{days}", "a", AlertState.FIRING, "high", "s", "x", starts_at=at, updated_at=at)
            cooling = Alert(
                f"c{days}", "a", AlertState.RESOLVED, "h", "s", "x", starts_at=at, updated_at=at, cooldown_until=now
            )
            await store.commit(
                [
                    Decision(at, "start", name, "cooldown", "later").op(),
                    Notification(name, "slack", "#ops", "text", "sent", 1, at).op(),
                    *(alerts.save(each) for each in (alert, firing, cooling)),
                    Token(name, "api", name, name, (), 0.0, expires_at=at).op(),
                    Token(f"r{days}", "session", name, f"r{days}", (), 0.0, revoked_at=at).op(),
                    Token(f"v{days}", "api", name, f"v{days}", (), at, expires_at=now + 1).op(),
                ]
            )

        swept = await sweep(store, clock, config)

        assert swept.deleted == {"decisions": 1, "notifications": 1, "alerts": 1, "tokens": 2}
        assert rows(database, "SELECT subject FROM decisions") == [("d89",)]
        assert rows(database, "SELECT id FROM notifications") == [("d89",)]
        kept = {row[0] for row in rows(database, "SELECT fingerprint FROM alerts")}
        assert kept == {"d89", "f89", "f91", "c89", "c91"}
        assert {row[0] for row in rows(database, "SELECT id FROM tokens")} == {"d89", "r89", "v89", "v91"}

    async def test_forever_is_for_ever(
        self, store: Store, clock: VirtualClock, config: AutomationConfig, database: Stored
    ) -> None:
        await store.commit([Decision(0.0, "start", "w", "cooldown", "later").op() for _ in range(5)])
        assert (await sweep(store, clock, config, decisions_days="forever")).deleted == {}
        assert (await sweep(store, clock, config)).deleted == {"decisions": 5}

    async def test_a_run_that_deletes_is_audited_once(
        self, store: Store, clock: VirtualClock, config: AutomationConfig
    ) -> None:
        await store.commit([Decision(0.0, "start", "w", "cooldown", "later").op() for _ in range(5)])
        await sweep(store, clock, config)
        await sweep(store, clock, config)
        [row] = (await records.audit_page(store)).items
        assert (row.kind, row.actor, row.act) == ("system_modification", "retention", "retention")
        assert row.detail == {"deleted": {"decisions": 5}}
        assert (await records.all_positions(store, "retention"))[""]["at"] == clock.now()


SET = {"name": "set", "action_type": "test.record", "parameters": {"values": {"n": "${n}"}}}
BIG = {"name": "big", "action_type": "test.record", "parameters": {"values": {"log": "${log}"}}}
EACH = {
    "name": "each",
    "action_type": "test.record",
    "for_each": {"items": "${list}"},
    "parameters": {"values": {"got": "${item}"}},
}
FAIL = {"name": "fail", "action_type": "test.fail"}
WAIT = {"name": "wait", "action_type": "flow.wait", "parameters": {"seconds": 600}}


async def made(config: AutomationConfig) -> dict[str, str]:
    """Executions of all sorts, by name; the one that waits is unfinished."""
    found = {}
    workflows = {"set": [SET], "big": [SET, BIG], "each": [EACH], "fail": [SET, FAIL], "wait": [WAIT]}
    async with AutomationEngine(config) as engine:
        for name, actions in workflows.items():
            await engine.register_workflow(WorkflowDefinition.model_validate({"name": name, "actions": actions}))
            variables = {"n": 7, "list": list(range(20))} | ({"log": "x" * 5000} if name == "big" else {})
            found[name] = await engine.start_workflow(name, ExecutionContext(variables), idempotency_key=name)
        await engine.drain()
    return found


async def shown(config: AutomationConfig, ids: dict[str, str]) -> dict[str, Any]:
    store = Store(config.database, config.store)
    await store.open()
    try:
        return {name: await executions.load(store, each) for name, each in ids.items()}
    finally:
        await store.close()


class TestExecutions:
    async def test_a_packed_journal_tells_what_it_told(self, config: AutomationConfig, database: Stored) -> None:
        ids = await made(config)
        before = await shown(config, ids)

        await after(8, config).compact()

        assert await shown(config, ids) == before
        assert rows(database, "SELECT DISTINCT execution_id FROM journal") == [(ids["wait"],)]
        assert rows(database, "SELECT count(*) FROM packed_journals") == [(4,)]
        assert (await Database(config).check()).problems == ()
        async with AutomationEngine(config) as engine:
            detail = await engine.queries.execution_detail(ids["fail"])
            assert detail.actions[0].outputs == {"n": 7}
            assert detail.actions[1].error is not None
            result = await engine.wait_for(ids["big"])
            assert result.outputs["big"] == {"log": "x" * 5000}

    async def test_packing_twice_changes_nothing(self, config: AutomationConfig, database: Stored) -> None:
        await made(config)
        await after(8, config).compact()
        before = rows(database, "SELECT * FROM packed_journals")
        assert (await after(8, config).compact()).deleted == {}
        assert rows(database, "SELECT * FROM packed_journals") == before

    async def test_one_that_is_taken_up_again_goes_on_after_what_is_packed(
        self, config: AutomationConfig, database: Stored, store: Store
    ) -> None:
        ids = await made(config)
        clock = VirtualClock(time.time() + 8 * DAY)
        await sweep(store, clock, config)
        told = await executions.entries(store, ids["fail"])
        body = json.dumps({"status": "failed"})
        more = f"INSERT INTO journal VALUES ('{ids['fail']}', {len(told) + 1}, 1.0, 'finished', NULL, '{body}')"
        database.run(more)

        again = await executions.entries(store, ids["fail"])
        assert [entry.seq for entry in again] == list(range(1, len(told) + 2))
        assert again[:-1] == told

        await sweep(store, clock, config)
        assert await executions.entries(store, ids["fail"]) == again
        assert rows(database, f"SELECT count(*) FROM journal WHERE execution_id = '{ids['fail']}'") == [(0,)]

    async def test_a_retry_goes_on_after_a_packed_journal(self, config: AutomationConfig) -> None:
        mend = {"name": "mend", "action_type": "test.mend"}
        workflow = WorkflowDefinition.model_validate({"name": "flaky", "actions": [SET, mend]})
        handlers.broken.add("mend")
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(workflow)
            failed = await engine.execute_workflow("flaky", ExecutionContext({"n": 7}))
        await after(8, config).compact()
        handlers.broken.clear()
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(workflow)
            await engine.executions.retry(failed.execution_id)
            result = await engine.wait_for(failed.execution_id)
            assert (failed.status.value, result.status.value) == ("failed", "succeeded")
            assert result.outputs["set"] == {"n": 7}
            before = (await engine.queries.execution_detail(failed.execution_id)).journal
        assert (await Database(config).check()).problems == ()
        await after(8, config).compact()
        assert (await Database(config).check()).problems == ()
        async with AutomationEngine(config) as engine:
            assert (await engine.queries.execution_detail(failed.execution_id)).journal == before

    async def test_old_ones_go_with_all_that_is_theirs(self, config: AutomationConfig, database: Stored) -> None:
        ids = await made(config)
        definitions = rows(database, "SELECT id FROM definitions")

        done = await after(91, config).compact()

        assert done.deleted["executions"] == 4
        assert done.deleted["large_values"] == 1
        assert rows(database, "SELECT id FROM executions") == [(ids["wait"],)]
        for table in retention.OF_EXECUTIONS:
            left = {row[0] for row in rows(database, f"SELECT DISTINCT execution_id FROM {table.name}")}
            assert left <= {ids["wait"]}, table.name
        assert rows(database, "SELECT id FROM definitions") == definitions
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(WorkflowDefinition.model_validate({"name": "set", "actions": [SET]}))
            await engine.cancel(ids["wait"])
            # The key of what is gone may be used again, that of what is not may not.
            assert await engine.start_workflow("set", ExecutionContext({"n": 1}), idempotency_key="set") != ids["set"]
            await engine.drain()

    async def test_unfinished_ones_stay_however_old_they_are(self, config: AutomationConfig, database: Stored) -> None:
        ids = await made(config)
        await after(5000, config).compact()
        async with AutomationEngine(config) as engine:
            await engine.cancel(ids["wait"])
            assert (await engine.wait_for(ids["wait"])).status.value == "cancelled"

    async def test_what_an_unfinished_one_has_started_stays_with_it(
        self, config: AutomationConfig, database: Stored
    ) -> None:
        def starts(name: str, of: str, *further: dict[str, Any], **more: Any) -> WorkflowDefinition:
            sub = {"name": "sub", "action_type": "flow.workflow", "parameters": {"workflow": of}}
            return WorkflowDefinition.model_validate({"name": name, "actions": [sub, *further], **more})

        ask = {"name": "ask", "action_type": "test.critical"}
        leaf = {"name": "leaf", "actions": [{"name": "made", "action_type": "test.record"}]}
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(WorkflowDefinition.model_validate(leaf))
            await engine.register_workflow(starts("middle", "leaf"))
            await engine.register_workflow(starts("top", "middle", ask, rollback_strategy={}))
            top = await engine.start_workflow("top")
            await until_asked(engine, top)
        await after(100, config).compact()

        async with AutomationEngine(config) as engine:
            await engine.decide(top, "ask", False)
            result = await engine.wait_for(top)

        assert result.status.value == "rolled_back"
        assert ("made.undo", {}) in handlers.calls
        for _ in range(3):
            await after(200, config).compact()
        assert rows(database, "SELECT id FROM executions") == []

    async def test_a_value_stays_while_any_execution_names_it(self, config: AutomationConfig, database: Stored) -> None:
        ids = await made(config)
        database.run("UPDATE large_values SET used_at = 0")
        database.run("INSERT INTO large_values SELECT 'nobody', size, 0, 0, coding, body FROM large_values")
        await Database(config).compact()
        [(digest, coding)] = rows(database, "SELECT sha256, coding FROM large_values")
        assert (digest != "nobody", coding) == (True, "zlib")
        assert (await shown(config, ids))["big"].entries[0].body["variables"]["log"] == "x" * 5000
        assert (await Database(config).check()).problems == ()

    async def test_a_broken_journal_is_not_packed(self, config: AutomationConfig, database: Stored) -> None:
        ids = await made(config)
        database.run(f"DELETE FROM journal WHERE execution_id = '{ids['set']}' AND seq = 2")
        database.run(f"UPDATE journal SET body = '{{' WHERE execution_id = '{ids['big']}' AND seq = 2")
        await after(8, config).compact()
        packed = {row[0] for row in rows(database, "SELECT execution_id FROM packed_journals")}
        assert packed == {ids["each"], ids["fail"]}


class TestAudit:
    async def fill(self, store: Store, times: list[float]) -> None:
        for at in times:
            await store.commit([], [Fact(at, "access_attempt", "ann", "act", "s")])

    @pytest.mark.parametrize("kinds", [None, ("access_attempt",)], ids=["all audited", "this kind is not audited"])
    async def test_the_chain_verifies_without_its_old_rows(
        self, config: AutomationConfig, clock: VirtualClock, kinds: Any, database: Stored
    ) -> None:
        audit = config.audit if kinds is None else config.audit.model_copy(update={"events_to_audit": kinds})
        store = Store(config.database, config.store, audit)
        await store.open()
        old = clock.now() - 2556 * DAY
        await self.fill(store, [old + n for n in range(10)] + [clock.now() - n for n in range(5)])

        swept = await sweep(store, clock, config)

        assert swept.deleted["audit"] == 10
        assert await records.verify_audit(store) == (6, [])
        newest = (await records.audit_page(store)).items[0]
        assert newest.detail["audit"]["main"][0] == 10
        await clock.advance(2556 * DAY)
        await self.fill(store, [clock.now()])
        assert (await sweep(store, clock, config)).deleted["audit"] == 6
        assert await records.verify_audit(store) == (2, [])
        await store.close()

    async def test_broken_off_it_verifies_and_goes_on(
        self, store: Store, config: AutomationConfig, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = clock.now() - 2556 * DAY
        await self.fill(store, [old + n for n in range(10)] + [clock.now()])
        written = store.commit

        async def commit(ops: Any, facts: Any = ()) -> None:
            await written(ops, facts)
            if ops and ops[0][0] is retention.AUDIT_DELETE:
                raise StoreUnavailable("the power is gone")

        monkeypatch.setattr(store, "commit", commit)
        with pytest.raises(StoreUnavailable):
            await sweep(store, clock, config)
        assert (await records.verify_audit(store)) == (9, [])
        monkeypatch.undo()

        await sweep(store, clock, config)
        assert (await records.verify_audit(store)) == (3, [])

    @pytest.mark.parametrize("damage", ["seq = 11", "act = 'retention'"])
    async def test_what_goes_without_a_word_is_found(
        self, store: Store, config: AutomationConfig, clock: VirtualClock, database: Stored, damage: str
    ) -> None:
        old = clock.now() - 2556 * DAY
        await self.fill(store, [old + n for n in range(10)] + [clock.now(), clock.now()])
        await sweep(store, clock, config)
        database.run(f"DELETE FROM audit WHERE {damage}")
        assert (await records.verify_audit(store))[1] != []

    async def test_a_row_that_says_more_went_is_found(
        self, store: Store, config: AutomationConfig, clock: VirtualClock, database: Stored
    ) -> None:
        old = clock.now() - 2556 * DAY
        await self.fill(store, [old + n for n in range(10)] + [clock.now(), clock.now()])
        await sweep(store, clock, config)
        [(digest,)] = rows(database, "SELECT hash FROM audit WHERE seq = 11")
        database.run("DELETE FROM audit WHERE seq = 11")
        detail = json.dumps({"deleted": {}, "audit": {"main": [11, digest]}})
        database.run(f"UPDATE audit SET detail = '{detail}' WHERE act = 'retention'")
        [problem] = (await records.verify_audit(store))[1]
        assert "was changed" in problem.message

    async def test_the_last_row_always_stays(self, store: Store, config: AutomationConfig, clock: VirtualClock) -> None:
        await self.fill(store, [0.0])
        assert (await sweep(store, clock, config)).deleted == {}
