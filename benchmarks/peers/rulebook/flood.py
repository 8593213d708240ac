"""A source of ansible-rulebook: so many events, and one that says that they are over."""

from __future__ import annotations

import asyncio
import time
from typing import Any


async def main(queue: asyncio.Queue[dict[str, Any]], args: dict[str, Any]) -> None:
    """Give the same events as `benchmarks.publish` gives."""
    types = args["types"]
    print("begin", time.perf_counter(), flush=True)
    for number in range(args["count"]):
        host = f"host-{number % 50}"
        load = 91 if number % 100 == 7 else 50
        await queue.put(
            {
                "type": f"type-{number % types}",
                "subject": host,
                "source": "flood",
                "id": str(number),
                "load": load,
                "host": host,
            }
        )
    await queue.put({"type": "end"})
    await asyncio.Event().wait()
