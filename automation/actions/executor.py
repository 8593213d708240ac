"""Runs one attempt of an action through the middleware."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.actions.invoke import Invoker
from automation.actions.middleware.guard import guard
from automation.actions.middleware.measure import measure
from automation.actions.middleware.slots import Slots, limit
from automation.actions.middleware.storable import MAX_BYTES, storable
from automation.actions.middleware.timeout import timeout
from automation.actions.middleware.validate import validate
from automation.telemetry.metrics import Metrics


class Executor:
    """Runs attempts of actions. The order of the middleware, outermost first, is the list below."""

    def __init__(
        self,
        metrics: Metrics,
        max_concurrent_actions: int,
        further: Sequence[Middleware] = (),
        *,
        max_result_bytes: int = MAX_BYTES,
    ) -> None:
        self.slots = Slots(max_concurrent_actions)
        self._invoker = Invoker(processes=os.cpu_count() or 1)
        self._middleware: tuple[Middleware, ...] = (
            measure(metrics),
            guard(),
            storable(max_result_bytes),
            validate(),
            limit(self.slots),
            *further,
            timeout(),
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
