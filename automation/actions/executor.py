"""Runs one attempt of an action through the middleware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.actions.invoke import Invoker
from automation.actions.middleware.guard import guard
from automation.actions.middleware.heartbeat import heartbeat
from automation.actions.middleware.measure import measure
from automation.actions.middleware.slots import Slots, limit
from automation.actions.middleware.storable import storable
from automation.actions.middleware.timeout import timeout
from automation.actions.middleware.validate import validate
from automation.clock import Clock
from automation.config import AutomationConfig
from automation.plugins import Runs
from automation.telemetry.metrics import Metrics


class Executor:
    """Runs attempts of actions. The order of the middleware, outermost first, is the list below."""

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        config: AutomationConfig,
        further: Sequence[Middleware] = (),
        *,
        breakers: Sequence[Middleware] = (),
    ) -> None:
        now, performance = clock.monotonic, config.performance
        one = not performance.async_execution
        self.slots = Slots(1 if one else config.max_concurrent_actions, now, one_lane=one)
        self._invoker = Invoker(performance.thread_pool_size, performance.process_pool_size)
        outside: dict[Runs, Slots] = {
            "thread": Slots(performance.thread_pool_size, now),
            "process": Slots(performance.process_pool_size, now),
        }
        metrics.stray_threads.set_function(lambda: self._invoker.threads.stray)
        self._middleware: tuple[Middleware, ...] = (
            measure(metrics),
            guard(),
            storable(config.store.max_result_bytes),
            validate(),
            limit(self.slots, outside),
            *breakers,
            heartbeat(),
            *further,
            timeout(metrics),
        )
        handler: Handler = self._invoker
        for middleware in reversed(self._middleware):
            handler = middleware(handler)
        self._handler = handler

    async def execute(self, call: Call) -> Any:
        """What the handler returned, as plain JSON values; raises ActionError, or Suspend for a wait."""
        return await self._handler(call)

    def close(self) -> None:
        """End what runs beside the event loop."""
        self._invoker.close()
