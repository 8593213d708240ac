"""A circuit breaker for each operation and target: what keeps failing is left alone for a while, and then tried once.

After M. Nygard, "Release It!" (2007). The states are pure functions of values; `Circuits` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from automation.actions.call import Call, Handler, Middleware
from automation.errors import ActionError, AutomationError, BreakerOpen, ChildFailed, Refused
from automation.model.performance import CircuitBreaker


class State(Enum):
    """Whether attempts are let through: all, none, or one."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one operation on one target."""

    state: State = State.CLOSED
    failures: int = 0
    """How many attempts in a row have failed."""
    until: float = 0.0
    """Open: when it may be tried. Half open: when the attempt that was let through is given up."""
    version: int = 0
    """Grows with each change of the state, so that an attempt that began before does not count after it."""
    opened_at: float = 0.0
    error: str = ""
    """The failure that opened it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An attempt that was let through, by the version of its circuit."""

    operation: str
    target: str
    version: int


def ask(circuit: Circuit, now: float, patience: float) -> Circuit | None:
    """The circuit after letting an attempt through, or None for a refusal until `circuit.until`.

    One that is half open waits `patience` seconds for its attempt before it lets another one through.
    """
    if circuit.state is State.CLOSED:
        return circuit
    if now < circuit.until:
        return None
    return replace(circuit, state=State.HALF_OPEN, until=now + patience, version=circuit.version + 1)


def succeeded(circuit: Circuit, version: int) -> Circuit:
    """The circuit after an attempt that was let through at this version has succeeded."""
    if version != circuit.version:
        return circuit
    if circuit.state is State.CLOSED:
        return replace(circuit, failures=0)
    return Circuit(version=circuit.version + 1)


def failed(circuit: Circuit, version: int, now: float, settings: CircuitBreaker, error: str = "") -> Circuit:
    """The circuit after an attempt that was let through at this version has failed."""
    if version != circuit.version or circuit.state is State.OPEN:
        return circuit
    failures = circuit.failures + 1
    until = now + settings.recovery_timeout
    if circuit.state is State.HALF_OPEN:
        return Circuit(State.OPEN, failures, until, circuit.version + 1, circuit.opened_at, error)
    if failures < settings.failure_threshold:
        return replace(circuit, failures=failures)
    # Closed circuits are forgotten, and other nodes compare versions: a new opening must not look like an old one.
    return Circuit(State.OPEN, failures, until, max(circuit.version + 1, int(now * 1000)), now, error)


def given_up(circuit: Circuit, version: int, now: float) -> Circuit:
    """The circuit after an attempt has ended without telling anything: refused, cancelled, or waiting."""
    if version != circuit.version or circuit.state is not State.HALF_OPEN:
        return circuit
    return replace(circuit, state=State.OPEN, until=now, version=circuit.version + 1)


def counts(error: BaseException) -> bool:
    """Whether an error tells something about the target: not a refusal, which is about what was asked of it, nor the
    failure of another workflow, whose own actions count, nor a fault of the engine, nor a cancellation."""
    if isinstance(error, AutomationError):
        return isinstance(error, ActionError) and not isinstance(error, Refused | ChildFailed)
    return isinstance(error, Exception)


class Circuits(Protocol):
    """Where circuits are kept."""

    def __bool__(self) -> bool:
        """Whether any attempt has failed lately."""
        ...

    async def admit(self, call: Call) -> Ticket | None:
        """Let an attempt through, or raise BreakerOpen. None where nothing has failed."""
        ...

    async def settle(self, call: Call, ticket: Ticket | None, error: BaseException | None) -> None:
        """Take in how an attempt has ended."""
        ...


def breaker(circuits: Circuits) -> Middleware:
    """Middleware that refuses attempts at what keeps failing: BreakerOpen. Undos are always let through."""

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            if call.takes_back or call.plugin.kind == "undo":
                return await handler(call)
            ticket = await circuits.admit(call) if circuits else None
            try:
                result = await handler(call)
            except BaseException as error:
                if ticket is not None or counts(error):
                    await circuits.settle(call, ticket, error)
                raise
            if ticket is not None:
                await circuits.settle(call, ticket, None)
            return result

        return call

    return around


def refusal(operation: str, target: str, circuit: Circuit, now: float) -> BreakerOpen:
    """The error of an attempt that was not let through."""
    return BreakerOpen(operation=operation, target=target, failures=circuit.failures, after=circuit.until - now)
