"""Cron expressions in a time zone.

As in Debian's cron, a time that a change of the clock skips comes right after the gap, and one that it repeats comes
once; expressions with `*` in minute or hour follow the real passing of time instead.
"""

from __future__ import annotations

import difflib
import math
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cache

from cronsim import CronSim, CronSimError

from automation.errors import DefinitionError, Problem

NEVER = math.inf

_MAX_LENGTH = 500
_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L or LW",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT, also MON#1 or 5L",
}
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """The times of a cron expression; made by `parse_cron`. Moments are seconds since the epoch."""

    text: str
    timezone: str
    zone: tzinfo = field(repr=False, compare=False)

    def next_after(self, moment: float) -> float:
        """The first time after `moment`; `NEVER` where there is none."""
        for found in self._times(moment):
            # In an hour that comes twice, the search begins by the clock on the wall and may find what has passed.
            if found > moment:
                return found
        return NEVER

    def latest_before(self, moment: float) -> float:
        """The last time at or before `moment`; minus infinity where there is none."""
        for found in self._times(moment + 1, reverse=True):
            if found <= moment:
                latest = found
                break
        else:
            return -NEVER
        while (following := self.next_after(latest)) <= moment:
            latest = following
        return latest

    def _times(self, moment: float, *, reverse: bool = False) -> Iterator[float]:
        begin = datetime.fromtimestamp(math.floor(moment), self.zone)
        for found in CronSim(self.text, begin, reverse=reverse):
            yield found.timestamp()


def parse_cron(text: str, timezone: str = "UTC") -> Cron:
    """Read five fields and the name of a time zone; raises DefinitionError with what is wrong with either."""
    zone = _zone(timezone)
    problems = [_cron_problem(text)]
    if not isinstance(zone, tzinfo):
        problems.append(Problem("timezone", zone))
    found = [problem for problem in problems if problem is not None]
    if found or not isinstance(zone, tzinfo):
        raise DefinitionError(found, what="schedule")
    return Cron(" ".join(text.split()), timezone, zone)


def _cron_problem(text: str) -> Problem | None:
    shorthand = _SHORTHANDS.get(text.strip().lower())
    if shorthand is not None:
        return Problem("cron", f"{text.strip()} is not a cron expression here; write {shorthand!r}")
    fields = text.split()
    if len(text) > _MAX_LENGTH:
        return Problem("cron", f"is longer than {_MAX_LENGTH} characters")
    if len(fields) != len(_FIELDS):
        wanted = "minute, hour, day of month, month, day of week"
        return Problem("cron", f"needs five fields ({wanted}), as in '30 2 * * *', not {len(fields)}: {text!r}")
    try:
        first = next(CronSim(text, _ANY_DAY), None)
    except (CronSimError, AssertionError, ValueError) as error:
        name = str(error).removeprefix("Bad ")
        if name not in _FIELDS:
            return Problem("cron", f"{text!r} is not a cron expression")
        value = fields[list(_FIELDS).index(name)]
        return Problem("cron", f"{name} {value!r} is not valid: it takes {_FIELDS[name]}; *, lists, ranges and steps")
    if first is None:
        return Problem("cron", f"{text!r} has no time within 50 years")
    return None


def _zone(name: str) -> tzinfo | str:
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = _known_zones()
        last_parts = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known.values())}
        near = [known[key] for key in difflib.get_close_matches(name.lower()[:100], known, n=2, cutoff=0.75)]
        if name.lower() in last_parts and not near:
            near = [last_parts[name.lower()]]
        hint = f"; did you mean {' or '.join(near)}?" if near else "; use an IANA name such as Europe/Berlin"
        return f"there is no time zone {name[:100]!r}{hint}"


@cache
def _known_zones() -> dict[str, str]:
    # All their files are looked at, which takes a while.
    return {zone.lower(): zone for zone in zoneinfo.available_timezones()}
