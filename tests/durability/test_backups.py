"""Backups while the engine works: all that was acknowledged before one is in it, and it is whole or not there."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from automation import AutomationConfig
from automation.maintenance import Database
from tests.support.durability import Driver, audited, check, check_audit, records
from tests.support.full_disk import can_mount

pytestmark = [pytest.mark.durability, pytest.mark.timeout(240)]


@pytest.fixture
def folder(folder_of_files: Path) -> Path:
    """With a SQLite database: PostgreSQL has tools of its own for this."""
    return folder_of_files


def database(folder: Path) -> Database:
    return Database(AutomationConfig(database_url=f"sqlite:///{folder}/automation.db", data_dir=folder / "data"))


async def test_every_start_acknowledged_before_it_is_in_a_backup_under_load(engines: Driver, folder: Path) -> None:
    child = engines.start("load", folder, seed=1, first=0)
    child.hear("ready")
    copies: list[tuple[Path, set[str]]] = []
    for number in range(3):
        for _ in range(10):
            child.hear("accepted")
        before = set(child.all("accepted"))
        copy = folder / f"copy-{number}.db"
        await database(folder).backup(copy)
        copies.append((copy, before))
    child.kill()

    for copy, before in copies:
        with closing(sqlite3.connect(copy)) as connection:
            kept = {row[0] for row in connection.execute("SELECT id FROM executions")}
        assert before <= kept

    # The first is put back, and work goes on from where it has it.
    copy, before = copies[0]
    made = await database(folder).restore(copy)
    assert made.lost is not None
    assert made.lost.executions >= len(copies[-1][1]) - len(before) - made.unfinished
    # What was really done after the backup is not what this history tells.
    (folder / "effects").unlink()
    (folder / "effects").touch()
    engines.do("finish", folder)
    assert before <= set(records(folder))
    assert (await database(folder).check()).problems == ()
    assert audited(folder)


async def test_killed_at_any_moment_it_leaves_a_whole_backup_or_the_one_before(
    engines: Driver, other_engines: Driver, folder: Path
) -> None:
    chance = random.Random(2)
    child = engines.start("load", folder, seed=1, first=0)
    child.hear("ready")
    for _ in range(8):
        maker = other_engines.start("backup", folder, file="copy.db")
        if chance.random() < 0.7:
            maker.hear(chance.choice(["told", "made"]))
        await asyncio.sleep(chance.uniform(0, 0.05))
        maker.kill()
        if (folder / "copy.db").exists():
            with closing(sqlite3.connect(folder / "copy.db")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    child.kill()

    accepted = child.all("accepted")
    engines.do("finish", folder)

    found, rows = records(folder), audited(folder)
    assert set(accepted) <= set(found)
    for execution_id, record in found.items():
        check(record)
        check_audit(record, rows[execution_id])
    assert (await database(folder).check()).problems == ()
    await database(folder).backup(folder / "copy.db", force=True)
    assert list(folder.glob("copy.db?*")) == []


@pytest.mark.parametrize("how", ["tmpfs", "limit"])
def test_a_full_disk_is_told_and_no_half_file_is_left(engines: Driver, folder: Path, how: str) -> None:
    if how == "tmpfs" and not can_mount():
        pytest.skip("mounting needs the administrator")

    task = engines.do("full_backup", folder, how=how)

    [refused] = task.all("refused")
    reason = {"tmpfs": "the disk is full", "limit": "the disk is full or broken (disk I/O error)"}[how]
    assert refused == f"cannot copy {folder}/automation.db to {folder}/disk/copy.db: {reason}"
    assert task.all("hint") == ["make room on the disk, or name a file on another"]
    assert task.all("left") == [[], ["copy.db"]]
