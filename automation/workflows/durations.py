"""Durations of definitions, when their time has come."""

from __future__ import annotations

from automation.conditions import Names, Template, seconds_of
from automation.errors import Refused


def seconds_in(template: Template, names: Names, key: str) -> float:
    """The seconds that a duration of a definition is worth now; raises InputError, Refused."""
    try:
        return seconds_of(template.render(names))
    except ValueError as error:
        raise Refused(f"{key}: {error}") from None
