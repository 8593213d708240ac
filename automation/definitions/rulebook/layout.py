"""Where the keys of an event of ansible-rulebook are in an event of ours, which depends on the source that gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Parts = tuple[str | int, ...]

DATA: Parts = ("event", "data")
_ALERT: Mapping[str, Parts] = {
    "labels": ("event", "labels"),
    "annotations": (*DATA, "annotations"),
    "status": (*DATA, "status"),
    "fingerprint": (*DATA, "fingerprint"),
    "startsAt": (*DATA, "starts_at"),
    "endsAt": (*DATA, "ends_at"),
    "generatorURL": (*DATA, "generator_url"),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How events of one ruleset look."""

    types: tuple[str, ...]
    """The types that they have here."""
    wrappers: frozenset[str] = frozenset()
    """First keys under which sources of theirs put what is the data here: `payload`, `body`."""
    alerts: bool = False
    """Whether they are alerts of an Alertmanager."""

    def name(self, parts: Parts) -> Parts:
        """The name here of `event.<parts>` there; its first part is always `event`."""
        if not parts:
            return DATA
        first, rest = str(parts[0]), parts[1:]
        if first == "meta" and rest[:1] == ("uuid",):
            return ("event", "id")
        if self.alerts and first == "alert" and rest and rest[0] in _ALERT:
            return (*_ALERT[str(rest[0])], *rest[1:])
        if first in self.wrappers:
            return (*DATA, *rest)
        return (*DATA, *parts)
