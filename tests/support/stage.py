"""An engine in virtual time on a given database, of either kind, where `automation.testing` makes a file of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from automation import AutomationConfig, AutomationLevel, VirtualClock
from automation.testing import EngineUnderTest, Recorder, stage


@asynccontextmanager
async def engine_on(
    url: str, folder: Path, *, outcomes: Mapping[str, Any], level: AutomationLevel = AutomationLevel.AUTONOMOUS
) -> AsyncIterator[EngineUnderTest]:
    """As `automation.testing.engine`; the database, with the newest schema, is there already."""
    config = stage._config(AutomationConfig(), level, folder).model_copy(update={"database_url": url})
    recorder = Recorder(outcomes)
    first = EngineUnderTest(config, VirtualClock(), recorder)
    try:
        await first.start()
        yield first
    finally:
        await stage._last(first).stop()
    recorder.check()
