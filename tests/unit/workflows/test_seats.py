"""Concurrency keys: how many executions of a workflow run at the same time, and what becomes of one too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from automation import (
    AutomationConfig,
    AutomationEngine,
    DefinitionError,
    Event,
    ExecutionContext,
    InputError,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import Conflict, DuplicateKey, StoreUnavailable
from automation.store import seats
from automation.store.statement import Unexpected
from tests.support import handlers


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.broken.clear()
    handlers.gates.clear()


def workflow(*actions: dict[str, Any], name: str = "w", **further: Any) -> WorkflowDefinition:
    """By default one action that is under way until its gate is opened."""
    chosen = actions or ({"name": "hold", "action_type": "test.gate", "parameters": {"value": "${who}"}},)
    return WorkflowDefinition.model_validate({"name": name, "actions": chosen, **further})


def keyed(on_conflict: str = "queue", limit: int = 1, **further: Any) -> WorkflowDefinition:
    return workflow(concurrency={"key": "${host}", "limit": limit, "on_conflict": on_conflict}, **further)


async def start(engine: AutomationEngine, who: str, host: str = "a1", **further: Any) -> str:
    return await engine.start_workflow("w", ExecutionContext(variables={"who": who, "host": host}), **further)


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


def begun() -> list[Any]:
    return [value for _, value in handlers.calls]


async def has(engine: AutomationEngine, execution: str, status: WorkflowStatus) -> None:
    async def there() -> bool:
        return await engine.get_workflow_status(execution) is status

    await until(there)


class TestQueue:
    async def test_one_waits_for_the_other_in_the_order_in_which_they_came(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed())
        first = await start(engine, "first")
        await until(lambda: begun() == ["first"])
        second, third = await start(engine, "second"), await start(engine, "third")
        other = await start(engine, "other", host="b2")
        await until(lambda: begun() == ["first", "other"])

        assert await engine.get_workflow_status(second) is WorkflowStatus.PENDING
        row = await engine.queries.execution(second)
        assert (row.concurrency_key, row.started_at) == ("a1", None)
        for who in ("first", "second", "third"):
            handlers.open_gate(who)
            await has(engine, {"first": first, "second": second, "third": third}[who], WorkflowStatus.SUCCEEDED)
        handlers.open_gate("other")
        await engine.drain()

        assert begun() == ["first", "other", "second", "third"]
        assert await engine.get_workflow_status(other) is WorkflowStatus.SUCCEEDED
        kinds = [entry.kind for entry in (await engine.executions.show(second)).journal]
        assert kinds[:2] == ["started", "admitted"]
        row = await engine.queries.execution(second)
        assert row.started_at is not None
        assert row.started_at > row.created_at

    async def test_so_many_run_at_a_time_as_the_limit_says(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed(limit=2))
        for who in "abcd":
            await start(engine, who)
        await until(lambda: sorted(begun()) == ["a", "b"])
        await asyncio.sleep(0.1)
        assert sorted(begun()) == ["a", "b"]
        handlers.open_gate("b")
        await until(lambda: begun()[2:] == ["c"])
        for who in "acd":
            handlers.open_gate(who)
        await engine.drain()
        assert sorted(begun()) == ["a", "b", "c", "d"]

    async def test_a_crowd_that_comes_at_once_is_let_in_one_by_one_and_not_in_its_own_way(
        self, engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks, refused = 0, 0
        look, commit = seats.next_of, engine.store.commit

        async def counted_look(*claim: Any) -> Any:
            nonlocal looks
            looks += 1
            return await look(*claim)

        async def counted_commit(*given: Any) -> None:
            nonlocal refused
            try:
                await commit(*given)
            except Unexpected:
                refused += 1
                raise

        monkeypatch.setattr(seats, "next_of", counted_look)
        monkeypatch.setattr(engine.store, "commit", counted_commit)
        await engine.register_workflow(keyed())
        crowd = [str(number) for number in range(50)]
        for who in crowd:
            handlers.open_gate(who)
        await asyncio.gather(*(start(engine, who) for who in crowd))
        await engine.drain()
        assert sorted(begun()) == sorted(crowd)
        assert refused == 0
        assert looks < 5 * len(crowd)

    async def test_without_a_key_it_is_for_the_whole_workflow(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(workflow(concurrency={}))
        await start(engine, "first", host="a1")
        await start(engine, "second", host="b2")
        await until(lambda: begun() == ["first"])
        handlers.open_gate("first")
        await until(lambda: begun() == ["first", "second"])
        handlers.open_gate("second")
        await engine.drain()
        assert begun() == ["first", "second"]

    async def test_an_execution_that_waits_or_is_paused_holds_its_seat(self, engine: AutomationEngine) -> None:
        asks = {"name": "ask", "action_type": "test.critical"}
        await engine.register_workflow(workflow(asks, concurrency={}))
        first = await engine.start_workflow("w")
        await has(engine, first, WorkflowStatus.WAITING)
        second = await engine.start_workflow("w")
        await engine.drain()
        assert await engine.get_workflow_status(second) is WorkflowStatus.PENDING

        await engine.cancel(first)
        await has(engine, second, WorkflowStatus.WAITING)

    async def test_one_that_waits_for_its_turn_can_be_paused_resumed_and_cancelled(
        self, engine: AutomationEngine
    ) -> None:
        tidy = {"name": "tidy", "action_type": "test.record", "parameters": {"value": "tidy"}, "always": True}
        hold = {"name": "hold", "action_type": "test.gate", "parameters": {"value": "${who}"}}
        await engine.register_workflow(workflow(hold, tidy, concurrency={}))
        await start(engine, "first")
        await until(lambda: begun() == ["first"])
        second, third = await start(engine, "second"), await start(engine, "third")

        await engine.executions.pause(second)
        await has(engine, second, WorkflowStatus.PAUSED)
        await engine.cancel(third, "not any more")
        result = await engine.wait_for(third)
        assert (result.status, result.error) == (WorkflowStatus.CANCELLED, "not any more")
        # It has never begun: there is nothing to clean up after.
        assert {action.status.value for action in result.actions} == {"skipped"}

        handlers.open_gate("first")
        await until(lambda: "tidy" in begun())
        await engine.drain()
        assert "second" not in begun()
        await engine.executions.resume(second)
        await until(lambda: "second" in begun())
        handlers.open_gate("second")
        await has(engine, second, WorkflowStatus.SUCCEEDED)

    async def test_the_queue_survives_a_restart(self, config: AutomationConfig) -> None:
        async with AutomationEngine(config) as first:
            await first.register_workflow(keyed())
            ids = [await start(first, who) for who in "abc"]
            await until(lambda: begun() == ["a"])
            handlers.open_gate("a")
            await until(lambda: begun() == ["a", "b"])
            for who in "bc":
                handlers.open_gate(who)
            await has(first, ids[1], WorkflowStatus.SUCCEEDED)
        async with AutomationEngine(config) as second:
            for execution in ids:
                await has(second, execution, WorkflowStatus.SUCCEEDED)
        assert begun() == ["a", "b", "c"]

    async def test_a_time_limit_counts_from_its_turn(self, config: AutomationConfig) -> None:
        slow = {"name": "slow", "action_type": "test.pause", "parameters": {"seconds": 100}}
        clock = VirtualClock()
        async with AutomationEngine(config, clock=clock) as engine:
            await engine.register_workflow(workflow(slow, concurrency={}, timeout_seconds=150))
            first, second = await engine.start_workflow("w"), await engine.start_workflow("w")
            await until(lambda: begun() == ["begin"])
            await clock.advance(100)
            await has(engine, first, WorkflowStatus.SUCCEEDED)
            await until(lambda: begun() == ["begin", "begin"])
            await clock.advance(100)
            async with asyncio.timeout(30):
                assert (await engine.wait_for(second)).status is WorkflowStatus.SUCCEEDED

    async def test_two_engines_share_the_seats(self, config: AutomationConfig) -> None:
        async with AutomationEngine(config) as one, AutomationEngine(config) as other:
            for each in (one, other):
                await each.register_workflow(keyed())
            ids = [await start((one, other)[number % 2], str(number)) for number in range(6)]
            for number, execution in enumerate(ids):
                await until(lambda number=number: begun() == [str(each) for each in range(number + 1)])  # type: ignore[misc]
                handlers.open_gate(str(number))
                await has(one, execution, WorkflowStatus.SUCCEEDED)
            assert begun() == [str(number) for number in range(6)]

    async def test_who_comes_by_events_waits_for_a_seat_that_another_node_has_taken(
        self, config: AutomationConfig
    ) -> None:
        hold = {"name": "hold", "action_type": "test.gate", "parameters": {"value": "${event.id}"}}
        definition = workflow(
            hold, concurrency={"key": "${event.subject}"}, triggers=[{"type": "event", "event": "down"}]
        )
        async with AutomationEngine(config) as one, AutomationEngine(config) as other:
            for each in (one, other):
                await each.register_workflow(definition)
            await one.publish(Event(type="down", subject="a1", id="first"))
            await until(lambda: begun() == ["first"])

            events = [Event(type="down", subject=host, id=f"{host}-{turn}") for turn in "xy" for host in ("a1", "b2")]
            receipts = await other.publish_many(events)

            await until(lambda: begun() == ["first", "b2-x"])
            ids = {event.id: receipt.executions[0] for event, receipt in zip(events, receipts, strict=True)}
            for waits in ("a1-x", "a1-y", "b2-y"):
                assert await other.get_workflow_status(ids[waits]) is WorkflowStatus.PENDING
            for who in ("first", "b2-x", "a1-x", "b2-y", "a1-y"):
                handlers.open_gate(who)
            for execution in ids.values():
                await has(other, execution, WorkflowStatus.SUCCEEDED)
            assert begun().index("a1-x") < begun().index("a1-y")

    async def test_who_is_alone_takes_a_seat_with_its_start(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed())
        handlers.open_gate("first")
        for _ in range(2):
            execution = await start(engine, "first")
            await has(engine, execution, WorkflowStatus.SUCCEEDED)
            assert "admitted" not in [entry.kind for entry in (await engine.executions.show(execution)).journal]
            await until(lambda: not engine._seats.busy)

    async def test_a_retry_waits_for_its_turn_too(self, engine: AutomationEngine) -> None:
        handlers.broken.add("hold")
        mend = {"name": "hold", "action_type": "test.mend"}
        gate = {"name": "gate", "action_type": "test.gate", "parameters": {"value": "${who}"}}
        await engine.register_workflow(workflow(mend, gate, concurrency={}))
        failed = await start(engine, "failed")
        await has(engine, failed, WorkflowStatus.FAILED)
        handlers.broken.clear()
        await start(engine, "busy")
        await until(lambda: "busy" in begun())

        await engine.executions.retry(failed)
        assert await engine.get_workflow_status(failed) is WorkflowStatus.PENDING
        handlers.open_gate("busy")
        await until(lambda: "failed" in begun())
        handlers.open_gate("failed")
        await has(engine, failed, WorkflowStatus.SUCCEEDED)


class TestSkip:
    async def test_a_start_by_hand_is_refused_and_says_what_is_under_way(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed("skip"))
        first = await start(engine, "first")
        await until(lambda: begun() == ["first"])

        with pytest.raises(Conflict, match=f"execution {first} is under way with the concurrency key 'a1'"):
            await start(engine, "second")
        await start(engine, "other", host="b2")
        assert len((await engine.queries.executions()).items) == 2
        handlers.open_gate("first")
        await has(engine, first, WorkflowStatus.SUCCEEDED)
        third = await start(engine, "third")
        for who in ("other", "third"):
            handlers.open_gate(who)
        await has(engine, third, WorkflowStatus.SUCCEEDED)

    async def test_an_event_that_starts_nothing_is_decided_with_the_reason(self, engine: AutomationEngine) -> None:
        concurrency = {"key": "${event.subject}", "on_conflict": "skip"}
        hold = {"name": "hold", "action_type": "test.gate", "parameters": {"value": "${event.id}"}}
        await engine.register_workflow(
            workflow(hold, concurrency=concurrency, triggers=[{"type": "event", "event": "down"}])
        )
        await engine.register_workflow(
            workflow(
                {"name": "note", "action_type": "test.read"}, name="note", triggers=[{"type": "event", "event": "down"}]
            )
        )
        first = await engine.publish(Event(type="down", subject="a1", id="one"))
        await until(lambda: "one" in begun())

        second = await engine.publish(Event(type="down", subject="a1", id="two"))
        other = await engine.publish(Event(type="down", subject="b2", id="three"))

        assert len(first.executions) == len(other.executions) == 2
        assert len(second.executions) == 1
        (running,) = [
            execution for execution in first.executions if (await engine.queries.execution(execution)).workflow == "w"
        ]
        reason = f"execution {running} is under way with the concurrency key 'a1', and the limit is 1"
        assert second.skipped == (f"w: {reason}",)
        (decision,) = (await engine.queries.event("two")).decisions
        assert (decision.subject, decision.outcome, decision.reason) == ("w", "concurrency", reason)
        for who in ("one", "three"):
            handlers.open_gate(who)
        await engine.drain()

    async def test_of_many_at_the_same_moment_one_starts(self, config: AutomationConfig) -> None:
        async with AutomationEngine(config) as one, AutomationEngine(config) as other:
            for each in (one, other):
                await each.register_workflow(keyed("skip", limit=2))
            answers = await asyncio.gather(
                *(start((one, other)[number % 2], str(number)) for number in range(10)), return_exceptions=True
            )
            assert [type(answer).__name__ for answer in answers].count("Conflict") == 8
            await until(lambda: len(begun()) == 2)
            for number in range(10):
                handlers.open_gate(str(number))
            await one.drain()
            await other.drain()

    async def test_a_repeated_start_with_its_key_gives_the_same_execution(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed("skip"))
        first = await start(engine, "first", idempotency_key="k")
        assert await start(engine, "first", idempotency_key="k") == first
        with pytest.raises(DuplicateKey):
            await start(engine, "second", idempotency_key="k")
        handlers.open_gate("first")
        await engine.drain()

    async def test_a_retry_is_refused_while_another_is_under_way(self, engine: AutomationEngine) -> None:
        handlers.broken.add("hold")
        mend = {"name": "hold", "action_type": "test.mend"}
        gate = {"name": "gate", "action_type": "test.gate", "parameters": {"value": "${who}"}}
        await engine.register_workflow(workflow(mend, gate, concurrency={"on_conflict": "skip"}))
        failed = await start(engine, "failed")
        await has(engine, failed, WorkflowStatus.FAILED)
        handlers.broken.clear()
        busy = await start(engine, "busy")
        await until(lambda: "busy" in begun())

        with pytest.raises(Conflict, match=f"cannot be retried: execution {busy} is under way"):
            await engine.executions.retry(failed)
        handlers.open_gate("busy")
        await has(engine, busy, WorkflowStatus.SUCCEEDED)
        await engine.executions.retry(failed)
        handlers.open_gate("failed")
        await has(engine, failed, WorkflowStatus.SUCCEEDED)


class TestReplace:
    async def test_the_one_that_runs_is_cancelled_and_cleans_up_before_the_new_one_begins(
        self, engine: AutomationEngine
    ) -> None:
        undone = {"name": "a", "action_type": "test.record", "parameters": {"value": "${who}"}}
        hold = {"name": "hold", "action_type": "test.gate", "parameters": {"value": "${who} holds"}}
        await engine.register_workflow(
            workflow(undone, hold, concurrency={"on_conflict": "replace"}, rollback_strategy={})
        )
        first = await start(engine, "first")
        await until(lambda: "first holds" in begun())

        second = await start(engine, "second")
        await until(lambda: "second holds" in begun())

        assert await engine.get_workflow_status(first) is WorkflowStatus.ROLLED_BACK
        assert (await engine.wait_for(first)).error == f"replaced by {second}"
        order = [(name, value) for name, value in handlers.calls if name != "hold"]
        assert order == [("a", "first"), ("a.undo", {}), ("a", "second")]
        handlers.open_gate("second holds")
        await has(engine, second, WorkflowStatus.SUCCEEDED)

    async def test_the_newest_are_kept(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed("replace", limit=2))
        ids = []
        for who in "abc":
            ids.append(await start(engine, who))
            await until(lambda who=who: who in begun())  # type: ignore[misc]

        assert await engine.get_workflow_status(ids[0]) is WorkflowStatus.CANCELLED
        for execution in ids[1:]:
            assert await engine.get_workflow_status(execution) is WorkflowStatus.RUNNING
        for who in "bc":
            handlers.open_gate(who)
        await engine.drain()

    async def test_one_that_waits_is_replaced_without_having_begun(self, engine: AutomationEngine) -> None:
        stubborn = {"name": "hold", "action_type": "test.pause", "parameters": {"seconds": 2, "stubborn": True}}
        await engine.register_workflow(workflow(stubborn, concurrency={"on_conflict": "replace"}))
        first = await engine.start_workflow("w")
        await until(lambda: begun() == ["begin"])
        second, third = await engine.start_workflow("w"), await engine.start_workflow("w")

        assert (await engine.wait_for(second)).error == f"replaced by {third}"
        result = await engine.wait_for(third)
        assert result.status is WorkflowStatus.SUCCEEDED
        assert (await engine.wait_for(first)).status is WorkflowStatus.CANCELLED
        assert begun() == ["begin", "begin"]


class TestDefinition:
    @pytest.mark.parametrize(
        ("key", "inputs", "message"),
        [
            ("${secret:TOKEN}", None, "must not have a secret in it"),
            ("${actions.a.x}", None, "no action has run when it is made"),
            ("${hots}", {"host": {}}, "'hots' is not a declared input"),
            ("${1 +}", None, "column"),
        ],
    )
    async def test_a_wrong_key_is_refused(
        self, engine: AutomationEngine, key: str, inputs: dict[str, Any] | None, message: str
    ) -> None:
        action = {"name": "a", "action_type": "test.read"}
        with pytest.raises(DefinitionError) as caught:
            await engine.register_workflow(workflow(action, concurrency={"key": key}, inputs=inputs))
        (problem,) = caught.value.problems
        assert problem.path == "concurrency.key"
        assert message in problem.message

    async def test_a_key_that_cannot_be_made_refuses_the_start(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(keyed())
        with pytest.raises(InputError, match=r"concurrency\.key: .*host"):
            await engine.start_workflow("w", ExecutionContext(variables={"who": "x"}))
        assert (await engine.queries.executions()).items == ()

    async def test_a_key_may_be_any_value(self, engine: AutomationEngine) -> None:
        await engine.register_workflow(
            workflow({"name": "a", "action_type": "test.read"}, concurrency={"key": "${host}"})
        )
        result = await engine.execute_workflow("w", ExecutionContext(variables={"host": [1, "x"]}))
        assert (await engine.queries.execution(result.execution_id)).concurrency_key == '[1,"x"]'


@pytest.fixture
async def idle(config: AutomationConfig) -> AsyncIterator[AutomationEngine]:
    async with AutomationEngine(config) as engine:
        yield engine


async def test_what_a_dead_process_left_waiting_is_let_in(idle: AutomationEngine) -> None:
    """As if it had died between the end of one and the beginning of the next."""
    await idle.register_workflow(keyed())
    # The round of the start is over: none is under way that would find who waits.
    await idle.drain()
    idle._runner.look_for_seat = lambda claim: None
    rounds = idle._recovery.rounds.copy()
    idle._recovery.rounds.clear()
    first, second = await start(idle, "first"), await start(idle, "second")
    # Whoever comes is looked after, too: only when that is done does nobody look any more.
    await until(lambda: begun() == ["first"] and not idle._seats.busy)
    handlers.open_gate("first")
    await has(idle, first, WorkflowStatus.SUCCEEDED)
    assert await idle.get_workflow_status(second) is WorkflowStatus.PENDING

    for look_after in rounds:
        await look_after()
    handlers.open_gate("second")
    await has(idle, second, WorkflowStatus.SUCCEEDED)


@pytest.mark.parametrize("failing", ["next_of", "commit"])
async def test_who_waits_is_let_in_though_the_database_fails_in_that_moment(
    idle: AutomationEngine, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """At once, and not with the next round of some node."""
    await idle.register_workflow(keyed())
    await idle.drain()
    idle._recovery.rounds.clear()
    await start(idle, "first")
    second = await start(idle, "second")
    await until(lambda: begun() == ["first"] and not idle._seats.busy)
    place: Any = idle.store if failing == "commit" else seats
    whole, failures = getattr(place, failing), 1

    async def fails(*given: Any) -> Any:
        nonlocal failures
        taking = failing != "commit" or any(statement.name == "seat_take" for statement, _ in given[0])
        if taking and failures:
            failures -= 1
            raise StoreUnavailable("the disk is full")
        return await whole(*given)

    monkeypatch.setattr(place, failing, fails)
    handlers.open_gate("first")
    handlers.open_gate("second")

    await has(idle, second, WorkflowStatus.SUCCEEDED)
    assert failures == 0


async def test_who_was_let_in_has_its_large_values(config: AutomationConfig) -> None:
    large = {"inline_bytes": 1024}
    config = AutomationConfig(database_url=config.database_url, data_dir=config.data_dir, store=large)
    async with AutomationEngine(config) as engine:
        tell = {"name": "tell", "action_type": "test.record", "parameters": {"values": {"text": "${text}"}}}
        gate = {"name": "hold", "action_type": "test.gate", "parameters": {"value": "${who}"}}
        await engine.register_workflow(workflow(gate, tell, concurrency={"key": "k"}))
        variables = {"who": "first", "text": "x" * 5000}
        await engine.start_workflow("w", ExecutionContext(variables=variables))
        second = await engine.start_workflow("w", ExecutionContext(variables=variables | {"who": "second"}))
        handlers.open_gate("first")
        handlers.open_gate("second")

        result = await engine.wait_for(second)

        assert result.outputs["tell"] == {"text": "x" * 5000}


@pytest.mark.parametrize("on_conflict", ["queue", "skip"])
async def test_what_was_proposed_waits_for_its_seat_once_it_is_approved(
    config: AutomationConfig, on_conflict: str
) -> None:
    manual = AutomationConfig(database_url=config.database_url, data_dir=config.data_dir, level="manual")
    async with AutomationEngine(manual) as engine:
        await engine.register_workflow(keyed(on_conflict, triggers=[{"type": "event", "event": "x"}]))
        proposed = []
        for who in ("first", "second"):
            receipt = await engine.publish(Event(type="x", data={"who": who, "host": "a1"}))
            proposed += receipt.executions
        first, second = proposed
        await engine.decide(first, None, True)
        await until(lambda: begun() == ["first"])
        await engine.decide(second, None, True)
        await has(engine, second, WorkflowStatus.PENDING)
        assert begun() == ["first"]

        handlers.open_gate("first")
        handlers.open_gate("second")

        await has(engine, second, WorkflowStatus.SUCCEEDED)
        assert begun() == ["first", "second"]


async def test_one_that_is_let_in_while_it_is_about_to_be_taken_up_runs_once(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.register_workflow(keyed())
    first = await start(engine, "first")
    await until(lambda: begun() == ["first"])
    second = await start(engine, "second")
    claim = engine._recovery._claim

    async def late(wanted: Any) -> list[str]:
        handlers.gates["first"].set()
        await until(lambda: begun() == ["first", "second"])
        return await claim(wanted)

    monkeypatch.setattr(engine._recovery, "_claim", late)
    # Who asks tells it, not the next look at what was asked.
    monkeypatch.setattr(engine._recovery, "poke", lambda: None)
    await engine.executions.pause(second)
    monkeypatch.undo()
    await engine.wait_for(first)
    handlers.gates["second"].set()
    await has(engine, second, WorkflowStatus.PAUSED)
    await engine.executions.resume(second)

    assert (await engine.wait_for(second)).status is WorkflowStatus.SUCCEEDED
    assert begun() == ["first", "second"]
