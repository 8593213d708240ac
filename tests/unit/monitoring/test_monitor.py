"""The monitor with scripted collectors and virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel

from automation.clock import VirtualClock
from automation.errors import DefinitionError, NotFound
from automation.infrastructure.services import Services
from automation.model.event import Event
from automation.model.metric import Sample
from automation.monitoring.checks import CheckState
from automation.monitoring.collector import CheckResult, Observations, Probe, Thresholds
from automation.monitoring.monitor import Monitor, Outlets, Watch
from automation.plugins import collector, registry


class Crash(BaseException):
    """As SIGKILL: nothing catches it."""


@dataclass
class World:
    """Where everything goes, and what may go wrong there."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    stored: dict[str, CheckState] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    crash_at: str = ""

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.crash_at:
            self.crash_at = ""
            raise Crash

    async def observe(self, sample: Sample) -> None:
        self.samples.append(sample)

    async def publish(self, event: Event) -> None:
        self.step("before publish")
        self.events.append(event)
        self.step("after publish")

    async def load(self) -> dict[str, CheckState]:
        return dict(self.stored)

    async def save(self, key: str, state: CheckState | None) -> None:
        self.step("before save")
        if state is None:
            self.stored.pop(key, None)
        else:
            self.stored[key] = state
        self.step("after save")

    def monitor(self, *watches: Watch, home: Path = Path("unused")) -> Monitor:
        outlets = Outlets(self.observe, self.publish, self)
        return Monitor(watches, Services(home, self.clock), self.clock, outlets)


class Script(BaseModel):
    """Settings of the scripted collector."""

    name: str = "main"


ROUNDS: dict[str, list[object]] = {}


@pytest.fixture(autouse=True)
def scripted() -> Iterator[None]:
    ROUNDS.clear()

    @collector("scripted")
    async def scripted(settings: Script, probe: Probe) -> Observations:
        """Gives what the test has put into ROUNDS, in turn."""
        left = ROUNDS[settings.name]
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Exception):
            raise step
        if step in ("raises", "goes on"):
            # As a library that loses a cancellation, or makes an error of it.
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if step == "raises":
                    raise TimeoutError from None
            return Observations()
        if isinstance(step, dict):
            checks = [
                CheckResult("service_health", "api", target, ok, probe.clock.now(), detail="503", address="http://x")
                for target, ok in step.items()
            ]
            return Observations(checks=checks, covered=[("service_health", "api")])
        assert isinstance(step, Observations)
        return step

    yield
    registry._plugins["collector"].pop("scripted")


@pytest.fixture
def world() -> World:
    return World()


async def begin(monitor: Monitor) -> None:
    """Start it, and let the first rounds run."""
    await monitor.start()
    for _ in range(20):
        await asyncio.sleep(0)


def watch(name: str = "main", interval: float = 10) -> Watch:
    return Watch(name, "scripted", interval, {"name": name})


async def test_a_failure_and_a_recovery_are_published_once_each(world: World) -> None:
    ROUNDS["main"] = [{"a": up} for up in (True, False, False, False, True, True)]
    monitor = world.monitor(watch())

    for _ in range(6):
        await monitor.round("main")
        await world.clock.advance(10)

    start = VirtualClock().now()
    failed, recovered = world.events
    assert failed.type == "service_health_check_failed"
    assert (failed.subject, failed.source, failed.severity) == ("api", "monitoring", "high")
    assert failed.time == start + 20
    assert failed.data == {
        "service_name": "api",
        "target": "a",
        "address": "http://x",
        "error": "503",
        "reason": "503",
        "consecutive_failures": 2,
        "since": start + 10,
    }
    assert (recovered.type, recovered.severity) == ("service_health_check_recovered", "info")
    assert recovered.data["since"] == start + 40
    assert recovered.data["error"] == ""
    assert failed.id != recovered.id


async def test_a_restarted_engine_goes_on_where_the_earlier_one_was(world: World) -> None:
    ROUNDS["main"] = [{"a": False}]
    first = world.monitor(watch())
    for _ in range(3):
        await first.round("main")
    assert len(world.events) == 1

    ROUNDS["main"] = [{"a": False}, {"a": False}, {"a": True}]
    second = world.monitor(watch())
    for _ in range(3):
        await second.round("main")

    assert [event.type.rpartition("_")[2] for event in world.events] == ["failed", "recovered"]


@pytest.mark.parametrize("moment", ["before save", "after save", "before publish", "after publish"])
@pytest.mark.parametrize("then", [False, True])
async def test_killed_at_any_moment_a_change_is_told_under_one_id(world: World, moment: str, then: bool) -> None:
    ROUNDS["main"] = [{"a": False}]
    first = world.monitor(watch())
    await first.round("main")
    world.crash_at = moment
    with pytest.raises(Crash):
        await first.round("main")

    # The next engine sees it go on failing, or well again at once.
    ROUNDS["main"] = [{"a": then}]
    second = world.monitor(watch())
    for _ in range(3):
        await second.round("main")

    told = {event.type.rpartition("_")[2]: event.id for event in world.events}
    assert len({event.id for event in world.events}) == len(told)
    if moment == "before save" and then:
        assert told == {}
    else:
        assert set(told) == ({"failed", "recovered"} if then else {"failed"})
    assert all(state.announced for state in world.stored.values())


async def test_what_could_not_be_published_is_published_in_the_next_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ROUNDS["main"] = [{"a": False}, {"a": False}, {"a": True}]
    monitor = world.monitor(watch())
    await monitor.round("main")
    real, world.publish = world.publish, failing  # type: ignore[method-assign]
    monitor = world.monitor(watch())
    ROUNDS["main"] = [{"a": False}, {"a": False}, {"a": True}]
    await monitor.round("main")
    with pytest.raises(ConnectionError):
        await monitor.round("main")
    monitor._announcer._publish = real

    await monitor.round("main")

    assert [event.type.rpartition("_")[2] for event in world.events] == ["failed", "recovered"]


async def failing(_: Event) -> None:
    raise ConnectionError("the store is away")


async def test_a_failed_target_that_is_gone_counts_as_recovered(world: World) -> None:
    ROUNDS["main"] = [{"a": False, "b": True}, {"a": False, "b": True}, {"b": True, "c": True}]
    monitor = world.monitor(watch())

    for _ in range(4):
        await monitor.round("main")
        await world.clock.advance(10)

    assert [(event.type.rpartition("_")[2], event.data["target"]) for event in world.events] == [
        ("failed", "a"),
        ("recovered", "a"),
    ]
    assert world.events[1].data["reason"] == "it no longer exists"
    assert world.stored == {}
    assert {json.loads(key)[3] for key in monitor.checks} == {"b", "c"}


async def test_a_target_that_was_not_asked_this_time_is_not_gone(world: World) -> None:
    ROUNDS["main"] = [{"a": False}, {"a": False}, Observations()]
    monitor = world.monitor(watch())

    for _ in range(4):
        await monitor.round("main")

    assert len(world.events) == 1
    assert len(monitor.checks) == 1


async def test_thresholds_are_the_checks_own(world: World) -> None:
    failing = CheckResult("url_health", "shop", "http://x", False, 1.0, thresholds=Thresholds(failures=1))
    ROUNDS["main"] = [Observations(checks=[failing])]

    await world.monitor(watch()).round("main")

    assert [event.type for event in world.events] == ["url_health_check_failed"]


async def test_watches_run_at_their_intervals_and_one_that_fails_leaves_the_others_alone(world: World) -> None:
    sample = Sample(name="x", value=1.0)
    ROUNDS["good"] = [Observations(samples=[sample])]
    ROUNDS["bad"] = [ZeroDivisionError("oh"), Observations()]
    monitor = world.monitor(watch("good", 10), watch("bad", 10))

    await begin(monitor)
    await begin(monitor)
    await world.clock.advance(25)

    assert len(world.samples) == 3
    good, bad = monitor.states["good"], monitor.states["bad"]
    assert (good.rounds, good.errors, good.error) == (3, 0, None)
    assert (bad.rounds, bad.errors, bad.errors_in_a_row, bad.error) == (3, 1, 0, None)
    assert good.last_run == VirtualClock().now() + 20
    assert good.next_run == VirtualClock().now() + 30
    assert good.duration_seconds == 0

    await monitor.stop()
    await world.clock.advance(100)
    assert len(world.samples) == 3


async def test_one_that_keeps_failing_is_tried_less_and_less_often(world: World) -> None:
    ROUNDS["bad"] = [ZeroDivisionError("oh")]
    monitor = world.monitor(watch("bad", 10))
    await begin(monitor)

    runs: list[float] = []
    for _ in range(200):
        last = monitor.states["bad"].last_run
        assert last is not None
        if last not in runs:
            runs.append(last)
        await world.clock.advance(10)
    await monitor.stop()

    waits = [round(after - before) for before, after in pairwise(runs)]
    assert waits[:8] == [10, 20, 40, 80, 160, 300, 300, 300]
    assert monitor.states["bad"].error == "ZeroDivisionError: oh"


@pytest.mark.parametrize("then", ["raises", "goes on"])
async def test_one_whose_library_swallows_a_cancellation_stops_all_the_same(
    world: World, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.infrastructure.cancelling.AGAIN_SECONDS", 0.01)
    ROUNDS["main"] = [then]
    monitor = world.monitor(watch())
    await begin(monitor)

    async with asyncio.timeout(10):
        await monitor.stop()

    assert monitor.states["main"].rounds == 1


async def test_a_collector_may_ask_to_be_called_sooner_but_not_later(world: World) -> None:
    ROUNDS["soon"] = [Observations(next_seconds=2)]
    ROUNDS["late"] = [Observations(next_seconds=99)]
    monitor = world.monitor(watch("soon"), watch("late"))
    await begin(monitor)
    await world.clock.advance(10)
    await monitor.stop()

    assert monitor.states["soon"].rounds == 6
    assert monitor.states["late"].rounds == 2


async def test_problems_are_shown_and_are_no_failure(world: World) -> None:
    ROUNDS["main"] = [Observations(problems=["api: away"])]
    monitor = world.monitor(watch())

    await monitor.round("main")

    assert monitor.states["main"].error == "api: away"
    assert monitor.states["main"].errors == 0


async def test_availability_is_the_share_of_good_probes_of_the_last_day(world: World) -> None:
    ROUNDS["main"] = [{"a": True, "b": False}]
    monitor = world.monitor(watch())
    assert monitor.availability() == {}
    await monitor.round("main")
    assert monitor.availability() == {"api": 50.0}

    await world.clock.advance(23 * 3600)
    ROUNDS["main"] = [{"a": True, "b": True}]
    await monitor.round("main")
    assert monitor.availability() == {"api": 75.0}

    await world.clock.advance(2 * 3600)
    await monitor.round("main")
    assert monitor.availability() == {"api": 100.0}


def test_all_problems_of_watches_are_told_at_once(world: World) -> None:
    with pytest.raises(DefinitionError) as caught:
        world.monitor(watch(), watch(), Watch("x", "scriptet", 10), Watch("y", "scripted", 10, {"nmae": "z"}))
    text = str(caught.value)
    assert "already a monitor" in text
    assert "did you mean scripted" in text
    assert "monitors.y.settings.nmae: unknown key" in text


async def test_an_unknown_watch_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.monitor(watch()).round("other")


async def test_each_round_is_a_sample_of_the_availability_of_its_services(world: World) -> None:
    ROUNDS["main"] = [{"a": True, "b": False}]

    await world.monitor(watch()).round("main")

    (sample,) = world.samples
    assert (sample.name, sample.value, sample.subject) == ("service_availability", 0.5, "api")
    assert sample.labels == {"monitor": "main"}
