"""When a trigger is active: on some days, between two times of day, by the clocks of a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from automation.model.trigger import WEEK, ActiveHours


@dataclass(frozen=True, slots=True)
class Hours:
    """Active hours, compiled."""

    start: int
    """Minutes after midnight."""
    end: int
    """Minutes after midnight; more than a day has where it is of the next day."""
    days: frozenset[int]
    zone: ZoneInfo
    text: str

    def contains(self, moment: float) -> bool:
        """Whether a time is within them: what the clocks on the wall show counts, also where they were changed."""
        there = datetime.fromtimestamp(moment, UTC).astimezone(self.zone)
        # It may have begun today, or the evening before.
        return any(self._of_day(there, there.date() - timedelta(days=ago)) for ago in (0, 1))

    def _of_day(self, there: datetime, day: date) -> bool:
        minutes = (there.date() - day).days * 1440 + there.hour * 60 + there.minute
        return day.weekday() in self.days and self.start <= minutes < self.end


def hours_of(given: ActiveHours) -> Hours:
    """Compile active hours; raises KeyError or ValueError for a time zone that is none."""
    start, end = _minutes(given.start), _minutes(given.end)
    days = frozenset(WEEK.index(day) for day in given.days)
    text = f"{given.start} to {given.end} {given.timezone}" + ("" if len(days) == 7 else f" on {', '.join(given.days)}")
    return Hours(start, end if end > start else end + 1440, days, ZoneInfo(given.timezone), text)


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)
