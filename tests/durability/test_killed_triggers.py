"""What triggers remember when the engine is killed: each event counts once, whatever dies in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.durability import Driver, events
from tests.support.trigger_driver import EVENTS, STARTS

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]

BEGIN = 1_800_000_000.0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 3, 9, 18, 23])
def test_whenever_it_is_killed_each_event_counts_once(engines: Driver, folder: Path, number: int, when: str) -> None:
    engines.start("triggers", folder, now=BEGIN, die=(number, when)).until_killed()

    again = engines.do("triggers", folder, now=BEGIN + 60)

    assert again.all("starts") == [STARTS]
    assert len([event for event in events(folder) if event["source"] == "test"]) == len(EVENTS)


def test_without_a_death_it_is_the_same(engines: Driver, folder: Path) -> None:
    assert engines.do("triggers", folder, now=BEGIN).all("starts") == [STARTS]
