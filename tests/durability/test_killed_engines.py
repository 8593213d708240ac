"""Engines killed with SIGKILL at any moment: nothing that was accepted is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.support.databases import SqliteDatabase, database_of
from tests.support.durability import Child, Driver, audited, check, check_audit, events, records

KILLS = int(os.environ.get("DURABILITY_KILLS", "20"))
"""How often in all; `make soak` sets more."""

pytestmark = [pytest.mark.durability, pytest.mark.timeout(600 + 10 * KILLS)]


def kills(folder: Path) -> int:
    """How often to kill engines on this folder's database: fewer where each start takes longer."""
    return KILLS if isinstance(database_of(folder), SqliteDatabase) else max(4, KILLS // 3)


SEED = int(os.environ.get("DURABILITY_SEED", "1"))


def _kill_somewhere(child: Child, chance: random.Random, inside: bool) -> None:
    """Kill it: by itself at a transaction, or from here at any moment from its first instruction on."""
    if inside:
        child.until_killed()
        return
    if chance.random() < 0.7:
        child.hear("ready")
    time.sleep(chance.uniform(0, 0.3))
    child.kill()


def _point(chance: random.Random) -> tuple[int, str] | None:
    """Half of the kills: at a transaction, before or after it is committed."""
    return (chance.randint(1, 25), chance.choice(["before", "after"])) if chance.random() < 0.5 else None


def test_every_accepted_start_ends_and_nothing_is_done_twice(engines: Driver, folder: Path) -> None:
    chance = random.Random(SEED)
    accepted: dict[str, str | None] = {}
    agreed: set[str] = set()
    number = 0
    for _ in range(kills(folder)):
        die = _point(chance)
        child = engines.start("load", folder, seed=chance.randint(0, 10**6), first=number, die=die)
        _kill_somewhere(child, chance, inside=die is not None)
        _take_note(child, accepted)
        agreed.update(child.all("agreed"))
        # As a client would: whatever was not acknowledged is asked for again, with its key.
        number = max([number - 1, *child.all("number")]) + 1

    finish = engines.do("finish", folder)

    assert finish.all("problems") == [[]]
    _check_all(folder, accepted, agreed)
    assert len(accepted) >= kills(folder) / 2, "hardly anything ran"


def test_a_living_engine_takes_over_what_a_killed_one_held(
    engines: Driver, other_engines: Driver, folder: Path
) -> None:
    """Two engines on one database; now this one is killed, now that one, and started again."""
    chance = random.Random(SEED + 2)
    accepted: dict[str, str | None] = {}
    agreed: set[str] = set()
    drivers = {0: engines, 1_000_001: other_engines}
    numbers = {first: first for first in drivers}
    running = {first: each.start("load", folder, seed=1, first=first) for first, each in drivers.items()}
    for child in running.values():
        child.hear("ready")
    for _ in range(max(4, kills(folder) // 3)):
        time.sleep(chance.uniform(0, 0.3))
        first = chance.choice(sorted(drivers))
        running[first].kill()
        _take_note(running[first], accepted)
        agreed.update(running[first].all("agreed"))
        numbers[first] = max([numbers[first] - 1, *running[first].all("number")]) + 1
        running[first] = drivers[first].start("load", folder, seed=chance.randint(0, 10**6), first=numbers[first])
    for child in running.values():
        if not child.all("ready"):
            child.hear("ready")
        child.kill()
        _take_note(child, accepted)
        agreed.update(child.all("agreed"))

    engines.do("finish", folder)

    _check_all(folder, accepted, agreed)
    assert len(accepted) >= 4, "hardly anything ran"


def _take_note(child: Child, accepted: dict[str, str | None]) -> None:
    assert child.all("crashed") == []
    accepted |= {line["accepted"]: line["key"] for line in child.said if "accepted" in line}


def _check_all(folder: Path, accepted: dict[str, str | None], agreed: set[str]) -> None:
    found, rows = records(folder), audited(folder)
    assert "stops here" not in (folder / "log").read_text(), "two engines ran the same execution"
    assert set(accepted) <= set(found), "an accepted start is lost"
    for execution_id, key in accepted.items():
        assert found[execution_id].row["idempotency_key"] == key
    for execution_id in agreed:
        kinds = [entry.kind for entry in found[execution_id].entries]
        # One that is interrupted while it runs is asked about again.
        assert kinds.count("approved") >= 1, "an answer that was taken is lost"
    for execution_id, record in found.items():
        try:
            check(record)
            check_audit(record, rows[execution_id])
        except AssertionError as error:
            journal = "\n".join(str(entry) for entry in record.entries)
            effects = "\n".join(str(line) for lines in record.effects.values() for line in lines)
            raise AssertionError(f"{execution_id}: {error}\n{journal}\n{effects}") from error


def test_every_acknowledged_event_is_kept_with_all_it_started(engines: Driver, folder: Path) -> None:
    chance = random.Random(SEED + 1)
    receipts: dict[str, list[str]] = {}
    number = 0
    for _ in range(max(3, kills(folder) // 4)):
        die = _point(chance)
        child = engines.start("publish", folder, first=number, die=die)
        _kill_somewhere(child, chance, inside=die is not None)
        assert child.all("crashed") == []
        told = {line["event"]: line for line in child.said if "event" in line}
        receipts |= {event: line["executions"] for event, line in told.items() if not line["duplicate"]}
        # Those published last, a few at once, are published again: some were acknowledged, some not.
        number = max([number, *(int(event.removeprefix("e-")) - 4 for event in told)])

    published = number + 10
    again = engines.do("publish", folder, first=0, count=published)
    engines.do("finish", folder)

    duplicates = {line["event"]: line["duplicate"] for line in again.said if "event" in line}
    found = records(folder)
    by_event = _by_event(folder)
    for event, executions in receipts.items():
        assert duplicates[event], f"{event} was acknowledged, and taken in again"
        assert by_event[event] == executions
    for event, executions in by_event.items():
        assert len(executions) == (1 if int(event.removeprefix("e-")) % 5 else 0), event
        for execution_id in executions:
            check(found[execution_id])
    assert set(by_event) == {f"e-{each}" for each in range(published)}
    assert len(receipts) >= 10, "hardly anything was published"


def _by_event(folder: Path) -> dict[str, list[str]]:
    started: dict[str, list[str]] = {event["id"]: [] for event in events(folder)}
    for execution_id, record in sorted(records(folder).items()):
        started[record.row["event_id"]].append(execution_id)
    return started
