"""Runs the retention while the engine runs: one run an interval, on whichever node finds that it is due."""

from __future__ import annotations

import asyncio
import logging

from automation.clock import Clock
from automation.config import AutomationConfig
from automation.errors import StoreError
from automation.retention.sweep import POSITION, Sweep
from automation.store import records
from automation.store.store import Store
from automation.telemetry.metrics import Metrics

log = logging.getLogger("automation.retention")

START_SECONDS = 60.0
"""How long after the start of the engine the first run may be: at first, recovery has the database for itself."""

RETRY_SECONDS = 60.0
"""How long to wait after a run that failed."""


class Keeper:
    """Deletes what is past its time, every `retention.interval_seconds`."""

    def __init__(self, store: Store, clock: Clock, config: AutomationConfig, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._settings = config.retention
        self._metrics = metrics
        self._sweep = Sweep(store, clock, config, self._count)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless the configuration does not want it."""
        if self._settings.enabled:
            self._task = asyncio.get_running_loop().create_task(self._loop(), name="automation-retention")

    async def stop(self) -> None:
        """End; a run that is under way is broken off between two transactions."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _loop(self) -> None:
        pause = START_SECONDS
        while True:
            await self._clock.sleep(pause)
            try:
                pause = await self._left()
                if pause > 0:
                    continue
                swept = await self._sweep.run()
                self._metrics.retention_last_run.set(self._clock.now())
                if swept.deleted:
                    log.info("retention: %s", ", ".join(f"{rows} {table}" for table, rows in swept.deleted.items()))
                pause = self._settings.interval_seconds
            except StoreError as error:
                log.error("retention: %s", error.message)
                pause = RETRY_SECONDS
            except Exception:
                # Whatever goes wrong here, the engine goes on, and the next run may go well.
                log.exception("retention failed; it is tried again")
                pause = RETRY_SECONDS

    async def _left(self) -> float:
        """Seconds until the next run is due, whichever node had the last one."""
        found = await records.all_positions(self._store, POSITION)
        last = found.get("", {}).get("at", 0.0)
        return float(last) + self._settings.interval_seconds - self._clock.now()

    def _count(self, table: str, rows: int) -> None:
        self._metrics.retention_deleted.labels(table).inc(rows)
