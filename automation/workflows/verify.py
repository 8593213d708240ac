"""What a `verify` says, and what follows from a value of its condition. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from automation.conditions import Condition, compile_condition, seconds_of
from automation.errors import ConditionError
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.workflows.progress import Verifying

POLL_SECONDS = 1.0
"""How often a condition is looked at that is not yet true."""

_LIMIT = re.compile(r"\s(within|for)\s+([0-9a-zA-Z_.]+)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What a `verify` says."""

    condition: Condition
    within: float | None
    """Seconds until which it must have become true; by default that of the configuration."""
    hold: float
    """Seconds for which it must then stay true."""


def parse_check(text: str) -> Check:
    """`CONDITION [within DURATION] [for DURATION]`. Raises ConditionError."""
    limits: dict[str, float] = {}
    rest = text
    while (match := _LIMIT.search(rest)) is not None:
        word = match[1].lower()
        try:
            if word in limits:
                raise ValueError(f"there are two {word!r}")
            limits[word] = seconds_of(match[2])
        except ValueError as error:
            raise ConditionError(text, match.start(2) + 1, str(error)) from None
        rest = rest[: match.start()]
    return Check(compile_condition(rest, units=UNITS, kept=KEPT_SECONDS), limits.get("within"), limits.get("for", 0.0))


@dataclass(frozen=True, slots=True)
class Verdict:
    """It has passed, it has failed, or it is looked at again in `pause` seconds."""

    outcome: Literal["passed", "failed", "open"]
    since: float | None
    """Since when the condition has held."""
    pause: float = 0.0


def follow(check: Check, state: Verifying, value: bool | None, now: float, *, first: bool = False) -> Verdict:
    """What a value of the condition means. The first look is in time always: also where there is none, or no more.

    Unknown does not end the time for which it has held, as samples may be missing for a moment; but only true passes.
    """
    since = state.since
    if value is False:
        since = None
    elif value is True and since is None and (first or now <= state.until):
        since = now
    if value is True and since is not None and now - since >= check.hold:
        return Verdict("passed", since)
    end = state.until if since is None else since + check.hold
    if now >= end:
        return Verdict("failed", since)
    return Verdict("open", since, min(POLL_SECONDS, end - now))
