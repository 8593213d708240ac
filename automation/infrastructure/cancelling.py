"""Ending tasks that run what others have written: a library may lose a cancellation, or make an error of it.

Before Python 3.12 `asyncio.wait_for`, which libraries use, loses one that comes just as what it waits for is done
(CPython issue 86296).
"""

from __future__ import annotations

import asyncio

AGAIN_SECONDS = 5.0
"""How long a task that is cancelled may clean up before it is cancelled again; real seconds."""


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended; what it raises is left with it."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)


def is_ending() -> bool:
    """Whether the task that asks is to end: what it has just caught may be what became of its cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
