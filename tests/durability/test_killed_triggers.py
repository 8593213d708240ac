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


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_so_does_each_of_a_list(engines: Driver, folder: Path, number: int, when: str) -> None:
    """Given again in other lists: those that were there, and those that were not, stand side by side."""
    engines.start("triggers", folder, now=BEGIN, together=4, die=(number, when)).until_killed()

    again = engines.do("triggers", folder, now=BEGIN + 60, together=7)

    assert again.all("starts") == [STARTS]
    assert [event["id"] for event in events(folder) if event["source"] == "test"] == [
        f"e-{number}" for number in range(len(EVENTS))
    ]


@pytest.mark.parametrize("together", [None, 5, 100])
def test_without_a_death_it_is_the_same(engines: Driver, folder: Path, together: int | None) -> None:
    assert engines.do("triggers", folder, now=BEGIN, together=together).all("starts") == [STARTS]
