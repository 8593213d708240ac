"""Operations that keep a thread, a processor or a process busy."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from automation import ActionContext, action


class Busy(BaseModel):
    seconds: float = 0.0
    file: str = ""


class Gate:
    """Functions wait here; how many do at the same time is seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = threading.Event()
        self.inside = 0
        self.most = 0
        self.passed = 0

    def enter(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1
            self.passed += 1


gate = Gate()


def new_gate() -> Gate:
    global gate
    gate = Gate()
    return gate


@action("busy.gate")
def wait_at_gate(params: Busy, context: ActionContext) -> dict[str, Any]:
    """Wait until the gate is open."""
    here = gate
    here.enter()
    try:
        here.open.wait(params.seconds or 60.0)
    finally:
        here.leave()
    return {"thread": threading.get_ident()}


@action("busy.pulse", effect="read")
def pulse(params: Busy, context: ActionContext) -> dict[str, Any]:
    """Give heartbeats, then be silent until told to stop; with those of an earlier attempt, return them."""
    return _pulse(context)


@action("busy.pulse_process", cpu_bound=True, effect="read")
def pulse_process(params: Busy, context: ActionContext) -> dict[str, Any]:
    """The same, in a process."""
    return _pulse(context)


def _pulse(context: ActionContext) -> dict[str, Any]:
    if context.last_heartbeat is not None:
        return {"found": context.last_heartbeat}
    for beats in range(1, 4):
        context.heartbeat({"beats": beats})
        time.sleep(0.02)
    while not context.cancelled:
        time.sleep(0.005)
    return {}


@action("busy.polite")
def polite(params: Busy, context: ActionContext) -> dict[str, Any]:
    """Go on until told to stop."""
    here = gate
    here.enter()
    try:
        while not context.cancelled:
            time.sleep(0.005)
    finally:
        here.leave()
    return {"stopped": True}


@action("busy.sleep", effect="read")
def sleep(params: Busy, context: ActionContext) -> dict[str, Any]:
    """Block a thread."""
    time.sleep(params.seconds)
    return {}


@action("busy.spin", effect="read")
def spin(params: Busy, context: ActionContext) -> dict[str, Any]:
    """Hold the processor, and the interpreter's lock."""
    end = time.monotonic() + params.seconds
    turns = 0
    while time.monotonic() < end:
        turns += 1
    return {"turns": turns}


@action("busy.block", effect="read")
async def block(params: Busy, context: ActionContext) -> dict[str, Any]:
    """What no handler should do: block the event loop."""
    time.sleep(params.seconds)  # noqa: ASYNC251 - that is the point
    return {}


@action("busy.compute", cpu_bound=True, effect="read")
def compute(params: Busy, context: ActionContext) -> dict[str, Any]:
    """Compute in a process for so long; write down which one, and a program that it has started."""
    if params.file:
        child = subprocess.Popen(["sleep", "600"])
        Path(params.file).write_text(f"{os.getpid()} {child.pid}")
    end = time.monotonic() + params.seconds
    while time.monotonic() < end:
        pass
    return {"pid": os.getpid()}


@action("busy.odd", cpu_bound=True, effect="read")
def odd(params: Busy, context: ActionContext) -> Any:
    """Misbehave in a process, as the file's name says."""
    if params.file == "die":
        os._exit(3)
    if params.file == "exit":
        raise SystemExit(4)
    if params.file == "return":
        return threading.Lock()
    raise _Picky("one", "two")


class _Picky(Exception):
    """An error that cannot be handed over to another process."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


@action("busy.moody")
def moody(params: Busy, context: ActionContext) -> None:
    """Raise."""
    raise ValueError("what is not a number")
