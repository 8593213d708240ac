"""Observes a metric without end, and says after each writing of its history how many samples were seen before it."""

from __future__ import annotations

import asyncio
import itertools
import sys

from automation import AutomationConfig, AutomationEngine
from automation.model.history import History, MetricSettings, Resolution


async def main(url: str, folder: str) -> None:
    """Run until killed."""
    lengths = (Resolution(seconds=1, days=1), Resolution(seconds=10, days=2))
    settings = MetricSettings(history=History(resolutions=lengths))
    async with AutomationEngine(AutomationConfig(database_url=url, data_dir=folder, metrics=settings)) as engine:
        written = 0
        for number in itertools.count(1):
            await engine.observe("heat", 1.0, subject="oven")
            if number % 50 == 0:
                await asyncio.sleep(0.01)
                line = await engine.samples.history.read("heat", 10, 0, engine.clock.now())
                stored = sum(bucket.count for bucket in line[0].buckets) if line else 0
                unsaved = sum(bucket.count for bucket in engine.metric_store.series("heat")[0].unsaved())
                if stored - unsaved > written:
                    written = stored - unsaved
                    print("written", written, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
