"""Waiting within a request: not longer than asked, and not longer than the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def patiently(work: Awaitable[T], closing: asyncio.Event, seconds: float) -> T | None:
    """What `work` gives, or None if it takes longer than `seconds` or the server stops before; it is then cancelled."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait({task, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        stop.cancel()
        if task.cancel():
            await asyncio.wait({task})
