"""The audit of refused accesses, so bounded that whoever causes them cannot fill the disk."""

from __future__ import annotations

from collections import Counter
from typing import Any

from automation.clock import Clock
from automation.errors import StoreError
from automation.store.audit import Fact
from automation.store.store import Store, to_json

MINUTE = 60.0
_ROWS_A_MINUTE = 300
_ACTORS = 1_000
_SHOWN = 20
_LONGEST = 500


class Refusals:
    """Writes a row for each refused access, up to a number a minute. The rest is counted, and one row a minute says
    how many there were and whose; it is written with whatever request comes next, or when the engine stops."""

    def __init__(self, store: Store, clock: Clock, *, rows_a_minute: int = _ROWS_A_MINUTE) -> None:
        self._store = store
        self._clock = clock
        self._rows_a_minute = rows_a_minute
        self._minute = clock.monotonic()
        self._written = 0
        self._unwritten: Counter[str] = Counter()

    async def record(self, actor: str, act: str, subject: str, detail: dict[str, Any]) -> None:
        """Return once the refusal is on disk, or counted where there were too many."""
        if self._clock.monotonic() - self._minute >= MINUTE:
            await self.settle()
        if self._written >= self._rows_a_minute:
            self.count(actor)
            return
        self._written += 1
        if not await self._write(actor, act, subject, detail):
            self.count(actor)

    def count(self, actor: str) -> None:
        """Count a refusal without a row of its own."""
        known = actor in self._unwritten or len(self._unwritten) < _ACTORS
        self._unwritten[actor if known else "others"] += 1

    async def settle(self, *, now: bool = False) -> None:
        """Begin a new minute if the last one is over, and write what was only counted in it."""
        moment = self._clock.monotonic()
        if not now and moment - self._minute < MINUTE:
            return
        counted, seconds = self._unwritten, moment - self._minute
        # Taken before waiting for the disk, so that two requests do not write the same count.
        self._unwritten, self._minute, self._written = Counter(), moment, 0
        if not counted:
            return
        detail = {"count": counted.total(), "seconds": round(seconds, 3), "by": dict(counted.most_common(_SHOWN))}
        if not await self._write("system", "refusals.summary", "access", detail):
            self._unwritten.update(counted)

    async def _write(self, actor: str, act: str, subject: str, detail: dict[str, Any]) -> bool:
        """Whether the row is on disk."""
        fact = Fact(
            at=self._clock.now(),
            kind="access_attempt",
            actor=_kept(actor),
            act=act,
            subject=_kept(subject),
            outcome="refused",
            detail=to_json(detail),
        )
        facts = self._store.facts(fact)
        try:
            if facts:
                await self._store.commit([], facts)
        except StoreError:
            # A full disk changes nothing for whoever is refused, and must not keep out whoever comes to make room.
            return False
        return True


def _kept(text: str) -> str:
    # Both come from outside: bounded, and without what cannot be written as UTF-8.
    return text[:_LONGEST].encode("utf-8", "replace").decode()
