"""What is so on SQLite only; what is so on every database is in `tests/contract/test_store.py`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from automation.config import Store as Settings
from automation.errors import StoreUnavailable
from automation.store import statements
from automation.store.sqlite import Sqlite
from automation.store.statement import Op
from automation.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = Store(f"sqlite:///{path}", Settings(busy_timeout_seconds=0.1))
    await opened.open()
    yield opened
    await opened.close()


def entry(execution: str, seq: int, at: float = 1.0) -> Op:
    return statements.JOURNAL(execution_id=execution, seq=seq, at=at, kind="k", action=None, body="{}")


async def count(store: Store, table: str) -> int:
    row = await store.first(text(f"SELECT count(*) AS n FROM {table}"))
    assert row is not None
    return int(row.n)


async def test_a_database_in_memory_is_gone_afterwards() -> None:
    store = Store("sqlite://")
    await store.open()
    assert isinstance(store.backend, Sqlite)
    place = store.backend.path
    await store.commit([entry("e", 1)])
    assert await count(store, "journal") == 1
    await store.close()
    assert not place.exists()


async def test_a_locked_file_is_told_and_nothing_is_lost(store: Store, path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await store.commit([entry("e", 1)])
    assert store.writable is not None
    patient = asyncio.create_task(store.commit_patiently([entry("e", 2)]))
    await asyncio.sleep(0)
    blocker.execute("ROLLBACK")
    blocker.close()
    await patient

    assert store.writable is None
    assert await count(store, "journal") == 1


async def test_a_locked_file_refuses_the_start(path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("CREATE TABLE t (a)")
    blocker.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnavailable, match=r"cannot open the database .*locked"):
        await Store(f"sqlite:///{path}", Settings(busy_timeout_seconds=0.1)).open()
    blocker.close()


async def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    path.write_text("hello, this is a text and not a database at all\n" * 100)

    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        await Store(f"sqlite:///{path}").open()
