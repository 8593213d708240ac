"""Freeze windows: when nothing is changed, and for which actions that is meant."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Protocol

from automation.model.guardrail import FreezeWindow
from automation.model.workflow import Priority
from automation.workflows.guardrails import Intent


class Times(Protocol):
    """The times of a cron expression."""

    def latest_before(self, moment: float) -> float:
        """The last time at or before a moment; minus infinity where there is none."""
        ...

    def next_after(self, moment: float) -> float:
        """The first time after a moment; infinity where there is none."""
        ...


ParseCron = Callable[[str, str], Times]
"""A cron expression and a time zone, read."""


class Freeze:
    """One window, ready to be asked. It knows until when its last answer holds."""

    def __init__(self, definition: FreezeWindow, parse: ParseCron) -> None:
        self.definition = definition
        self._times = parse(definition.cron, definition.timezone) if definition.cron is not None else None
        self._asked = math.inf
        self._holds_until = -math.inf
        self._until: float | None = None

    def until(self, now: float) -> float | None:
        """When it ends, if it is in force now."""
        if not self._asked <= now < self._holds_until:
            self._asked = now
            self._until, self._holds_until = self._look(now)
        return self._until

    def next_begin(self, now: float) -> float | None:
        """When it begins next, if it is not in force; None for one that is over."""
        begin = self._times.next_after(now) if self._times is not None else _seconds(self.definition.starts_at)
        return begin if now < begin < math.inf else None

    def concerns(self, intent: Intent) -> bool:
        """Whether it is meant for this action."""
        wanted = self.definition
        if wanted.spares_critical and intent.priority >= Priority.CRITICAL:
            return False
        if wanted.workflows and not _fits(intent.workflow, wanted.workflows):
            return False
        if wanted.services and not _fits(intent.service or intent.target, wanted.services):
            return False
        return all(intent.labels.get(key) == value for key, value in wanted.labels.items())

    def _look(self, now: float) -> tuple[float | None, float]:
        """Its end if it is in force, and until when that holds."""
        if self._times is None:
            begin, end = _seconds(self.definition.starts_at), _seconds(self.definition.ends_at)
            if now < begin:
                return None, begin
            return (end, end) if now < end else (None, math.inf)
        following = self._times.next_after(now)
        end = self._times.latest_before(now) + (self.definition.duration_seconds or 0.0)
        if end <= now:
            return None, following
        # One that begins again before it ends goes on: what it says now holds until then.
        return end, min(end, following)


def _seconds(moment: datetime.datetime | None) -> float:
    # A window without times has a cron expression, which is asked instead.
    return moment.timestamp() if moment is not None else math.inf


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)
