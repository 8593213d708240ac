"""Notices that definition files have changed, by looking at them once a second: that works on every file system, and
on the symbolic links of a Kubernetes ConfigMap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from automation.clock import Clock
from automation.definitions.reader import content_hash, definition_files
from automation.errors import AutomationError

_log = logging.getLogger("automation.definitions")

Signature = tuple[tuple[str, int, int, int, int], ...]


class Watcher:
    """Calls `reload` whenever the files are no longer those whose `content_hash` is `known`.

    `known` is that of the definitions that were read, so that no change falls between reading and watching.
    """

    def __init__(
        self,
        folder: Path | None,
        main: Path | None,
        reload: Callable[[], Awaitable[None]],
        clock: Clock,
        *,
        known: str,
        interval: float = 1.0,
    ) -> None:
        self._folder = folder
        self._main = main
        self._reload = reload
        self._clock = clock
        self._interval = interval
        self._known = known
        self._signature: Signature | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        failure = ""
        while True:
            try:
                await self.poll()
                failure = ""
            except Exception as error:  # noqa: BLE001 - whatever one reload raises, the next change must be noticed
                # What fails the same way every second is said once.
                if repr(error) != failure:
                    _log.exception("the definitions could not be reloaded")
                failure = repr(error)
            await self._clock.sleep(self._interval)

    async def poll(self) -> bool:
        """Look once; whether the files have changed and were reloaded."""
        signature = await asyncio.to_thread(self._look)
        if signature == self._signature:
            return False
        # The signature is older than the hash: a file written in between has another one the next time.
        self._signature = signature
        before = self._known
        self._known = await asyncio.to_thread(content_hash, definition_files(self._folder, self._main))
        if self._known == before:
            return False
        try:
            await self._reload()
        except AutomationError as error:
            if error.retryable:
                self._signature, self._known = None, before
            raise
        return True

    def _look(self) -> Signature:
        found = []
        for path in definition_files(self._folder, self._main):
            try:
                status = path.stat()
            except OSError:
                found.append((str(path), 0, 0, 0, 0))
            else:
                # The time of change tells where a copy has kept the time of modification.
                found.append((str(path), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
        return tuple(found)
