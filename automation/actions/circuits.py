"""Keeps the circuits of all operations and targets: in memory, and as rows where they are not closed.

A circuit that opens is a row, so that a restart does not forget it and other nodes hear of it within a second. Failures
that have not yet opened one are counted by each node for itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from automation.actions.call import Call, Middleware
from automation.actions.middleware.breaker import (
    Circuit,
    State,
    Ticket,
    ask,
    breaker,
    counts,
    failed,
    given_up,
    refusal,
    succeeded,
)
from automation.actions.target import target_of
from automation.clock import Clock
from automation.errors import EngineStopped, StoreError, writable
from automation.model.event import Event
from automation.model.performance import CircuitBreaker
from automation.plugins import Plugin
from automation.store import guards, statements
from automation.store.guards import StoredBreaker
from automation.store.statement import Op, Unexpected
from automation.store.store import Store
from automation.telemetry.metrics import Metrics

log = logging.getLogger("automation.actions")

Key = tuple[str, str]
"""Operation and target."""

MOST = 10_000
"""How many closed circuits with a failure are remembered; the oldest are forgotten first."""

GRACE_SECONDS = 10.0
"""How much longer than its time limit an attempt is waited for that was let through half-open."""

LOOK_SECONDS = 1.0
"""How soon other nodes' circuits are known here."""

_LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """A circuit that is not closed, as people see it."""

    operation: str
    target: str
    state: str
    failures: int
    opened_at: float
    until: float
    error: str


class Breakers:
    """All circuits of one engine."""

    def __init__(
        self,
        settings: CircuitBreaker,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        announce: Callable[[Event, Sequence[Op]], Awaitable[object]],
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._announce = announce
        self._circuits: dict[Key, Circuit] = {}
        self._changed: dict[Key, float] = {}
        """When this node last changed a circuit that is, or was, a row."""
        self._unsaved: set[Key] = set()
        self._task: asyncio.Task[None] | None = None
        self.redact: Callable[[str], str] = str
        """Hides secrets."""

    def __bool__(self) -> bool:
        return bool(self._circuits)

    @property
    def middleware(self) -> tuple[Middleware, ...]:
        """What goes around each attempt: nothing where circuits are not broken."""
        return (breaker(self),) if self._settings.enabled else ()

    async def start(self) -> None:
        """Take over what is stored, and from here on what other nodes store; raises StoreError."""
        if self._settings.enabled:
            await self.refresh()
            self._task = asyncio.get_running_loop().create_task(self._loop(), name="automation-breakers")

    async def stop(self) -> None:
        """Look at other nodes' circuits no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def all(self) -> list[OpenCircuit]:
        """Those that are not closed, by operation and target."""
        return [
            OpenCircuit(*key, circuit.state.value, circuit.failures, circuit.opened_at, circuit.until, circuit.error)
            for key, circuit in sorted(self._circuits.items())
            if circuit.state is not State.CLOSED
        ]

    def foresee(self, plugin: Plugin, parameters: Any, workflow: str, action: str) -> str | None:
        """Why an attempt would be refused now, as a sentence, or None."""
        key = self._key_of(plugin, parameters, workflow, action)
        circuit, now = self._circuits.get(key), self._clock.now()
        if circuit is None or not self._settings.enabled or ask(circuit, now, 0.0) is not None:
            return None
        return refusal(*key, circuit, now).message

    async def admit(self, call: Call) -> Ticket | None:
        """Let an attempt through, or raise BreakerOpen. None where nothing has failed."""
        key = self._key(call)
        circuit = self._circuits.get(key)
        if circuit is None:
            return None
        now = self._clock.now()
        after = ask(circuit, now, call.context.timeout_seconds + GRACE_SECONDS)
        if after is None:
            raise refusal(*key, circuit, now)
        if after is not circuit:
            self._put(key, after)
            await self._claim(key, circuit, after)
        return Ticket(*key, after.version)

    async def settle(self, call: Call, ticket: Ticket | None, error: BaseException | None) -> None:
        """Take in how an attempt has ended."""
        key = (ticket.operation, ticket.target) if ticket is not None else self._key(call)
        circuit = self._circuits.get(key, Circuit())
        version = ticket.version if ticket is not None else 0
        now = self._clock.now()
        if error is None:
            after = succeeded(circuit, version)
        elif counts(error):
            told = self.redact(writable(f"{type(error).__name__}: {error}"))[:500]
            after = failed(circuit, version, now, self._settings, told)
        else:
            after = given_up(circuit, version, now)
        if after is not circuit:
            self._put(key, after)
            if after.state is not circuit.state:
                await self._save(key, circuit, after)

    async def refresh(self) -> None:
        """Take over what other nodes have stored, and store what could not be stored; raises StoreError."""
        asked = self._clock.monotonic()
        rows = {(row.operation, row.target): row for row in await guards.all_breakers(self._store)}
        for key, row in rows.items():
            if key not in self._unsaved and row.version > self._version(key):
                self._put(key, _circuit(row))
        for key, circuit in list(self._circuits.items()):
            known = self._changed.get(key, asked)
            if circuit.state is not State.CLOSED and key not in rows and key not in self._unsaved and known < asked:
                # Another node has closed it.
                self._put(key, Circuit(version=circuit.version + 1))
        for key in list(self._unsaved):
            await self._write(key, None)

    async def _loop(self) -> None:
        while True:
            await self._clock.idle(LOOK_SECONDS)
            try:
                await self.refresh()
            except StoreError as error:
                log.error("circuits: %s", error.message)
            except Exception:
                # Whatever goes wrong here, other nodes' circuits must be looked at again.
                log.exception("circuits cannot be looked at; it goes on")

    def _key(self, call: Call) -> Key:
        return self._key_of(call.plugin, call.parameters, call.context.workflow, call.context.action)

    def _key_of(self, plugin: Plugin, parameters: Any, workflow: str, action: str) -> Key:
        target = target_of(plugin, parameters)
        # Where nothing says what is acted on, the action itself is: never one operation's failures for all its uses.
        return plugin.name, self.redact(target) if target else f"{workflow}/{action}"

    def _version(self, key: Key) -> int:
        circuit = self._circuits.get(key)
        return circuit.version if circuit is not None else -1

    def _put(self, key: Key, circuit: Circuit) -> None:
        before = self._circuits.pop(key, None)
        if circuit.state is not State.CLOSED or circuit.failures:
            self._circuits[key] = circuit
            if len(self._circuits) > MOST:
                self._forget_oldest()
        if circuit.state is not State.CLOSED or (before is not None and before.state is not State.CLOSED):
            self._changed[key] = self._clock.monotonic()
            self._metrics.breakers.labels(*key).set(_LEVELS[circuit.state])

    def _forget_oldest(self) -> None:
        oldest = next((key for key, circuit in self._circuits.items() if circuit.state is State.CLOSED), None)
        if oldest is not None:
            del self._circuits[oldest]

    async def _claim(self, key: Key, before: Circuit, after: Circuit) -> None:
        """Let one attempt through for all nodes: the first to change the row has it."""
        if key in self._unsaved:
            return
        claim = statements.BREAKER_PROBE(
            state=after.state.value,
            version=after.version,
            until=after.until,
            where_operation=key[0],
            where_target=key[1],
            where_version=before.version,
        )
        try:
            await self._store.commit([claim])
        except StoreError as error:
            log.error("the circuit of %s on %s is not stored yet: %s", *key, error.message)
            self._unsaved.add(key)
        except Unexpected:
            # Another node was first, or has closed it: the next look at the rows tells.
            pause = self._clock.now() + 1.0
            taken = Circuit(before.state, before.failures, pause, before.version, before.opened_at, before.error)
            self._put(key, taken)
            raise refusal(*key, taken, self._clock.now()) from None
        except BaseException:
            # Cancelled on the way: nobody tries now, so the next one may.
            self._put(key, given_up(after, after.version, self._clock.now()))
            self._unsaved.add(key)
            raise

    async def _save(self, key: Key, before: Circuit, after: Circuit) -> None:
        event = None
        if after.state is State.OPEN and before.state is State.CLOSED:
            event = "circuit_breaker_opened"
            log.warning("the circuit of %s on %s is open: %s", *key, after.error)
        elif after.state is State.CLOSED:
            event = "circuit_breaker_closed"
            log.info("the circuit of %s on %s is closed again", *key)
        self._unsaved.add(key)
        try:
            await self._write(key, self._event(event, key, before, after) if event else None)
        except (StoreError, EngineStopped) as error:
            log.error("the circuit of %s on %s is not stored yet: %s", *key, error.message)

    async def _write(self, key: Key, event: Event | None) -> None:
        op = self._op(key)
        if event is None:
            await self._store.commit([op])
        else:
            await self._announce(event, [op])
        self._unsaved.discard(key)
        self._changed[key] = self._clock.monotonic()

    def _op(self, key: Key) -> Op:
        circuit = self._circuits.get(key)
        if circuit is None or circuit.state is State.CLOSED:
            return statements.BREAKER_DELETE(where_operation=key[0], where_target=key[1])
        return StoredBreaker(
            *key,
            circuit.state.value,
            circuit.failures,
            circuit.version,
            circuit.until,
            circuit.opened_at,
            circuit.error,
        ).op()

    def _event(self, type: str, key: Key, before: Circuit, after: Circuit) -> Event:
        operation, target = key
        known = after if after.state is State.OPEN else before
        data = {"operation": operation, "target": target, "failures": known.failures, "error": known.error}
        if after.state is State.OPEN:
            data["until"] = after.until
        return Event(type=type, source="breaker", subject=target, data=data, time=self._clock.now())


def _circuit(row: StoredBreaker) -> Circuit:
    return Circuit(State(row.state), row.failures, row.until, row.version, row.opened_at, row.error)
