"""Run a handler where it belongs: on the event loop, in a thread, or in another process."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from automation.actions.call import Call
from automation.actions.context import ActionContext
from automation.actions.processes import Processes, Work
from automation.actions.threads import Threads


class Invoker:
    """Calls handlers: `async def` on the loop, plain functions in a thread, CPU-bound ones in a process."""

    def __init__(self, threads: int, processes: int) -> None:
        self.threads = Threads(keep=threads)
        self._processes = Processes(self.threads, keep=processes)

    async def __call__(self, call: Call) -> Any:
        """The handler's result."""
        plugin = call.plugin
        if plugin.runs == "loop":
            return await plugin.call(*_arguments(call, call.context))
        if plugin.runs == "process":
            return await self._processes.run(_work(call), call.context.hears)
        cancellation = threading.Event()
        context = msgspec.structs.replace(call.context, cancellation=cancellation)
        arguments = _arguments(call, context)[: plugin.takes]
        return await self.threads.run(plugin.function, *arguments, cancel=cancellation.set)

    def close(self) -> None:
        """End the threads and processes."""
        self._processes.close()
        self.threads.close()


def _arguments(call: Call, context: ActionContext) -> tuple[Any, ...]:
    return (call.settings, call.result, context) if call.plugin.kind == "undo" else (call.settings, context)


def _work(call: Call) -> Work:
    context = call.context
    facts = {
        "execution_id": context.execution_id,
        "workflow": context.workflow,
        "action": context.action,
        "operation": context.operation,
        "attempt": context.attempt,
        "iteration": context.iteration,
        "started_at": context.started_at,
        "timeout_seconds": context.timeout_seconds,
        "last_heartbeat": context.last_heartbeat,
        "event": dict(context.event),
    }
    module, name = call.plugin.home
    return Work(module, name, call.settings.model_dump() if call.settings else {}, facts)
