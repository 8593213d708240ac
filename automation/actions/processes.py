"""Processes for handlers that are bound by the CPU. Unlike a thread, one that goes on too long can be ended.

A process of its own session for each handler that runs at the same time, kept for the next one. Cancelling kills the
process with all that it has started; a new one takes its place when it is needed.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from automation.actions.context import ActionContext
from automation.actions.threads import Threads
from automation.errors import ActionCrashed, AutomationError, TryLater

_spawn = get_context("spawn")


@dataclass(frozen=True, slots=True)
class Work:
    """One call, as it goes to another process: where the function is, and what it is given."""

    module: str
    name: str
    parameters: dict[str, Any]
    context: dict[str, Any]

    def do(self, hears: Callable[[Any], None]) -> Any:
        """Call the function; its heartbeats go where the engine hears them."""
        from automation.plugins import settings_model, taken

        function: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            function = getattr(function, part)
        context = ActionContext(**self.context, hears=hears)
        settings = settings_model(function).model_validate(self.parameters)
        return function(*(settings, context)[: taken(function)])


class _Line:
    """What leads from a worker to the engine during one call: heartbeats, and then nothing but its outcome."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # A handler may give heartbeats from threads of its own, which may outlive it.
        self._lock = threading.Lock()
        self._over = False

    def beat(self, details: Any) -> None:
        """Send a heartbeat, unless the call is over: it would be taken for one of the next call."""
        with self._lock:
            if not self._over:
                self._connection.send((None, details))

    def close(self) -> None:
        """Let no heartbeat through from here on."""
        with self._lock:
            self._over = True


class Worker:
    """One process. What blocks here is called in a thread."""

    def __init__(self) -> None:
        self._ours, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(theirs,), name="automation-worker")
        self._process.start()
        theirs.close()
        self._lost = False

    def ask(self, work: Work, heard: Callable[[Any], None] | None = None) -> Any:
        """Have it done; raises what the function raises, or TryLater if the process dies. Heartbeats go to `heard`."""
        try:
            self._ours.send(work)
            well, value = self._ours.recv()
            while well is None:
                if heard is not None:
                    heard(value)
                well, value = self._ours.recv()
        except (EOFError, OSError):
            # It may be seen for a moment yet, while the kernel takes it down.
            self._lost = True
            raise TryLater("the process that ran the action died") from None
        if well:
            return value
        raise value

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._lost and self._process.is_alive()

    def kill(self) -> None:
        """End it with all that it has started; returns at once."""
        pid = self._process.pid
        assert pid is not None
        if self._process.is_alive():
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                # So young that it has no group of its own yet.
                self._process.kill()

    def bury(self) -> None:
        """Wait until it has ended, and close what led to it."""
        self._process.join()
        self._ours.close()


class Processes:
    """Has handlers called in other processes."""

    def __init__(self, threads: Threads, keep: int) -> None:
        self._threads = threads
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._closed = False

    async def run(self, work: Work, heard: Callable[[Any], None] | None = None) -> Any:
        """What the handler returns; its heartbeats go to `heard`, in a thread.

        When cancelled, its process is killed before that is raised.
        """
        self._closed = False  # an engine that was stopped may be started again
        errand = _Errand()
        return await self._threads.run(self._do, work, errand, heard, cancel=errand.cancel)

    def close(self) -> None:
        """End all processes, working or not."""
        self._closed = True
        atexit.unregister(self.close)
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.bury()

    def _do(self, work: Work, errand: _Errand, heard: Callable[[Any], None] | None) -> Any:
        worker = self._take()
        if not errand.begin(worker):
            self._give_back(worker)
            return None
        try:
            return worker.ask(work, heard)
        finally:
            if errand.end() and worker.alive:
                self._give_back(worker)
            else:
                self._lose(worker)

    def _take(self) -> Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._all.discard(worker)
            if not self._all:
                # The interpreter waits for its child processes when it ends, and they wait for work.
                atexit.register(self.close)
        worker = Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._keep:
                self._idle.append(worker)
                return
        self._lose(worker)

    def _lose(self, worker: Worker) -> None:
        worker.kill()
        with self._lock:
            known = worker in self._all
            self._all.discard(worker)
        if known:
            worker.bury()


class _Errand:
    """One call on its way, which may be cancelled before its process is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._cancelled = False

    def begin(self, worker: Worker) -> bool:
        """Whether it is still wanted, now that there is a process for it."""
        with self._lock:
            self._worker = worker
            return not self._cancelled

    def end(self) -> bool:
        """Whether it came to its end without being cancelled; from now on its process is somebody else's."""
        with self._lock:
            self._worker = None
            return not self._cancelled

    def cancel(self) -> None:
        """It is not wanted any more."""
        with self._lock:
            self._cancelled = True
            if self._worker is not None:
                self._worker.kill()


def _serve(connection: Connection) -> None:
    """What a worker does: one call after the other, until the engine is gone."""
    with contextlib.suppress(OSError):
        # A session of its own: an interrupt from the terminal is for the engine, and killing its group kills no other.
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            work = connection.recv()
        except (EOFError, OSError):
            return
        line = _Line(connection)
        well, value = _outcome(work, line)
        line.close()
        try:
            connection.send((well, value))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            connection.send((False, ActionCrashed(f"the action returned what cannot be handed over: {error}")))
        except OSError:
            return


def _outcome(work: Work, line: _Line) -> tuple[bool, Any]:
    try:
        return True, work.do(line.beat)
    except AutomationError as error:
        return False, error
    except SystemExit as error:
        return False, ActionCrashed(f"the handler called sys.exit({error.code!r})")
    except BaseException as error:  # noqa: BLE001 - carried over to the engine, in a form that can be
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno} in {frame.name}"
        traceback.print_exc(file=sys.stderr)
        return False, ActionCrashed(f"{type(error).__name__}: {error}", where=where, kind=type(error).__name__)


def _end_with_parent() -> None:
    """An engine that was killed cannot say so, and what it started must not go on for nobody."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpid(), signal.SIGKILL)
