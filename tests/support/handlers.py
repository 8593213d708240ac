"""Operations that tests use: they record what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field

from automation import ActionContext, Refused, Suspend, TryLater, action, undo


class Value(BaseModel):
    value: Any = None
    values: dict[str, Any] = Field(default_factory=dict)


calls: list[tuple[str, Any]] = []
"""Every call: (action's name, value)."""


@action("test.record")
async def record(params: Value, context: ActionContext) -> dict[str, Any]:
    """Record the call and return the values."""
    calls.append((context.action, params.value))
    return params.values


@action("test.read", effect="read")
async def read(params: Value, context: ActionContext) -> dict[str, Any]:
    """Read something."""
    calls.append((context.action, params.value))
    return {"read": params.value}


@action("test.critical", effect="critical")
async def critical(params: Value, context: ActionContext) -> dict[str, Any]:
    """Do something critical."""
    calls.append((context.action, params.value))
    return {}


class Fail(BaseModel):
    times: int = 1_000_000
    how: str = "refused"


@action("test.fail")
async def fail(params: Fail, context: ActionContext) -> dict[str, Any]:
    """Fail the first so many attempts, in the wanted way."""
    calls.append((context.action, context.attempt))
    if context.attempt > params.times:
        return {"attempt": context.attempt}
    if params.how == "refused":
        raise Refused("it will not work")
    if params.how == "later":
        raise TryLater("not now")
    if params.how == "exit":
        raise SystemExit(3)
    if params.how == "halves":
        raise ValueError("/srv/\udcff is no file")
    raise ValueError("something broke")


broken: set[str] = set()
"""Actions whose `test.mend` refuses, until a test mends them."""


@action("test.mend")
async def mend(params: Value, context: ActionContext) -> dict[str, Any]:
    """Fail as long as it is broken."""
    calls.append((context.action, context.attempt))
    if context.action in broken:
        raise Refused("it is broken")
    return {"mended": context.action}


gates: dict[Any, asyncio.Event] = {}
"""For each value: set when `test.gate` may end."""


def open_gate(value: Any) -> None:
    """Let the actions with this value end."""
    gates.setdefault(value, asyncio.Event()).set()


@action("test.gate")
async def gate(params: Value, context: ActionContext) -> dict[str, Any]:
    """Be under way until the gate of its value is opened."""
    calls.append((context.action, params.value))
    await gates.setdefault(params.value, asyncio.Event()).wait()
    return {}


class Pause(BaseModel):
    seconds: float = 60.0
    stubborn: bool = False


@action("test.pause")
async def pause(params: Pause, context: ActionContext) -> dict[str, Any]:
    """Take long by the engine's clock; when stubborn, ignore being cancelled for a while."""
    calls.append((context.action, "begin"))
    try:
        await context.clock.sleep(params.seconds)
    except asyncio.CancelledError:
        if not params.stubborn:
            calls.append((context.action, "cancelled"))
            raise
        await context.clock.sleep(params.seconds)
    return {}


@action("test.wait", idempotent=True, effect="read")
async def wait(params: Pause, context: ActionContext) -> dict[str, Any]:
    """Wait in a way that survives a restart."""
    due = context.started_at + params.seconds
    if context.now() < due:
        raise Suspend(due, "waiting")
    calls.append((context.action, "waited"))
    return {}


@action("test.strange")
async def strange(params: Value, context: ActionContext) -> Any:
    """Return what cannot be stored."""
    return {"y": object()} if params.value is None else {"x": float("nan")}


@action("test.plain")
def plain(params: Value, context: ActionContext) -> dict[str, Any]:
    """A plain function: runs in a thread."""
    import threading

    return {"thread": threading.current_thread().name, "value": params.value}


@action("test.heavy", cpu_bound=True, effect="read")
def heavy(params: Value, context: ActionContext) -> dict[str, Any]:
    """A CPU-bound function: runs in a process."""
    import os

    return {"pid": os.getpid(), "value": params.value}


undo_hook: Callable[[Any], None] | None = None
"""Called with the value of the parameters of each undo."""


@undo("test.record")
async def unrecord(params: Value, result: Any, context: ActionContext) -> None:
    """Take a record back."""
    calls.append((context.action, result))
    if undo_hook is not None:
        undo_hook(params.value)
    if params.value == "stuck":
        raise Refused("it is stuck")
