"""Operations whose every run leaves lines in a file, so that a test can see from the outside what really ran.

The file is named by the variable `SIDE_EFFECTS`. A line is on disk before the operation goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from automation import ActionContext, TryLater, WorkflowDefinition, action, undo


class Work(BaseModel):
    seconds: float = 0.0
    fail_times: int = 0
    """How many of the first attempts fail."""
    die: bool = False
    """Whether the first run of all kills this process, in the middle."""
    count_to: int = 0
    """Up to how much `side.count` counts."""
    die_undone: bool = False
    """Whether the first undo of all does."""


def note(what: str, context: ActionContext) -> None:
    """Append a line, and see it onto the disk."""
    line = {
        "what": what,
        "execution": context.execution_id,
        "action": context.action,
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "at": time.time(),
        "pid": os.getpid(),
    }
    file = os.open(os.environ["SIDE_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def read(file: Path) -> list[dict[str, Any]]:
    """All lines."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _die_once() -> None:
    mark = Path(os.environ["SIDE_EFFECTS"] + ".died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


async def _work(params: Work, context: ActionContext) -> dict[str, Any]:
    note("begin", context)
    if params.die:
        _die_once()
    await asyncio.sleep(params.seconds)
    if context.attempt <= params.fail_times:
        note("fail", context)
        raise TryLater("not yet")
    note("end", context)
    return {"attempt": context.attempt}


@action("side.once")
async def once(params: Work, context: ActionContext) -> dict[str, Any]:
    """Must not be run again when nobody knows how far it came."""
    return await _work(params, context)


@action("side.again", idempotent=True)
async def again(params: Work, context: ActionContext) -> dict[str, Any]:
    """May be run again with the same key."""
    return await _work(params, context)


@action("side.look", effect="read")
async def look(params: Work, context: ActionContext) -> dict[str, Any]:
    """Changes nothing."""
    return await _work(params, context)


@action("side.count", idempotent=True)
async def count(params: Work, context: ActionContext) -> dict[str, Any]:
    """Count, a heartbeat each, from where an earlier attempt was; returns where it has begun."""
    note("begin", context)
    begun = (context.last_heartbeat or {"count": 0})["count"]
    for number in range(begun, params.count_to):
        context.heartbeat({"count": number + 1})
        await asyncio.sleep(params.seconds)
    note("end", context)
    return {"begun": begun, "attempt": context.attempt}


@action("side.critical", effect="critical")
async def critical(params: Work, context: ActionContext) -> dict[str, Any]:
    """As `side.once`, and a person is asked before."""
    return await _work(params, context)


@action("side.undoable")
async def undoable(params: Work, context: ActionContext) -> dict[str, Any]:
    """As `side.once`, and can be taken back."""
    return await _work(params, context)


@undo("side.undoable")
async def take_back(params: Work, result: Any, context: ActionContext) -> None:
    """Take it back; takes as long as it took."""
    note("begin", context)
    if params.die_undone:
        _die_once()
    await asyncio.sleep(params.seconds)
    note("end", context)


@action("side.threaded")
def threaded(params: Work, context: ActionContext) -> dict[str, Any]:
    """As `side.once`, a plain function."""
    note("begin", context)
    time.sleep(params.seconds)
    note("end", context)
    return {}


class OnService(Work):
    service_name: str = "api"


@action("side.on", idempotent=True, target="service_name")
async def on(params: OnService, context: ActionContext) -> dict[str, Any]:
    """Act on a service."""
    return await _work(params, context)


async def _tick_on(context: ActionContext, swallowed: type[BaseException]) -> None:
    note("begin", context)
    while True:
        try:
            await asyncio.sleep(0.02)
            note("tick", context)
        except swallowed:
            note("swallowed", context)


@action("side.stubborn")
async def stubborn(params: Work, context: ActionContext) -> None:
    """Never end, and ignore being cancelled."""
    await _tick_on(context, asyncio.CancelledError)


@action("side.deaf")
async def deaf(params: Work, context: ActionContext) -> None:
    """Never end, and ignore whatever is raised."""
    await _tick_on(context, BaseException)


@action("side.endless_thread")
def endless_thread(params: Work, context: ActionContext) -> None:
    """Never end, in a thread."""
    note("begin", context)
    while True:
        time.sleep(0.02)


@action("side.endless_process", cpu_bound=True)
def endless_process(params: Work, context: ActionContext) -> None:
    """Never end, in a process of its own."""
    note("begin", context)
    while True:
        time.sleep(0.02)
        note("tick", context)


REPEATABLE = frozenset({"side.again", "side.count", "side.look", "side.on"})
"""Operations that are run again after an interruption unless their definition says otherwise."""

_RETRY = {"attempts": 4, "initial_seconds": 0.02, "max_seconds": 0.1}


def _act(name: str, operation: str = "side.once", **further: Any) -> dict[str, Any]:
    work = {key: further.pop(key) for key in ("seconds", "fail_times", "die", "die_undone") if key in further}
    return {"name": name, "action_type": operation, "parameters": work, **further}


def _workflow(name: str, *actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": name, "actions": actions, **further})


GUARDED = (
    _workflow("acts", _act("act", "side.on")),
    _workflow("breaks", _act("broken", "side.on", fail_times=9, retry={**_RETRY, "attempts": 2})),
)
"""One that has a cooldown, and one (on another service) whose circuit opens."""
GUARDED[1].actions[0].parameters["service_name"] = "web"

WORKFLOWS = (
    _workflow("chain", _act("a", seconds=0.01), _act("b", "side.again"), _act("c", "side.look"), _act("d")),
    _workflow(
        "retries",
        _act("a", "side.again", fail_times=1, retry=_RETRY),
        _act("b", seconds=0.01),
        _act("c", fail_times=2, retry=_RETRY),
    ),
    _workflow(
        "waits",
        _act("a"),
        {"name": "short", "action_type": "flow.wait", "parameters": {"seconds": 0.1}},
        _act("b", "side.again"),
        {"name": "long", "action_type": "flow.wait", "parameters": {"seconds": 1.3}},
        _act("c"),
    ),
    _workflow(
        "branches",
        _act("a", seconds=0.02, depends_on=[]),
        _act("b", "side.again", seconds=0.01, depends_on=[]),
        _act("c", "side.threaded", depends_on=[]),
        _act("join", depends_on=["a", "b", "c"]),
    ),
    _workflow("wanted", _act("a", seconds=0.02, on_interrupt="retry"), _act("b", on_interrupt="retry"), _act("c")),
    _workflow(
        "cleanup",
        _act("a", "side.again", seconds=0.01, on_interrupt="fail"),
        {"name": "broken", "action_type": "flow.fail", "parameters": {"message": "on purpose"}},
        _act("b"),
        _act("tidy", "side.again", always=True),
    ),
    _workflow(
        "rolls_back",
        _act("a", "side.undoable"),
        _act("b", "side.undoable", seconds=0.01),
        _act("c", "side.again"),
        _act("d", "side.undoable"),
        {"name": "broken", "action_type": "flow.fail", "parameters": {"message": "on purpose"}},
        rollback_strategy={"triggers": ["action_failure"], "max_rollback_time": 600},
    ),
    _workflow("asks", _act("a", "side.again"), _act("b", "side.critical"), _act("c", "side.again")),
    _workflow("skips", _act("a", conditions=["1 > 2"]), _act("b", "side.again", conditions=["1 > 2"])),
    _workflow(
        "handler",
        _act("a"),
        {
            "name": "b",
            "action_type": "flow.set",
            "parameters": {"values": {"number": "${event.data.number}"}},
        },
        triggers=[{"type": "event", "event": "thing"}],
    ),
)
