"""An attempt that gives no sign of life for too long is ended, however long it may take in all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.actions.heartbeat import Pulse
from automation.errors import HeartbeatTimeout


def heartbeat() -> Middleware:
    """Middleware that ends an attempt without a heartbeat for `heartbeat_timeout_seconds`: HeartbeatTimeout."""

    def around(handler: Handler) -> Handler:
        async def watched(call: Call, pulse: Pulse, limit: float) -> Any:
            # The time in which it waited for its place does not count.
            pulse.last = pulse.clock.monotonic()
            loop = asyncio.get_running_loop()
            silence = loop.create_task(_silence(pulse, limit))
            task = loop.create_task(_outcome(handler(call)))
            try:
                await asyncio.wait({task, silence}, return_when=asyncio.FIRST_COMPLETED)
                if not task.done():
                    raise HeartbeatTimeout(seconds=limit)
                return task.result()
            finally:
                silence.cancel()
                if not task.done():
                    # What ignores this is left behind by the time limit, within its seconds of grace.
                    task.cancel()
                    await asyncio.wait({task})
                    # What it says to its end is of no interest any more.
                    _ = task.cancelled() or task.exception()

        def call(call: Call) -> Awaitable[Any]:
            limit = call.context.heartbeat_timeout_seconds
            if limit is None or call.pulse is None:
                # The usual case, without a coroutine of its own.
                return handler(call)
            return watched(call, call.pulse, limit)

        return call

    return around


async def _outcome(work: Awaitable[Any]) -> Any:
    return await work


async def _silence(pulse: Pulse, limit: float) -> None:
    """Return once no heartbeat has come for so long."""
    while (left := pulse.last + limit - pulse.clock.monotonic()) > 0:
        await pulse.clock.sleep(left)
