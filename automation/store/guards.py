"""What guardrails remember, as stored: acts on targets, what is held by hand, open circuits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from automation.store import statements
from automation.store.statements import Op
from automation.store.store import Store
from automation.store.tables import breakers


@dataclass(frozen=True, slots=True)
class StoredBreaker:
    """A circuit that is not closed."""

    operation: str
    target: str
    state: str
    failures: int
    version: int
    until: float
    opened_at: float
    error: str

    def op(self) -> Op:
        """The write that stores it."""
        return statements.BREAKER(
            operation=self.operation,
            target=self.target,
            state=self.state,
            failures=self.failures,
            version=self.version,
            until=self.until,
            opened_at=self.opened_at,
            error=self.error,
        )


async def all_breakers(store: Store) -> list[StoredBreaker]:
    """All circuits that are not closed."""
    return [
        StoredBreaker(
            row.operation, row.target, row.state, row.failures, row.version, row.until, row.opened_at, row.error
        )
        for row in await store.fetch(select(breakers))
    ]
