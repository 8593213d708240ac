"""Writes what executions have noted: one commit of each at a time, so that its journal has no gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from automation.errors import EngineStopped, StoreUnavailable
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.workflows.consent import Consent
from automation.workflows.run import Run


class Journal:
    """Writes the journals of the executions that run here, and all that goes with them."""

    def __init__(self, store: Store, consent: Consent, changes: Changes) -> None:
        self._store = store
        self._consent = consent
        self._changes = changes
        self._commits: set[asyncio.Task[None]] = set()

    async def flush(self, run: Run) -> None:
        """Return when all that was noted so far is on disk; all that is noted meanwhile goes with the next commit."""
        wanted = run.noted
        while run.stored < wanted:
            if not run.committing:
                run.committing = True
                commit = self._commit(run, run.noted, *run.taken())
                if not run.executing:
                    await commit
                    continue
                # An action that is cancelled stops waiting, and no more: others count on what it has begun to write.
                task = asyncio.get_running_loop().create_task(commit)
                self._commits.add(task)
                task.add_done_callback(self._ended)
            if run.landed is None:
                run.landed = asyncio.get_running_loop().create_future()
            await asyncio.shield(run.landed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._commits.discard(task)
        if not task.cancelled():
            # Told to those who wait, by `landed`; if nobody does any more, that is no error of its own.
            task.exception()

    async def _commit(self, run: Run, upto: int, ops: Sequence[Op], facts: Sequence[Fact]) -> None:
        try:
            try:
                if run.events is None:
                    await self._store.post(ops, facts)
                else:
                    events, run.events = run.events, None
                    await self._consent.announce(events, ops, facts, patiently=run.begun)
            except StoreUnavailable:
                # A start that cannot be written is refused; later facts have happened and must be kept.
                if not run.begun:
                    raise
                await self._store.commit_patiently(ops, facts)
        except BaseException as error:
            _landed(run, error if isinstance(error, Exception) else EngineStopped())
            raise
        run.stored = upto
        _landed(run, None)
        if self._changes:
            self._changes.tell("execution", run.id, run.state.status.value)


def _landed(run: Run, failure: Exception | None) -> None:
    """The commit has ended: tell those who wait for it as well."""
    run.committing = False
    landed, run.landed = run.landed, None
    if landed is None:
        return
    if failure is None:
        landed.set_result(None)
    else:
        landed.set_exception(failure)
        # Whoever waited may be gone; that is no error of its own.
        landed.exception()
