"""The helper that the specification names: `python -c "from automation.utils import test_db_connection; ..."`."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from automation.config import AutomationConfig
from automation.errors import AutomationError, ConfigurationError, StoreError
from automation.store import schema
from automation.store.store import backend_of


def test_db_connection(database_url: str | None = None) -> bool:  # noqa: PT028 - no test
    """Try the database (the configured one by default) and say in one line how it went; whether it can be used.

    It is opened for reading and writing, as the engine does it, and nothing in it is changed.
    """
    try:
        config = AutomationConfig.load()
        url = database_url or config.database
        # In a thread of its own, because the caller may be in an event loop.
        with ThreadPoolExecutor(1) as pool:
            line = pool.submit(lambda: asyncio.run(_try(url, config))).result()
    except (AutomationError, OSError) as error:
        print(f"database: {' '.join(str(error).split())}")  # noqa: T201 - it is for people at a terminal
        return False
    print(f"database: {line}")  # noqa: T201
    return True


# The specification's name for it; it is not for pytest to collect.
test_db_connection.__test__ = False  # type: ignore[attr-defined]


async def _try(url: str, config: AutomationConfig) -> str:
    backend = backend_of(url, config.store)
    missing = backend.absent()
    if missing is not None:
        await backend.close()
        raise ConfigurationError(missing)
    began = time.perf_counter()
    await backend.open()
    try:
        version = await backend.read(schema.version)
    finally:
        await backend.close()
    took = (time.perf_counter() - began) * 1000
    if version is None:
        raise StoreError(f"{backend.place} has no tables of automation; the engine makes them when it first starts")
    if version > schema.HEAD:
        raise StoreError(
            f"{backend.place} has schema {version}; this version of automation knows {schema.HEAD} at most"
        )
    note = "" if version == schema.HEAD else f", which the next start migrates to {schema.HEAD}"
    return f"{backend.place} can be read and written (schema {version}{note}; {took:.0f} ms)"
