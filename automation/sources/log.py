"""`log`: follows a log file and makes events of the lines that match a pattern."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from automation.conditions.regex_safety import UnsafePattern, bounded
from automation.errors import InputError
from automation.model.event import Event
from automation.plugins import source
from automation.sources import payload
from automation.sources.follow import Line
from automation.sources.lines import Lines, followed
from automation.sources.record import TypeName
from automation.sources.source import Delivery, Rejected, SourceContext

_OWN = frozenset({"time", "subject", "severity", "type"})
_LONGEST_SUBJECT = 500
_SAY_THE_YEAR = re.compile(r"%[YyGcx]")
_SAY_THE_DAY = re.compile(r"%[djaAwuUWV]")


class Log(Lines):
    """Which log to follow, and which of its lines are events."""

    pattern: str
    """A regular expression with named groups, `(?P<name>...)`. A line in which it is not found is no event and is
    passed over. Groups become data; `time`, `subject`, `severity` and `type` become those of the event."""
    type: TypeName = "log.line"
    """The type of the events, where there is no group `type`."""
    subject: str = ""
    """The subject of the events, where there is no group `subject`."""
    time_format: str | None = None
    """How the group `time` is written, as `strptime` has it; by default as in `2026-11-23T09:00:00Z`. Without a zone it
    is UTC; without a year (`%b %d %H:%M:%S`, as syslog writes it) or a day, the one that is nearest to now. A time that
    cannot be read makes a line a dead letter."""
    numbers: tuple[str, ...] = ()
    """Groups that are numbers in the data, and not texts."""
    severities: Mapping[str, str] = Field(default_factory=dict)
    """What the group `severity` stands for: `{ERROR: high, FATAL: critical}`. Others stay as they are."""
    keep_line: bool = True
    """Whether the data hold the whole line as `line`."""
    from_start: bool = False
    """Whether to read, at the very first start, what the file holds already."""
    max_line_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 65_536
    """A longer line is rejected."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        try:
            compiled, _ = bounded(self.pattern)
        except UnsafePattern as error:
            raise ValueError(f"pattern: {error}") from None
        if unknown := sorted(set(self.numbers) - set(compiled.groupindex)):
            raise ValueError(f"numbers: the pattern has no group {unknown[0]!r}")
        return self


@source("log")
async def log(settings: Log, context: SourceContext) -> AsyncIterator[Delivery | Rejected]:
    """Follow a log through rotation and truncation; lines that match a pattern are events."""
    pattern, limit = bounded(settings.pattern)

    def read(line: Line) -> Event | None:
        text = line.raw.decode(errors="replace").rstrip("\r")
        found = pattern.search(text[:limit])
        if found is None:
            return None
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        return _event(settings, groups, text, line.id, context)

    async with aclosing(followed(settings, context, read)) as items:  # type: ignore[type-var]
        async for item in items:
            yield item


def _event(settings: Log, groups: Mapping[str, str], text: str, line_id: str, context: SourceContext) -> Event:
    data: dict[str, Any] = {name: value for name, value in groups.items() if name not in _OWN}
    for name in settings.numbers:
        if name in data:
            data[name] = _number(data[name], name)
    if settings.keep_line:
        data["line"] = text
    severity = groups.get("severity")
    return Event(
        type=payload.name(groups.get("type", settings.type), "type", payload.MAX_TYPE),
        subject=groups.get("subject", settings.subject)[:_LONGEST_SUBJECT],
        severity=severity and settings.severities.get(severity, severity),
        source=f"log:{context.name}",
        id=line_id,
        time=_time(groups.get("time"), settings.time_format, context.clock.now()),
        data=data,
    )


def _number(text: str, name: str) -> float | int:
    try:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else _finite(text)
    except ValueError:
        raise InputError(f"{name}: {text[:60]!r} is not a number") from None


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError("JSON has neither NaN nor infinity")
    return number


def _time(text: str | None, form: str | None, now: float) -> float:
    if text is None:
        return now
    if form is None:
        return payload.moment(text, "time")
    found = [moment for moment in _readings(text, form, now) if moment is not None]
    if not found:
        raise InputError(f"time: {text[:60]!r} is not written as {form!r}")
    return payload.in_range(min(found, key=lambda moment: abs(moment - now)), "time")


def _readings(text: str, form: str, now: float) -> list[float | None]:
    """The moments that a time may mean, which need not say all of its date; None for one that there is not."""
    today = datetime.fromtimestamp(now, UTC)
    if _SAY_THE_YEAR.search(form):
        return [_moment(text, form)]
    if _SAY_THE_DAY.search(form):
        # With the year in front: of a year that has none, 29 February could not be read.
        return [_moment(f"{today.year + apart:04} {text}", f"%Y {form}") for apart in (-1, 0, 1)]
    days = (today + timedelta(days=apart) for apart in (-1, 0, 1))
    return [_moment(f"{day:%Y-%m-%d} {text}", f"%Y-%m-%d {form}") for day in days]


def _moment(text: str, form: str) -> float | None:
    try:
        read = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is set below, where the text has none
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
