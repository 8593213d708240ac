"""The feed of changes behind live views: who watches learns that something changed, and reads it from the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Something of this kind changed: `execution`, `approval`, `event`, `alert`, `source`, `definitions`."""

    kind: str
    id: str
    status: str = ""


class Watch:
    """One watcher's view: the latest change of each thing since it last looked. Slow watchers lose nothing but steps
    in between."""

    def __init__(self, only: str | None) -> None:
        self.only = only
        self._latest: dict[tuple[str, str], Change] = {}
        self._arrived = asyncio.Event()

    def put(self, change: Change) -> None:
        """Note a change."""
        if self.only is None or change.id == self.only:
            self._latest[change.kind, change.id] = change
            self._arrived.set()

    async def next(self, timeout: float | None = None) -> list[Change]:
        """All changes since the last call; waits for one, at most `timeout` seconds, then returns an empty list."""
        try:
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        except TimeoutError:
            return []
        self._arrived.clear()
        found = list(self._latest.values())
        self._latest.clear()
        return found

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            for change in await self.next():
                yield change


class Changes:
    """Hands changes to all watchers."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()

    def __bool__(self) -> bool:
        return bool(self._watches)

    def tell(self, kind: str, id: str, status: str = "") -> None:
        """Something changed and is on disk."""
        if self._watches:
            change = Change(kind, id, status)
            for watch in self._watches:
                watch.put(change)

    @contextmanager
    def watch(self, only: str | None = None) -> Iterator[Watch]:
        """Watch all changes, or those of one id."""
        watch = Watch(only)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)
