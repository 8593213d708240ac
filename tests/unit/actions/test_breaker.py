"""When an operation is left alone because it keeps failing on a target, and when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from automation import (
    ActionContext,
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    Refused,
    Suspend,
    TryLater,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
    action,
    undo,
)
from automation.actions.call import Call
from automation.actions.circuits import Breakers
from automation.actions.executor import Executor
from automation.actions.middleware.breaker import Circuit, State, ask, failed, given_up, succeeded
from automation.actions.target import host_of, target_of
from automation.errors import BreakerOpen
from automation.model.event import Event
from automation.model.performance import CircuitBreaker
from automation.plugins import registry
from automation.store.statement import Op
from automation.store.store import Store
from automation.telemetry.metrics import Metrics
from tests.support import handlers

SETTINGS = CircuitBreaker(failure_threshold=3, recovery_timeout=60)


# ----------------------------------------------------------------------------------------------- the states, purely


class Model:
    """What is true of a circuit, said again in the plainest way."""

    def __init__(self) -> None:
        self.circuit = Circuit()
        self.now = 1_000_000.0
        self.in_a_row = 0
        self.opened: float | None = None
        self.flying: list[tuple[int, bool]] = []
        """Versions of attempts under way, and whether the circuit was closed when they began."""

    def attempt(self) -> None:
        after = ask(self.circuit, self.now, patience=30.0)
        if self.opened is None:
            assert after is not None, "a closed circuit refuses nothing"
        elif self.circuit.state is State.OPEN:
            assert (after is not None) == (self.now >= self.circuit.until)
        if after is None:
            assert self.circuit.until > self.now
            assert ask(self.circuit, self.circuit.until, 30.0) is not None, "`after` is when it may be tried"
            return
        if after.state is State.HALF_OPEN:
            assert ask(after, self.now, 30.0) is None, "one at a time"
        self.circuit = after
        self.flying.append((after.version, after.state is State.CLOSED))

    def end(self, which: int, how: str) -> None:
        version, closed = self.flying.pop(which % len(self.flying))
        current = version == self.circuit.version
        before = self.circuit
        if how == "well":
            self.circuit = succeeded(before, version)
        elif how == "badly":
            self.circuit = failed(before, version, self.now, SETTINGS, "error")
        else:
            self.circuit = given_up(before, version, self.now)
        if not current:
            assert self.circuit == before, "what began before the last change does not count"
            return
        self._follow(closed, how)

    def _follow(self, closed: bool, how: str) -> None:
        if how == "well":
            self.in_a_row, self.opened = 0, None
            assert self.circuit.state is State.CLOSED
            assert self.circuit.failures == 0
        elif how == "badly":
            self.in_a_row += 1
            if not closed or self.in_a_row >= SETTINGS.failure_threshold:
                self.opened = self.opened or self.now
                assert self.circuit.state is State.OPEN
                assert self.circuit.until == self.now + SETTINGS.recovery_timeout
            else:
                assert self.circuit.state is State.CLOSED
        elif not closed:
            assert self.circuit.state is State.OPEN
            assert self.circuit.until == self.now, "the next one may try at once"
        assert (self.circuit.state is State.CLOSED) == (self.opened is None)


@given(
    st.lists(
        st.one_of(
            st.just(("attempt",)),
            st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from(["well", "badly", "badly", "badly", "away"])),
            st.tuples(st.just("wait"), st.sampled_from([1.0, 29.0, 31.0, 59.0, 61.0])),
        ),
        max_size=80,
    )
)
def test_a_circuit_does_what_its_three_states_say(moves: list[tuple[Any, ...]]) -> None:
    model = Model()
    for kind, *rest in moves:
        before = model.circuit.version
        if kind == "attempt":
            model.attempt()
        elif kind == "wait":
            model.now += rest[0]
        elif model.flying:
            model.end(*rest)
        assert model.circuit.version >= before


# -------------------------------------------------------------------------------------------- kept, and in the way


class Target(BaseModel):
    target: str = "a"
    how: str = "badly"


@action("breaks.act")
async def act(params: Target, context: ActionContext) -> dict[str, Any]:
    """Do what is asked."""
    if params.how == "badly":
        raise TryLater("busy")
    if params.how == "crash":
        raise ValueError("crashed")
    if params.how == "refuse":
        raise Refused("no")
    if params.how == "wait":
        raise Suspend(context.now() + 5)
    if params.how == "hang":
        await asyncio.sleep(3600)
    return {}


@undo("breaks.act")
async def unact(params: Target, result: Any, context: ActionContext) -> None:
    """Take it back."""
    raise TryLater("busy")


class Bench:
    """An executor whose circuits are kept in a database."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store = store
        self.clock = clock
        self.metrics = Metrics()
        self.events: list[Event] = []
        self.breakers = Breakers(SETTINGS, store, clock, self.metrics, self.announce)
        self.executor = Executor(self.metrics, clock, AutomationConfig(), breakers=self.breakers.middleware)

    async def announce(self, event: Event, ops: Sequence[Op]) -> None:
        self.events.append(event)
        await self.store.commit(ops)

    async def attempt(self, how: str = "badly", target: str = "a", *, kind: Any = "action", action: str = "x") -> str:
        context = ActionContext(workflow="w", action=action, clock=self.clock, timeout_seconds=30)
        call = Call(registry.get(kind, "breaks.act"), {"target": target, "how": how}, context)
        try:
            await self.executor.execute(call)
        except BreakerOpen as error:
            return f"open for {error.after:g}"
        except Suspend:
            return "waits"
        except Exception as error:
            return type(error).__name__
        return "well"

    @property
    def state(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "circuit_breaker_state", {"operation": "breaks.act", "target": "a"}
        )


@pytest.fixture
async def store(config: AutomationConfig) -> AsyncIterator[Store]:
    store = Store(config.database)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def bench(store: Store, clock: VirtualClock) -> Bench:
    return Bench(store, clock)


async def broken(bench: Bench) -> None:
    for _ in range(SETTINGS.failure_threshold):
        await bench.attempt()


async def test_after_so_many_failures_in_a_row_it_is_left_alone_then_tried_once(
    bench: Bench, clock: VirtualClock
) -> None:
    assert [await bench.attempt() for _ in range(4)] == ["TryLater"] * 3 + ["open for 60"]
    assert bench.state == 2
    await clock.advance(59)
    assert await bench.attempt("well") == "open for 1"

    await clock.advance(1)
    assert await bench.attempt("badly") == "TryLater"
    assert await bench.attempt("well") == "open for 60"
    await clock.advance(60)
    assert await bench.attempt("well") == "well"

    assert bench.state == 0
    assert not bench.breakers
    assert [event.type for event in bench.events] == ["circuit_breaker_opened", "circuit_breaker_closed"]
    opened = bench.events[0]
    assert (opened.subject, opened.data["operation"], opened.data["failures"]) == ("a", "breaks.act", 3)
    assert opened.data["error"] == "TryLater: busy"


async def test_one_success_between_failures_keeps_it_closed(bench: Bench) -> None:
    for _ in range(4):
        assert [await bench.attempt(how) for how in ("badly", "crash", "well")] == ["TryLater", "ActionCrashed", "well"]


async def test_targets_do_not_share_a_circuit(bench: Bench) -> None:
    await broken(bench)

    assert await bench.attempt("well", target="b") == "well"
    assert await bench.attempt("well", target="a") == "open for 60"


async def test_without_a_target_each_action_of_each_workflow_has_its_own(bench: Bench) -> None:
    for _ in range(3):
        await bench.attempt(target="")

    assert await bench.attempt("well", target="") == "open for 60"
    assert await bench.attempt("well", target="", action="y") == "well"
    assert bench.breakers.all()[0].target == "w/x"


async def test_refusals_and_waits_say_nothing_about_the_target(bench: Bench, clock: VirtualClock) -> None:
    assert [await bench.attempt("refuse") for _ in range(5)] == ["Refused"] * 5
    await broken(bench)
    await clock.advance(60)

    # Half open: what does not tell whether it works lets the next one try.
    assert [await bench.attempt(how) for how in ("refuse", "wait", "well")] == ["Refused", "waits", "well"]


async def test_an_undo_is_always_tried(bench: Bench) -> None:
    await broken(bench)

    assert [await bench.attempt(kind="undo") for _ in range(3)] == ["TryLater"] * 3


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["before it is written", "while it runs"])
async def test_half_open_one_is_let_through_and_the_others_wait_for_it(
    bench: Bench, clock: VirtualClock, pause: float
) -> None:
    await broken(bench)
    await clock.advance(60)

    first = asyncio.create_task(bench.attempt("hang"))
    await asyncio.sleep(pause)
    await asyncio.sleep(0)
    assert bench.state == 1
    assert (await bench.attempt("well")).startswith("open for ")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    assert await bench.attempt("well") == "well"


async def test_a_restart_does_not_forget_what_is_open(bench: Bench, store: Store, clock: VirtualClock) -> None:
    await broken(bench)
    await clock.advance(20)

    again = Bench(store, clock)
    await again.breakers.refresh()

    assert await again.attempt("well") == "open for 40"
    [known] = again.breakers.all()
    assert (known.operation, known.target, known.state, known.failures) == ("breaks.act", "a", "open", 3)
    assert known.error == "TryLater: busy"


async def test_nodes_share_open_circuits_and_one_of_them_tries(bench: Bench, store: Store, clock: VirtualClock) -> None:
    other = Bench(store, clock)
    await broken(bench)
    await other.breakers.refresh()
    assert await other.attempt("well") == "open for 60"
    await clock.advance(60)

    trying = asyncio.create_task(bench.attempt("hang"))
    while bench.state != 1:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert await other.attempt("well") == "open for 1"
    trying.cancel()
    await asyncio.wait({trying})
    await clock.advance(1)
    await other.breakers.refresh()
    assert await other.attempt("well") == "well"
    await clock.advance(1)
    await bench.breakers.refresh()

    assert await bench.attempt("well") == "well"
    assert not bench.breakers.all()


async def test_a_circuit_that_opens_again_is_known_to_who_missed_that_it_was_closed(
    bench: Bench, store: Store, clock: VirtualClock
) -> None:
    other = Bench(store, clock)
    await broken(bench)
    await other.breakers.refresh()
    await clock.advance(60)
    await bench.attempt("well")
    await broken(bench)

    await other.breakers.refresh()

    assert await other.attempt("well") == "open for 60"
    await clock.advance(60)
    assert await other.attempt("well") == "well"


async def test_what_could_not_be_stored_is_stored_later(
    bench: Bench, store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automation.errors import StoreUnavailable

    async def full(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store, "commit", full)
    await broken(bench)
    assert await bench.attempt("well") == "open for 60", "it is open all the same"
    monkeypatch.undo()

    await bench.breakers.refresh()

    other = Bench(store, clock)
    await other.breakers.refresh()
    assert await other.attempt("well") == "open for 60"


async def test_closed_circuits_are_not_remembered_without_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automation.actions.circuits.MOST", 5)
    await broken(bench)
    for number in range(20):
        await bench.attempt(target=f"t{number}")

    assert len(bench.breakers._circuits) == 5
    assert await bench.attempt("well") == "open for 60", "an open one is never forgotten"


async def test_secrets_are_not_named(bench: Bench) -> None:
    bench.breakers.redact = lambda text: text.replace("a-secret", "***")
    for _ in range(3):
        await bench.attempt(target="a-secret")

    assert [known.target for known in bench.breakers.all()] == ["***"]


@pytest.mark.parametrize(
    ("operation", "parameters", "target"),
    [
        ("infrastructure.restart_service", {"service_name": "api"}, "api"),
        ("http.request", {"url": "https://user:pass@example.org:8443/a?token=1"}, "example.org:8443"),
        ("http.request", {"url": "http://["}, ""),
        ("notification.notify_slack", {"channel": "#ops"}, "#ops"),
        ("breaks.act", {"target": "b"}, "b"),
        ("breaks.act", {}, "a"),
        ("flow.set", {"values": {"target": "b"}}, ""),
    ],
)
def test_what_an_action_acts_on(operation: str, parameters: dict[str, Any], target: str) -> None:
    assert target_of(registry.get("action", operation), parameters) == target


def test_a_target_that_is_no_parameter_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="its target 'host' is not a parameter of Target"):

        @action("breaks.wrong", target="host")
        async def wrong(params: Target, context: ActionContext) -> None:
            """Nothing."""

    assert host_of({}) == ""


# ------------------------------------------------------------------------------------------------- in the engine


async def test_an_open_circuit_is_told_by_events_and_holds_the_retry_back(config: AutomationConfig) -> None:
    breaking = {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": 0.5}}
    settings = AutomationConfig(**{**config.model_dump(), "performance": breaking})
    retry = {"attempts": 3, "initial_seconds": 0.01, "jitter": False}
    failing = ActionDefinition(name="a", action_type="breaks.act", parameters={"target": "db"}, retry=retry)
    told = WorkflowDefinition.model_validate(
        {
            "name": "told",
            "triggers": [{"type": "event", "event": "circuit_breaker_opened", "condition": "event.subject == 'db'"}],
            "actions": [{"name": "note", "action_type": "test.record", "parameters": {"value": "${error}"}}],
        }
    )
    async with AutomationEngine(settings) as engine:
        await engine.register_workflow(WorkflowDefinition(name="w", actions=(failing,)))
        await engine.register_workflow(told)
        result = await engine.execute_workflow("w")
        again = await engine.execute_workflow("w")
        await engine.drain()
        detail = await engine.queries.execution_detail(again.execution_id)
        events = [stored.event.type for stored in (await engine.queries.events()).items]
        executions = await engine.queries.executions(workflow="told")
        assert "circuit_breaker_state" in engine.metrics.render().decode()

    assert result.status is WorkflowStatus.FAILED
    assert events.count("circuit_breaker_opened") == 1
    assert [execution.status for execution in executions.items] == [WorkflowStatus.SUCCEEDED]
    assert handlers.calls[-1] == ("note", "TryLater: busy")
    refused = [e for e in detail.journal if e.kind == "action_failed" and e.body["error"]["type"] == "BreakerOpen"]
    assert "breaks.act on db has failed" in refused[0].body["error"]["message"]
    assert refused[0].body.get("retry_at", refused[0].at + 0.3) >= refused[0].at


async def test_it_can_be_turned_off(config: AutomationConfig) -> None:
    off = AutomationConfig(**{**config.model_dump(), "performance": {"circuit_breaker": {"enabled": False}}})
    many = ActionDefinition(
        name="a", action_type="breaks.act", retry={"attempts": 8, "initial_seconds": 0.001, "jitter": False}
    )
    async with AutomationEngine(off) as engine:
        await engine.register_workflow(WorkflowDefinition(name="w", actions=(many,)))
        result = await engine.execute_workflow("w")

    assert result.error == "a: TryLater: busy"
