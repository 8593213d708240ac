"""Handlers that never end: executions end all the same, and so do the engine and its process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import side_effects
from tests.support.durability import Driver, check, records

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]

OPERATIONS = ["side.stubborn", "side.deaf", "side.endless_thread", "side.endless_process"]
STATUSES = {"time out": "failed", "cancel": "cancelled"}


@pytest.mark.parametrize("how", STATUSES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_its_execution_ends_and_so_does_the_process(engines: Driver, folder: Path, operation: str, how: str) -> None:
    begin = time.monotonic()
    child = engines.do("endless", folder, operation=operation, how=how)
    took = time.monotonic() - begin

    # Then the execution has ended, and cleanup has run, though the handler has not.
    (record,) = records(folder).values()
    assert record.row["status"] == STATUSES[how] == child.all("status")[0]
    assert [line["what"] for line in record.effects["tidy"]] == ["begin", "end"]
    if how == "time out":
        assert child.all("error") == ["a: ActionTimeout: took longer than its limit of 0.5 s"]
    # And the engine stopped at once, the process soon after, and nothing went on acting.
    assert child.all("stopped_in")[0] < 6
    assert took < 30
    lines = side_effects.read(folder / "effects")
    time.sleep(0.2)
    assert side_effects.read(folder / "effects") == lines
    if operation != "side.endless_thread":
        # It has no more than the time of two cancellations.
        assert max(line["at"] for line in lines) - child.all("over_at")[0] < 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_engine_stops_though_a_handler_does_not_and_the_next_one_settles_it(
    engines: Driver, folder: Path, operation: str
) -> None:
    begin = time.monotonic()
    child = engines.do("endless", folder, operation=operation, how="stop")

    assert child.all("stopped_in")[0] < 15
    assert time.monotonic() - begin < 30
    engines.do("finish", folder)
    (record,) = records(folder).values()
    check(record)
    assert (record.state.actions["a"].error or {})["type"] == "Interrupted"
    assert record.state.status.value == "failed"
