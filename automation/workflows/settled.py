"""Work that is not broken off in the middle, and not given up because the database cannot be used in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from automation.errors import StoreUnavailable
from automation.store import writer

T = TypeVar("T")


async def settled(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives. Cancelled meanwhile, it is done first, and the cancellation is heeded then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, waiting out a database that cannot be used now: an execution must not be lost for that."""
    pause, longest = writer.PATIENCE_SECONDS
    while True:
        try:
            return await work()
        except StoreUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)
