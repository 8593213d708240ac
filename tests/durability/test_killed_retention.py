"""Retention and compacting killed at any moment, alone and beside a busy engine: nothing that is to stay is lost."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from automation import AutomationConfig
from automation.maintenance import Database
from tests.support.databases import SqliteDatabase, database_of
from tests.support.durability import Driver, Record, check, records, rows

pytestmark = [pytest.mark.durability, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("DURABILITY_KILLS", "20")) // 2
"""How often on SQLite; less often where each start takes longer."""
SEED = int(os.environ.get("DURABILITY_SEED", "1"))


def kills(folder: Path) -> int:
    return KILLS if isinstance(database_of(folder), SqliteDatabase) else max(4, KILLS // 3)


def maintained(folder: Path) -> Database:
    return Database(AutomationConfig(database_url=database_of(folder).url, data_dir=folder / "data"))


def count(folder: Path, table: str) -> int:
    (row,) = rows(folder, f"SELECT count(*) AS number FROM {table}")
    return int(row["number"])


def told(found: dict[str, Record]) -> dict[str, object]:
    return {execution_id: (record.row, record.entries) for execution_id, record in found.items()}


@pytest.fixture
def worked(engines: Driver, folder: Path) -> dict[str, Record]:
    """What an engine has done in a folder, all of it ended."""
    child = engines.start("load", folder, seed=SEED, first=0)
    for _ in range(25):
        child.hear("accepted")
    child.kill()
    engines.do("publish", folder, first=0, count=20)
    engines.do("finish", folder)
    return records(folder)


async def test_packing_that_is_killed_keeps_every_journal(
    engines: Driver, folder: Path, worked: dict[str, Record]
) -> None:
    chance = random.Random(SEED)
    for _ in range(kills(folder)):
        child = engines.start("compact", folder, days=8, die=(chance.randint(1, 6), chance.choice(["before", "after"])))
        child.hear("ended")
        assert child.all("crashed") == []
        assert told(records(folder)) == told(worked)
        assert (await maintained(folder).check()).problems == ()

    engines.do("compact", folder, days=8)

    assert count(folder, "journal") == 0
    assert count(folder, "packed_journals") == len(worked)
    assert told(records(folder)) == told(worked)
    assert (await maintained(folder).check()).problems == ()


async def test_deleting_that_is_killed_leaves_whole_executions_and_a_whole_chain(
    engines: Driver, folder: Path, worked: dict[str, Record]
) -> None:
    chance = random.Random(SEED + 1)
    # What executions did that are gone is not what this is about.
    (folder / "effects").unlink()
    for _ in range(kills(folder)):
        child = engines.start(
            "compact", folder, days=100, die=(chance.randint(1, 5), chance.choice(["before", "after"]))
        )
        child.hear("ended")
        assert child.all("crashed") == []
        left = records(folder)
        assert told(left).items() <= told(worked).items()
        assert (await maintained(folder).check()).problems == ()

    engines.do("compact", folder, days=100)

    for table in ("executions", "journal", "packed_journals", "events"):
        assert count(folder, table) == 0
    assert (await maintained(folder).check()).problems == ()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_killed_while_the_file_is_written_anew(engines: Driver, folder: Path, worked: dict[str, Record]) -> None:
    chance = random.Random(SEED + 2)
    for _ in range(KILLS // 2):
        child = engines.start("compact", folder, days=1)
        while child.ended is None and child.hear("told")["told"][0] != "giving room back":
            pass
        await asyncio.sleep(chance.uniform(0, 0.02))
        child.kill()
        assert told(records(folder)) == told(worked)
        assert (await maintained(folder).check()).problems == ()


async def test_killed_beside_a_busy_engine_nothing_of_its_work_is_lost(
    engines: Driver, other_engines: Driver, folder: Path
) -> None:
    chance = random.Random(SEED + 3)
    child = engines.start("load", folder, seed=SEED, first=0)
    child.hear("ready")
    for _ in range(kills(folder)):
        child.hear("accepted")
        other = other_engines.start("compact", folder, days=8)
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        other.kill()
        assert other.all("crashed") == []
    child.kill()
    assert child.all("crashed") == []

    engines.do("finish", folder)

    found = records(folder)
    assert set(child.all("accepted")) <= set(found)
    for record in found.values():
        check(record)
    assert (await maintained(folder).check()).problems == ()
    engines.do("compact", folder, days=8)
    assert told(records(folder)) == told(found)
