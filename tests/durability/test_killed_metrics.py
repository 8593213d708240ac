"""The history of metrics when the process is killed: what was written is there, and what follows is added to it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.databases import SqliteDatabase

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]


def counts(database: SqliteDatabase) -> tuple[int, int]:
    """How many samples the shorter and the longer buckets hold."""
    found = database.rows("SELECT resolution, sum(count) AS samples FROM metric_buckets GROUP BY resolution ORDER BY 1")
    return found[0]["samples"], found[1]["samples"]


def test_what_was_written_survives_and_all_lengths_agree(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    command = [sys.executable, "-m", "tests.support.metric_process", database.url, str(tmp_path / "data")]
    before = 0
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            process.send_signal(signal.SIGKILL)
        told = int(lines[-1].split()[1])

        shorter, longer = counts(database)

        assert shorter == longer >= told > before
        before = shorter
