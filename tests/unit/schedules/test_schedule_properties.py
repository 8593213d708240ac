"""No time of a schedule is lost or comes twice, whatever happens to the clock, the engine and the database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automation.clock import parse_iso
from automation.errors import StoreUnavailable
from automation.model.event import Event
from automation.model.schedule import ScheduleDefinition
from automation.schedules.cron import parse_cron
from automation.schedules.scheduler import LONGEST_PAUSE
from tests.support.schedules import World

HOUR = 3600.0
CRONS = ("* * * * *", "*/15 * * * *", "30 * * * *", "30 2 * * *", "0 0,1,2,3 * * *", "59 23 * * SUN")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
# Shortly before a change of the clocks of the zones, and on a day like any other.
BEGINS = ("2026-03-28T22:00", "2026-10-24T22:00", "2026-03-08T04:00", "2026-11-01T03:00", "2026-06-15T12:00")

seconds = st.one_of(st.floats(0, 120), st.floats(0, 4 * HOUR))
steps = st.one_of(
    st.tuples(st.just("run"), seconds),
    st.tuples(st.just("set"), st.one_of(st.floats(-90, 90), st.floats(-4 * HOUR, 4 * HOUR))),
    st.tuples(st.just("away"), seconds),
    st.tuples(st.just("trouble"), st.floats(1, 4)),
)
schedules = st.lists(st.tuples(st.sampled_from(CRONS), st.sampled_from(ZONES)), min_size=1, max_size=3)


class Trouble:
    """The database refuses so many events."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, event: Event) -> None:
        if self.left > 0:
            self.left -= 1
            raise StoreUnavailable("not now")


@pytest.mark.timeout(300)
@settings(deadline=None, max_examples=60)
@example(
    # The time that is to make up for others cannot be published, and is missed itself before that is tried again.
    [("* * * * *", "UTC")],
    "2026-03-28T22:00",
    [("run", 13650.0), ("trouble", 2.0), ("set", 59.0), ("set", 58.0)],
)
@given(schedules, st.sampled_from(BEGINS), st.lists(steps, max_size=6))
async def test_each_time_comes_once_or_is_told_as_missed(
    schedules: list[tuple[str, str]], begin: str, steps: list[tuple[str, float]]
) -> None:
    world = World(parse_iso(begin))
    world.trouble = trouble = Trouble()
    definitions = [
        ScheduleDefinition(name=f"s{number}", cron=cron, timezone=zone) for number, (cron, zone) in enumerate(schedules)
    ]
    for definition in definitions:
        await world.scheduler.add(definition)
    await world.scheduler.start()
    earliest = latest = began = world.clock.now()
    for what, how_much in steps:
        if what == "run":
            await world.run(how_much)
        elif what == "away":
            await world.away(how_much)
        elif what == "set":
            world.clock.set_by(how_much)
            earliest = min(earliest, world.clock.now())
            # Noticed at the next look.
            await world.run(31)
        else:
            trouble.left = int(how_much)
        latest = max(latest, world.clock.now())
    trouble.left = 0
    # A clock that was set back first has to come again to where it was.
    await world.run(latest - world.clock.now() + 2 * LONGEST_PAUSE)
    await world.scheduler.stop()

    for definition in definitions:
        published = Counter(event.time for event in world.published if event.subject == definition.name)
        missed = list(told_as_missed(world, definition.name))
        expected = times(definition, began, latest)
        assert not {moment: count for moment, count in published.items() if count > 1}
        assert set(published) <= set(times(definition, earliest - 1, latest + 2 * LONGEST_PAUSE + 31))
        lost = [
            moment
            for moment in expected
            if moment not in published and not any(first <= moment <= last for first, last in missed)
        ]
        assert lost == []


def times(definition: ScheduleDefinition, after: float, until: float) -> list[float]:
    """All times of a schedule within."""
    cron, found = parse_cron(definition.cron, definition.timezone), []
    while (after := cron.next_after(after)) <= until:
        found.append(after)
    return found


def told_as_missed(world: World, name: str) -> Iterator[tuple[float, float]]:
    """From when to when times were told as missed."""
    for subject, outcome, reason in world.decisions:
        if (subject, outcome) == (name, "missed"):
            match = re.search(r"publish it: (\S+?Z)(?: to (\S+?Z))?(?:;|$)", reason)
            assert match, reason
            yield parse_iso(match[1]), parse_iso(match[2] or match[1])
