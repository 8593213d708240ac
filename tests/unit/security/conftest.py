"""A real database, a clock that stands still, and what the audit chain says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from automation.clock import VirtualClock
from automation.config import Security
from automation.security.tokens import Tokens
from automation.store.records import AuditRow, audit_page
from automation.store.store import Store

Rows = Callable[[], Awaitable[list[AuditRow]]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'automation.db'}")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def tokens(store: Store, clock: VirtualClock) -> Tokens:
    return Tokens(store, Security(failed_attempts=3), clock)


@pytest.fixture
def audited(store: Store) -> Rows:
    """All audit rows, oldest first."""

    async def rows() -> list[AuditRow]:
        page = await audit_page(store, limit=1000)
        return list(reversed(page.items))

    return rows
