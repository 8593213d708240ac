"""Who waits in this process for the end of an execution."""

from __future__ import annotations

import asyncio

from automation.errors import AutomationError
from automation.model.execution import ExecutionResult

Ending = asyncio.Future[ExecutionResult | None]
"""Done when an execution has ended here; with None when it has left memory to wait for something."""


class Waiters:
    """Hands the ends of executions to those who wait for them."""

    def __init__(self) -> None:
        self._endings: dict[str, list[Ending]] = {}

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._endings

    def ending(self, execution_id: str) -> Ending:
        """A future for the end of an execution; give it back with `forget`."""
        future: Ending = asyncio.get_running_loop().create_future()
        self._endings.setdefault(execution_id, []).append(future)
        return future

    def forget(self, execution_id: str, future: Ending) -> None:
        """Nobody waits for this future any more."""
        waiting = self._endings.get(execution_id)
        if waiting is None:
            return
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            del self._endings[execution_id]

    def tell(self, execution_id: str, result: ExecutionResult | None) -> None:
        """It has ended, or has left memory."""
        for future in self._endings.pop(execution_id, ()):
            if not future.done():
                future.set_result(result)

    def fail(self, execution_id: str, error: AutomationError) -> None:
        """It goes on no further here."""
        for future in self._endings.pop(execution_id, ()):
            if not future.done():
                future.set_exception(error)

    def cancel(self) -> None:
        """The engine stops: nobody learns how anything ends."""
        for waiting in self._endings.values():
            for future in waiting:
                future.cancel()
