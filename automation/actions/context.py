"""What a running action is given beside its parameters."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from automation.actions.heartbeat import checked
from automation.clock import Clock, RealClock
from automation.errors import AutomationError

T = TypeVar("T")


class Suspend(BaseException):
    """Raised by a handler to be called again at `until` (seconds since the epoch): a wait that survives restarts.

    Not an Exception: a handler's own `except Exception` must not catch it.
    """

    def __init__(self, until: float, reason: str = "") -> None:
        super().__init__(until, reason)
        self.until = until
        self.reason = reason


class Await(Suspend):
    """Raised by a handler to be called again when what it waits for has come: for operations of the engine itself.

    `wait` is the id of the stored wait; `what` says in a word what it waits for.
    """

    def __init__(self, wait: str, what: str, reason: str) -> None:
        super().__init__(math.inf, reason)
        self.wait = wait
        self.what = what


class Resources:
    """What actions may use of the engine, by the protocol that they ask for."""

    def __init__(self) -> None:
        self._by_kind: dict[type[Any], Any] = {}

    def provide(self, kind: type[T], thing: T) -> None:
        """Offer `thing` to whoever asks for `kind`."""
        self._by_kind[kind] = thing

    def get(self, kind: type[T]) -> T:
        """What was offered for `kind`."""
        try:
            return cast(T, self._by_kind[kind])
        except KeyError:
            raise AutomationError(f"this engine offers no {kind.__name__} to actions") from None


class ActionContext(msgspec.Struct, frozen=True, eq=False):
    """What a running action is given beside its parameters."""

    execution_id: str = "none"
    workflow: str = "none"
    action: str = "none"
    operation: str = "none"
    attempt: int = 1
    started_at: float = 0.0
    """When the first attempt began, in seconds since the epoch; the same after a restart."""
    iteration: int = 1
    """Which run of it this is, where it has a `repeat`."""
    timeout_seconds: float = 300.0
    heartbeat_timeout_seconds: float | None = None
    """How long it may give no heartbeat."""
    last_heartbeat: Any = None
    """What the last heartbeat of an earlier attempt said, also of one that has died with its engine."""
    event: Mapping[str, Any] = msgspec.field(default_factory=dict)
    clock: Clock = msgspec.field(default_factory=RealClock)
    resources: Resources = msgspec.field(default_factory=Resources)
    secret: Callable[[str], str] | None = None
    cancellation: threading.Event | None = None
    """Of a plain function in a thread: set when its result is not wanted any more."""
    hears: Callable[[Any], None] | None = None
    """Where its heartbeats go."""

    @property
    def cancelled(self) -> bool:
        """Whether a plain function should end: its action was cancelled or its time is over.

        Nobody can end a thread from outside, so what takes long looks here now and then. An `async def` is told by
        `asyncio.CancelledError`, and the process of a CPU-bound one is killed.
        """
        return self.cancellation is not None and self.cancellation.is_set()

    def heartbeat(self, details: Any = None) -> None:
        """Say that it is alive and, as JSON, how far it has come. It returns at once; call it as often as you like.

        From `async def`, threads and processes alike. The next attempt finds the details as `last_heartbeat`; stored
        is the last of them, every few seconds. Raises Refused for what JSON cannot hold, and for more than 16 KiB.
        """
        told = checked(details)
        if self.hears is not None:
            self.hears(told)

    @property
    def idempotency_key(self) -> str:
        """The same for each attempt of this action, so that another system can recognise a repetition.

        Each iteration of a `repeat` has its own.
        """
        key = f"{self.execution_id}:{self.action}"
        return key if self.iteration == 1 else f"{key}#{self.iteration}"

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that carries the execution and the action."""
        return logging.LoggerAdapter(
            logging.getLogger("automation.actions"),
            {"execution_id": self.execution_id, "workflow": self.workflow, "action": self.action},
        )

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now()

    def resource(self, kind: type[T]) -> T:
        """A part of the engine that this action needs, by its protocol."""
        return self.resources.get(kind)
