"""Run a handler where it belongs: on the event loop, in a thread, or in another process."""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from automation.actions.call import Call
from automation.actions.context import ActionContext
from automation.errors import TryLater


class Invoker:
    """Calls handlers: `async def` on the loop, plain functions in a thread, CPU-bound ones in a process."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    async def __call__(self, call: Call) -> Any:
        """The handler's result."""
        function = call.plugin.function
        if call.plugin.kind == "undo":
            return await self._undo(call)
        if call.plugin.asynchronous:
            return await function(call.settings, call.context)
        if call.plugin.options.get("cpu_bound"):
            return await self._in_process(call)
        return await in_thread(function, call.settings, call.context)

    async def _undo(self, call: Call) -> Any:
        function = call.plugin.function
        if call.plugin.asynchronous:
            return await function(call.settings, call.result, call.context)
        return await in_thread(function, call.settings, call.result, call.context)

    async def _in_process(self, call: Call) -> Any:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._processes, mp_context=get_context("spawn"))
        context = call.context
        facts = {
            "execution_id": context.execution_id,
            "workflow": context.workflow,
            "action": context.action,
            "operation": context.operation,
            "attempt": context.attempt,
            "started_at": context.started_at,
            "timeout_seconds": context.timeout_seconds,
            "event": dict(context.event),
        }
        module, name = call.plugin.home
        work = (module, name, call.settings.model_dump() if call.settings else {}, facts)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _work, *work)
        except BrokenProcessPool:
            self._pool = None
            raise TryLater("the process that ran the action died") from None

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _work(module: str, name: str, parameters: dict[str, Any], facts: dict[str, Any]) -> Any:
    from automation.plugins import settings_model

    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    return function(settings_model(function).model_validate(parameters), ActionContext(**facts))


async def in_thread(function: Any, *arguments: Any) -> Any:
    """Call a plain function in a thread of its own: a daemon, so that one that never ends cannot keep the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def finish(result: Any, error: BaseException | None) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as caught:  # noqa: BLE001 - carried over to whoever awaits
            error = caught
        try:
            loop.call_soon_threadsafe(finish, result, error)
        except RuntimeError:
            # The loop was closed while the function ran: nobody waits any more.
            pass

    threading.Thread(target=run, name=f"automation-{getattr(function, '__name__', 'action')}", daemon=True).start()
    return await future
