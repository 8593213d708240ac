"""The supervisor with scripted sources and virtual time; and the `file` source on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from automation.clock import VirtualClock
from automation.errors import DefinitionError, InputError, NotFound, StoreError, StoreUnavailable
from automation.model.event import Event, EventReceipt
from automation.model.schedule import SourceDefinition
from automation.plugins import registry, source
from automation.sources.figures import show_sources
from automation.sources.source import Delivery, Rejected, SourceContext
from automation.sources.supervisor import MOST_AT_ONCE, SourceSupervisor
from automation.store import events, records
from automation.store.statement import Op
from automation.store.statements import DECISION, POSITION
from automation.store.store import Store
from automation.telemetry.metrics import Metrics


class Settings(BaseModel):
    script: str = ""


class World:
    """Where everything goes, and what may go wrong there."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.published: list[Event] = []
        self.together: list[int] = []
        """How many events were published in each list."""
        self.positions: dict[str, Any] = {}
        self.dead_letters: list[str] = []
        self.trouble: Callable[[Sequence[Event]], None] = lambda events: None
        self.scripts: dict[str, Callable[[SourceContext], AsyncIterator[Any]]] = {}
        self.supervisor = SourceSupervisor(self.clock, self, self.stored, self.commit)

    async def publish(self, event: Event, *, also: Sequence[Op] = ()) -> EventReceipt:
        await asyncio.sleep(0)
        self.trouble([event])
        if event.id in {known.id for known in self.published}:
            return EventReceipt(event_id=event.id, duplicate=True)
        self.published.append(event)
        self.keep(also)
        return EventReceipt(event_id=event.id)

    async def publish_many(self, events: Sequence[Event], /) -> Sequence[EventReceipt]:
        await asyncio.sleep(0)
        self.trouble(events)
        self.together.append(len(events))
        return [await World.publish(self, event) for event in events]

    async def stored(self, prefix: str) -> Mapping[str, Any]:
        return {name.removeprefix(prefix): body for name, body in self.positions.items() if name.startswith(prefix)}

    async def commit(self, ops: Sequence[Op]) -> None:
        self.trouble(())
        self.keep(ops)

    def keep(self, ops: Sequence[Op]) -> None:
        for statement, values in ops:
            row = dict(zip(statement.keys, values, strict=True))
            if statement is POSITION:
                self.positions[row["name"]] = json.loads(row["body"])
            elif statement is DECISION:
                assert (row["kind"], row["outcome"]) == ("source", "dead_letter")
                self.dead_letters.append(row["reason"])

    async def add(
        self, name: str, script: Callable[[SourceContext], AsyncIterator[Any]], kind: str = "scripted"
    ) -> None:
        self.scripts[name] = script
        await self.supervisor.add(SourceDefinition(name=name, type=kind, settings={"script": name}))

    async def until(self, condition: Callable[[], object], seconds: float = 0.0) -> None:
        """Let everybody run until it is so; the clock moves by `seconds` each time."""
        for _ in range(3000):
            if condition():
                return
            await self.clock.advance(seconds)
            await asyncio.sleep(0 if seconds == 0 else 0.0005)
        raise AssertionError("it never came to be so")

    def status(self, name: str) -> str:
        return self.supervisor.states[name].status


@pytest.fixture
def world() -> Iterator[World]:
    world = World()

    @source("scripted")
    async def scripted(settings: Settings, context: SourceContext) -> AsyncIterator[Any]:
        async with aclosing(world.scripts[settings.script](context)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    @source("bare")
    async def bare(settings: Settings) -> AsyncIterator[Event]:
        async for item in world.scripts[settings.script](SourceContext()):
            yield item

    yield world
    for name in ("scripted", "bare"):
        registry._plugins["source"].pop(name)


def event(number: int, **data: Any) -> Event:
    return Event(type="tick", source="test", id=str(number), data=data)


async def forever(context: SourceContext) -> None:
    while True:
        await context.clock.sleep(1.0)


async def test_events_and_position_are_stored_together_and_a_restart_goes_on_there(world: World) -> None:
    async def counting(context: SourceContext) -> AsyncIterator[Any]:
        for number in range(context.position or 0, 100):
            yield Delivery((event(number),), number + 1)
            await context.clock.sleep(1.0)

    await world.add("count", counting)
    assert world.status("count") == "stopped"
    await world.supervisor.start()
    await world.until(lambda: len(world.published) == 3, 1.0)
    await world.supervisor.stop()
    assert world.status("count") == "stopped"
    assert world.positions == {"source.count": 3}

    world.supervisor = SourceSupervisor(world.clock, world, world.stored, world.commit)
    await world.supervisor.start()
    await world.add("count", counting)
    await world.until(lambda: len(world.published) == 5, 1.0)
    await world.supervisor.stop()
    assert [event.id for event in world.published] == ["0", "1", "2", "3", "4"]


async def test_bare_events_need_no_position(world: World) -> None:
    async def two(context: SourceContext) -> AsyncIterator[Any]:
        yield event(1)
        yield event(2)

    await world.add("two", two, "bare")
    await world.supervisor.start()
    await world.until(lambda: world.status("two") == "stopped")
    state = world.supervisor.states["two"]
    assert (state.events, state.last_event_at, state.restarts) == (2, world.clock.now(), 0)
    assert world.positions == {}


async def test_one_that_dies_is_restarted_ever_later_and_touches_no_other(world: World) -> None:
    starts: list[float] = []

    async def dying(context: SourceContext) -> AsyncIterator[Any]:
        starts.append(context.clock.now())
        if len(starts) == 9:
            await context.clock.sleep(60.0)
        yield event(len(starts))
        raise RuntimeError("out of luck")

    async def healthy(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((), "here")
        await forever(context)

    await world.add("dying", dying)
    await world.add("healthy", healthy)
    await world.supervisor.start()
    await world.until(lambda: world.status("dying") == "failed")
    state = world.supervisor.states["dying"]
    assert (state.last_error, state.restarts, state.events) == ("RuntimeError: out of luck", 0, 1)
    await world.until(lambda: len(starts) == 10, 1.0)
    # 60 s without a fault, and the pauses begin anew: its ninth run lasted that long.
    assert [round(after - before) for before, after in pairwise(starts)] == [
        1, 2, 4, 8, 16, 32, 60, 60, 60 + 1,
    ]  # fmt: skip
    assert world.supervisor.states["dying"].restarts == 9
    assert world.supervisor.states["healthy"].restarts == 0
    assert world.status("healthy") == "running"
    await world.supervisor.stop()


async def test_one_that_connects_is_starting_until_it_listens(world: World) -> None:
    there = False
    told: list[str] = []

    async def connecting(context: SourceContext) -> AsyncIterator[Any]:
        await context.clock.sleep(10)
        if not there:
            raise ConnectionError("no answer")
        context.listening()
        await forever(context)
        yield event(1)

    world.supervisor.tell = lambda state: told.append(state.status)
    await world.add("connecting", connecting)
    await world.supervisor.start()
    await world.until(lambda: world.supervisor.states["connecting"].restarts == 2, 1.0)
    assert told == ["starting", "failed"] * 2 + ["starting"]
    there = True
    await world.until(lambda: world.status("connecting") == "running", 1.0)
    await world.supervisor.stop()


@pytest.mark.parametrize("then", ["raises", "goes on"])
async def test_one_whose_library_swallows_a_cancellation_stops_all_the_same(
    world: World, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.infrastructure.cancelling.AGAIN_SECONDS", 0.01)

    async def swallowing(context: SourceContext) -> AsyncIterator[Any]:
        context.listening()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if then == "raises":
                raise TimeoutError from None
        await asyncio.Event().wait()
        yield event(1)

    await world.add("swallowing", swallowing)
    await world.supervisor.start()
    await world.until(lambda: world.status("swallowing") == "running")

    async with asyncio.timeout(10):
        await world.supervisor.remove("swallowing")

    assert world.supervisor.states == {}


async def test_one_that_is_given_no_context_runs_at_once(world: World) -> None:
    async def waiting(context: SourceContext) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield event(1)

    await world.add("waiting", waiting, kind="bare")
    await world.supervisor.start()
    await world.until(lambda: world.status("waiting") != "starting")

    assert world.status("waiting") == "running"
    await world.supervisor.stop()


@pytest.mark.parametrize(
    ("error", "said"),
    [(TimeoutError(), "TimeoutError: no answer in time"), (KeyError(), "KeyError: it says no more")],
)
async def test_an_error_without_a_text_is_told_in_words(world: World, error: Exception, said: str) -> None:
    async def silent(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((), "here")
        raise error

    await world.add("silent", silent)
    await world.supervisor.start()
    await world.until(lambda: world.status("silent") == "failed")
    assert world.supervisor.states["silent"].last_error == said
    await world.supervisor.stop()


async def test_after_a_fault_it_goes_on_behind_what_was_stored(world: World) -> None:
    positions: list[Any] = []

    async def failing(context: SourceContext) -> AsyncIterator[Any]:
        positions.append(context.position)
        yield Delivery((event(1),), {"offset": 1})
        raise OSError("gone")

    await world.add("failing", failing)
    await world.supervisor.start()
    await world.until(lambda: len(positions) == 2, 1.0)
    await world.supervisor.stop()
    assert positions == [None, {"offset": 1}]


async def test_what_is_no_event_is_a_dead_letter_with_its_position(world: World) -> None:
    async def mixed(context: SourceContext) -> AsyncIterator[Any]:
        yield Rejected("gibberish", "not valid JSON", 7)
        yield event(1)

    await world.add("mixed", mixed)
    await world.supervisor.start()
    await world.until(lambda: world.status("mixed") == "stopped")
    assert world.dead_letters == ["not valid JSON: gibberish"]
    assert world.positions == {"source.mixed": 7}
    state = world.supervisor.states["mixed"]
    assert (state.rejected, state.events, state.last_error) == (1, 1, "not valid JSON")


async def test_while_the_database_cannot_be_written_the_source_is_held_back(world: World) -> None:
    failures = 3

    def trouble(events: Sequence[Event]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable("the disk is full")

    async def some(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((event(1),), 1)
        yield Rejected("x", "bad", 2)
        yield Delivery((), 3)

    world.trouble = trouble
    await world.add("some", some)
    await world.supervisor.start()
    await world.until(lambda: world.supervisor.states["some"].last_error == "the disk is full")
    assert world.status("some") == "running"
    failures += 1
    await world.until(lambda: world.status("some") == "stopped", 1.0)
    assert [event.id for event in world.published] == ["1"]
    assert (world.positions, len(world.dead_letters)) == ({"source.some": 3}, 1)
    assert world.supervisor.states["some"].restarts == 0


async def test_one_event_that_is_not_acceptable_costs_only_itself(world: World) -> None:
    def trouble(events: Sequence[Event]) -> None:
        for one in events:
            if one.id in ("2", "4"):
                raise InputError("data: too large")

    async def batches(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((event(1), event(2), event(3)), 1)
        yield Delivery((event(4),), 2)

    world.trouble = trouble
    await world.add("batches", batches)
    await world.supervisor.start()
    await world.until(lambda: world.status("batches") == "stopped")
    assert [one.id for one in world.published] == ["1", "3"]
    assert [reason.partition(": Event(")[0] for reason in world.dead_letters] == ["data: too large"] * 2
    assert world.positions == {"source.batches": 2}


async def test_one_event_that_can_never_be_written_holds_back_no_other_of_its_batch(world: World) -> None:
    def trouble(events: Sequence[Event]) -> None:
        if any(one.id == "2" for one in events):
            raise StoreError("the database refused")

    async def batch(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((event(1), event(2), event(3), event(4)), 1)

    world.trouble = trouble
    await world.add("batch", batch)
    await world.supervisor.start()
    await world.until(lambda: world.status("batch") == "failed")
    assert [one.id for one in world.published] == ["1", "3"]
    assert world.positions == {}


async def test_the_position_waits_for_all_events_of_a_delivery(world: World) -> None:
    def trouble(events: Sequence[Event]) -> None:
        if any(one.id == "3" for one in events) and world.clock.now() < started + 10:
            raise StoreUnavailable("the disk is full")

    async def batch(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((event(1), event(2), event(3)), 1)

    started = world.clock.now()
    world.trouble = trouble
    await world.add("batch", batch)
    await world.supervisor.start()
    await world.until(lambda: world.clock.now() >= started + 9, 1.0)
    assert [one.id for one in world.published] == ["1", "2"]
    assert world.positions == {}
    await world.until(lambda: world.status("batch") == "stopped", 1.0)
    assert [one.id for one in world.published] == ["1", "2", "3"]
    assert world.positions == {"source.batch": 1}


async def test_duplicates_are_behind_us_too(world: World) -> None:
    async def again(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((event(1), event(1)), 1)

    await world.add("again", again)
    await world.supervisor.start()
    await world.until(lambda: world.status("again") == "stopped")
    assert [one.id for one in world.published] == ["1"]
    assert world.positions == {"source.again": 1}


async def test_a_fault_of_ours_is_no_reason_to_give_an_event_up(world: World) -> None:
    runs = 0

    def trouble(events: Sequence[Event]) -> None:
        if events and runs == 1:
            raise TypeError("a bug")

    async def one(context: SourceContext) -> AsyncIterator[Any]:
        nonlocal runs
        runs += 1
        yield Delivery((event(1),), 1)

    world.trouble = trouble
    await world.add("one", one)
    await world.supervisor.start()
    await world.until(lambda: world.status("one") == "failed")
    await world.until(lambda: world.status("one") == "stopped", 1.0)
    assert [one.id for one in world.published] == ["1"]
    assert world.dead_letters == []


async def test_definitions_come_change_and_go_while_it_runs(world: World) -> None:
    closed: list[str] = []

    def named(name: str) -> Callable[[SourceContext], AsyncIterator[Any]]:
        async def run(context: SourceContext) -> AsyncIterator[Any]:
            try:
                yield Delivery((), name)
                await forever(context)
            finally:
                closed.append(name)

        return run

    await world.supervisor.start()
    await world.add("a", named("first"))
    await world.until(lambda: world.positions.get("source.a") == "first")
    await world.supervisor.add(world.supervisor.definitions["a"])
    assert closed == []
    world.scripts["b"] = named("second")
    await world.supervisor.add(SourceDefinition(name="a", type="scripted", settings={"script": "b"}))
    assert closed == ["first"]
    await world.until(lambda: world.positions.get("source.a") == "second")
    await world.supervisor.remove("a")
    assert closed == ["first", "second"]
    assert world.supervisor.states == {}
    with pytest.raises(NotFound, match="there is no source named 'a'"):
        await world.supervisor.remove("a")


async def test_how_each_source_is_doing_is_told(world: World) -> None:
    def trouble(events: Sequence[Event]) -> None:
        if stuck and any(one.id == "3" for one in events):
            raise StoreUnavailable("the disk is full")

    async def some(context: SourceContext) -> AsyncIterator[Any]:
        yield Delivery((event(1), event(1)), lag=7)
        yield Rejected("x", "bad")
        yield Delivery((event(3),), lag=6)
        raise OSError("gone")

    stuck = True
    world.trouble = trouble
    await world.add("some", some)
    await world.supervisor.start()
    await world.until(lambda: world.supervisor.states["some"].held_back)
    shown = figures(world)
    assert shown("automation_source_up", source="some") == 0
    assert shown("automation_source_lag", source="some") == 6
    stuck = False
    await world.until(lambda: world.status("some") == "failed", 0.5)
    state = world.supervisor.states["some"]
    assert (state.events, state.duplicates, state.rejected, state.held_back) == (3, 1, 1, False)
    assert state.retry_at is not None
    assert state.retry_at > world.clock.now()
    shown = figures(world)
    assert shown("automation_source_items_total", source="some", outcome="event") == 2
    assert shown("automation_source_items_total", source="some", outcome="duplicate") == 1
    assert shown("automation_source_items_total", source="some", outcome="rejected") == 1
    assert shown("automation_source_last_event_timestamp_seconds", source="some") == state.last_event_at
    await world.until(lambda: world.supervisor.states["some"].restarts == 1, 0.5)
    assert figures(world)("automation_source_restarts_total", source="some") == 1
    await world.supervisor.remove("some")
    assert figures(world)("automation_source_up", source="some") is None


def figures(world: World) -> Callable[..., float | None]:
    """Reads the metrics of the sources as they are now."""
    metrics = Metrics()
    show_sources(metrics, world.supervisor.states)
    return lambda name, **labels: metrics.registry.get_sample_value(name, labels)


async def test_a_broker_is_told_after_the_commit_and_only_some_events_are_on_their_way(world: World) -> None:
    told: list[int] = []

    async def broker(context: SourceContext) -> AsyncIterator[Any]:
        for batch in range(2):
            yield Delivery(tuple(event(1200 * batch + number) for number in range(1200)))
            told.append(len(world.published))

    await world.add("broker", broker)
    await world.supervisor.start()
    await world.until(lambda: world.status("broker") == "stopped")
    assert told == [1200, 2400]
    assert world.together == [MOST_AT_ONCE, MOST_AT_ONCE, 1199 - 2 * MOST_AT_ONCE] * 2
    assert [known.id for known in world.published] == [event(number).id for number in range(2400)]


async def test_secrets_are_put_in_when_it_runs_and_hidden_in_errors(world: World) -> None:
    seen: list[str] = []

    async def telling(context: SourceContext) -> AsyncIterator[Any]:
        raise OSError("cannot reach amqp://me:hunter2@broker")
        yield

    secrets = {"queue": "telling"}

    def secret(name: str) -> str:
        seen.append(name)
        return secrets[name]

    world.supervisor.confide(secret, lambda text: text.replace("hunter2", "***"))
    world.scripts["telling"] = telling
    definition = SourceDefinition(name="x", type="scripted", settings={"script": "${secret:queue}"})
    await world.supervisor.add(definition)
    await world.supervisor.start()
    await world.until(lambda: world.status("x") == "failed")
    assert world.supervisor.states["x"].last_error == "OSError: cannot reach amqp://me:***@broker"
    assert world.supervisor.definitions["x"] == definition
    await world.until(lambda: len(seen) == 2, 0.5)


async def test_a_source_whose_library_is_missing_is_refused_with_the_extra_that_brings_it(world: World) -> None:
    @source("needy", library="no_such_library", extra="broker")
    async def needy(settings: Settings) -> AsyncIterator[Event]:
        yield event(1)

    try:
        with pytest.raises(DefinitionError, match=r"type: the source 'needy' needs .* 'automation\[broker\]'"):
            await world.supervisor.add(SourceDefinition(name="x", type="needy"))
    finally:
        registry._plugins["source"].pop("needy")


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("fil", {}, r"type: there is no source 'fil'; did you mean file\?"),
        ("file", {}, "settings.path: is required"),
        ("file", {"path": "x", "polls": 1}, "settings.polls: unknown key"),
    ],
)
async def test_a_wrong_definition_is_refused_at_once(
    world: World, kind: str, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(DefinitionError, match=says):
        await world.supervisor.add(SourceDefinition(name="x", type=kind, settings=settings))
    assert world.supervisor.states == {}


async def test_a_file_is_followed_into_a_real_database_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    store = Store(f"sqlite:///{tmp_path}/automation.db")
    await store.open()
    world = World()

    class Stored(World):
        async def publish(self, event: Event, *, also: Sequence[Op] = ()) -> EventReceipt:
            await store.commit([events.insert(event, world.clock.now(), False), *also])
            return EventReceipt(event_id=event.id)

    async def subjects() -> list[str]:
        return [one.event.subject for one in (await events.page(store)).items]

    definition = SourceDefinition(name="log", type="file", settings={"path": str(path)})
    for number in range(3):
        with path.open("a") as out:
            out.write(json.dumps({"type": "tick", "subject": f"s{number}"}) + "\nnot json\n")
        supervisor = SourceSupervisor(
            world.clock, Stored(), partial(records.all_positions, store), store.commit_patiently
        )
        await supervisor.add(definition)
        await supervisor.start()
        await world.until(lambda: supervisor.states["log"].rejected == 1, 0.5)  # noqa: B023 - called at once
        await supervisor.stop()
    assert await subjects() == ["s2", "s1", "s0"]
    assert len((await events.decision_page(store, kind="source")).items) == 3
    await store.close()
