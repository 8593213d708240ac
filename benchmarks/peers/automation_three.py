"""This engine: `python -m benchmarks.peers.automation_three FOLDER URL AT_ONCE TURNS`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from automation import WorkflowStatus, __version__
from benchmarks import engines


async def main(folder: str, url: str, at_once: int, turns: int) -> None:
    """Workflows of three actions, so many at once, so often."""
    async with engines.engine(Path(folder), url) as engine:
        await engine.register_workflow(engines.THREE)
        await asyncio.gather(*(engine.execute_workflow("three", engines.numbered(0)) for _ in range(20)))
        begin, processor = time.perf_counter(), time.process_time()
        for _ in range(turns):
            results = await asyncio.gather(
                *(engine.execute_workflow("three", engines.numbered(number)) for number in range(at_once))
            )
            assert all(result.status is WorkflowStatus.SUCCEEDED for result in results)
        seconds, used = time.perf_counter() - begin, time.process_time() - processor
    found = {"version": __version__, "actions": at_once * turns * 3, "seconds": seconds, "processor": used}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
