"""Count and time every attempt."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.actions.context import Suspend
from automation.telemetry.metrics import Metrics


def measure(metrics: Metrics) -> Middleware:
    """Middleware that counts attempts by operation and outcome, and times them."""

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            operation = call.plugin.name
            begin = perf_counter()
            status = "failed"
            try:
                result = await handler(call)
                status = "succeeded"
                return result
            except Suspend:
                status = "waiting"
                raise
            finally:
                metrics.action_duration.observe(operation, perf_counter() - begin)
                metrics.action_executions.add(operation, status)

        return call

    return around
