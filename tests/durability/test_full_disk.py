"""A disk without room: the engine says so, takes nothing in that it cannot keep, and goes on once there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.durability import Driver, audited, check, check_audit, events, records
from tests.support.full_disk import can_mount

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]

REASONS = {"tmpfs": "the disk is full; make room", "limit": "disk I/O error"}


@pytest.mark.parametrize("how", REASONS)
def test_nothing_accepted_is_lost_when_the_disk_is_full(engines: Driver, folder_of_files: Path, how: str) -> None:
    folder = folder_of_files
    if how == "tmpfs" and not can_mount():
        pytest.skip("mounting needs the administrator")
    reason = f"cannot write the database {folder}/disk/automation.db: {REASONS[how]}"

    task = engines.do("full", folder, how=how)

    # Then it said what is wrong, to whoever asked for something and to whoever asks how it is.
    assert task.all("before") == [[]]
    assert task.all("refused") == [reason]
    assert task.all("retryable") == [True]
    assert task.all("event_refused") == [reason]
    assert task.all("during") == [[reason]]
    # And in its log: when it began and when it was over, not each time it tried.
    lines = [line for line in (folder / "log").read_text().splitlines() if "automation.store" in line]
    assert [line.partition("automation.store: ")[2] for line in lines] == [
        f"{reason}; what waits is tried again",
        "the database can be written again",
    ]
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
