"""One run: all that is past its time is deleted or packed, in small transactions with pauses between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from automation.clock import Clock
from automation.config import AutomationConfig
from automation.model.retention import Days
from automation.store import metric_history, records, retention
from automation.store.audit import RETENTION, Fact
from automation.store.retention import Found, Page
from automation.store.statement import Op, Statement
from automation.store.store import Store, to_json

POSITION = "retention"
"""The position that says when the last run was."""

BATCH_BYTES = 4 * 1024 * 1024
"""How many bytes of large values are written or freed in one transaction, where there is more than one."""

Counted = Callable[[str, int], object]
"""Called with a table and how many of its rows were deleted (or, of the journal, packed)."""

Told = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done, and how much there is (0: nobody knows)."""

Find = Callable[..., Found]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rows that go by their age."""

    table: str
    days: Days
    find: Find
    delete: Statement
    first: str | int = ""
    """What comes before all keys of the table."""


@dataclass(slots=True)
class Swept:
    """What a run did."""

    deleted: Counter[str] = field(default_factory=Counter)
    """Rows by table; of the journal, those that are packed now."""
    pruned: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Of each audit chain of which rows went: the number and hash of the last of them."""


def _nobody(*_: object) -> None:
    pass


class Sweep:
    """Deletes and packs what is past its time."""

    def __init__(
        self, store: Store, clock: Clock, config: AutomationConfig, counted: Counted = _nobody, told: Told = _nobody
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = config.retention
        self._history = config.metrics.history
        self._audit_days = config.audit.retention_days
        self._counted = counted
        self._told = told
        self.pause = config.retention.pause_seconds
        """Seconds between two transactions."""

    async def run(self, actor: str = RETENTION) -> Swept:
        """Do all that is due; raises StoreError. Broken off anywhere, the next run goes on with what is left."""
        swept = Swept()
        for kind in self._kinds():
            await self._delete(kind, swept)
        await self._delete_buckets(swept)
        await self._delete_executions(swept)
        await self._pack_journals(swept)
        await self._tidy_values(swept)
        await self._prune_audit(swept, actor)
        body = {"at": self._clock.now(), "deleted": dict(swept.deleted)}
        await self._store.commit([records.save_position(POSITION, body, self._clock.now())])
        return swept

    def _kinds(self) -> Iterator[Kind]:
        days = self._settings
        yield Kind("events", days.events_days, retention.old_events, retention.EVENT_DELETE, 0)
        yield Kind("decisions", days.decisions_days, retention.old_decisions, retention.DECISION_DELETE, 0)
        yield Kind("dead_letters", days.decisions_days, retention.old_dead_letters, retention.DEAD_LETTER_DELETE)
        yield Kind("notifications", days.notifications_days, retention.old_notifications, retention.NOTIFICATION_DELETE)
        yield Kind("alerts", days.alerts_days, retention.old_alerts, retention.ALERT_DELETE)
        # A day longer than their buckets: when they last had a sample is noted once a day.
        kept = max(each.days for each in self._history.resolutions) + 2
        yield Kind("metric_series", kept, metric_history.old_series, retention.METRIC_SERIES_DELETE)
        yield Kind("tokens", days.tokens_days, retention.old_tokens, retention.TOKEN_DELETE)

    def _before(self, days: Days) -> float | None:
        return None if days == "forever" else self._clock.now() - days * 86_400

    async def _delete(self, kind: Kind, swept: Swept) -> None:
        before = self._before(kind.days)
        if before is None:
            return
        async for found in self._pages(kind.find, before, kind.first):
            await self._write([retention.by_age(kind.delete, found, before)])
            self._count(swept, kind.table, len(found))

    async def _delete_buckets(self, swept: Swept) -> None:
        """All series of one time in one transaction: they lie together."""
        days = {each.seconds: each.days for each in self._history.resolutions}
        for resolution in await self._store.read(metric_history.resolutions):
            # What is of a resolution that was configured before goes when its time is over in any case.
            before = self._clock.now() - days.get(resolution, max(days.values())) * 86_400
            find = partial(metric_history.oldest, resolution=resolution, before=before)
            while (found := await self._store.read(find)) is not None:
                start, rows = found
                await self._write([metric_history.BUCKETS_DELETE(where_resolution=resolution, where_start=start)])
                self._count(swept, "metric_buckets", rows)

    async def _delete_executions(self, swept: Swept) -> None:
        before = self._before(self._settings.executions_days)
        if before is None:
            return
        async for found in self._pages(retention.old_executions, before, ""):
            rows = await self._store.read(partial(retention.entries, ids=found))
            for batch in batches({each: rows.get(each, 0) + 1 for each in found}, self._settings.batch_rows):
                if len(batch) == 1 and rows.get(batch[0], 0) > self._settings.batch_rows:
                    # Deleted in parts, it would be half there if this broke off; packed, it is one row.
                    await self._pack(batch)
                await self._write(retention.execution_deletes(batch, before))
                self._count(swept, "executions", len(batch))

    async def _pack_journals(self, swept: Swept) -> None:
        before = self._before(self._settings.journals_days)
        if before is None:
            return
        async for found in self._pages(retention.loose_journals, before, ""):
            rows = await self._store.read(partial(retention.entries, ids=found))
            for batch in batches(rows, self._settings.batch_rows):
                self._count(swept, "journal", await self._pack(batch))

    async def _pack(self, ids: Sequence[str]) -> int:
        """Pack journals, then take them out of the table bit by bit; how many rows went."""
        made = await self._store.read(partial(retention.packed_journals_of, ids=ids))
        if made:
            packed = [pack.execution_id for pack in made]
            longest = max(pack.entries for pack in made)
            first, *others = [*range(self._settings.batch_rows, longest, self._settings.batch_rows), longest]
            await self._write([*(pack.op for pack in made), retention.trim(packed, first)])
            for last in others:
                await self._write([retention.trim(packed, last)])
        return sum(pack.entries for pack in made)

    async def _tidy_values(self, swept: Swept) -> None:
        before = self._clock.now() - retention.GRACE_SECONDS
        after: str | None = ""
        while after is not None:
            page = Page(before, after, self._settings.batch_rows)
            found = await self._store.read(partial(retention.idle_values, page=page))
            for batch in batches(found.unnamed, BATCH_BYTES):
                await self._write([retention.by_age(retention.LARGE_VALUE_DELETE, batch, before)])
                self._count(swept, "large_values", len(batch))
            for batch in batches(found.uncompressed, BATCH_BYTES):
                reads = [partial(retention.packed_value, digest=each) for each in batch]
                await self._write([await self._store.read(read) for read in reads])
            after = found.after

    async def _prune_audit(self, swept: Swept, actor: str) -> None:
        before = self._clock.now() - self._audit_days * 86_400
        chains = await self._store.read(partial(retention.old_audit, before=before))
        swept.pruned = {chain.name: (chain.last, chain.hash) for chain in chains}
        if not swept.deleted and not chains:
            return
        detail: dict[str, Any] = {"deleted": dict(swept.deleted)}
        if chains:
            detail["audit"] = swept.pruned
        fact = Fact(self._clock.now(), "system_modification", actor, RETENTION, "database", "ok", to_json(detail))
        if chains:
            # Whatever the configuration audits: without this row, the chain would not verify any more.
            await self._store.writer.commit([], [fact])
        else:
            await self._store.commit([], [fact])
        for chain in chains:
            step = self._settings.batch_rows
            for last in [*range(chain.first + step - 1, chain.last, step), chain.last]:
                await self._write([retention.AUDIT_DELETE(where_chain=chain.name, last=last)])
            self._count(swept, "audit", chain.last - chain.first + 1)

    async def _pages(self, find: Find, before: float, first: str | int) -> Any:
        after: str | int | None = first
        while after is not None:
            page = Page(before, after, self._settings.batch_rows)
            found = await self._store.read(partial(find, page=page))
            if found.keys:
                yield found.keys
            after = found.after

    async def _write(self, ops: Sequence[Op]) -> None:
        await self._store.commit(ops)
        await self._clock.sleep(self.pause)

    def _count(self, swept: Swept, table: str, rows: int) -> None:
        swept.deleted[table] += rows
        self._counted(table, rows)
        self._told(table, swept.deleted[table], 0)


def batches(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """The keys in their order, in lists whose sizes come to `most` at the most; a larger one is a list of its own."""
    batch: list[str] = []
    total = 0
    for key, size in sizes.items():
        if batch and total + size > most:
            yield batch
            batch, total = [], 0
        batch.append(key)
        total += size
    if batch:
        yield batch
