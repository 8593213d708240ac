"""Side by side with ansible-rulebook: the same rulebook and the same events, in the same run and in turns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import child
from benchmarks.environments import PEERS, environment
from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Setting

RULES = (100, 1_000)


@dataclass(slots=True)
class Side:
    """One engine, and how many events it gets in one round: the slower get fewer."""

    name: str
    module: str
    python: str
    events: int
    more: tuple[str, ...] = ()
    found: list[dict[str, Any]] = field(default_factory=list)

    def rates(self) -> list[float]:
        """Events a second, round by round."""
        return [one["events"] / one["seconds"] for one in self.found]


def run(setting: Setting) -> Outcome:
    """One event in a hundred fulfils one rule of a hundred, or of a thousand."""
    rounds, part = (1, 20) if setting.quick else (3, 1)
    python, reason = environment(setting.folder, PEERS / "rulebook.txt")
    if reason is None and shutil.which("java") is None:
        reason = "there is no Java on this machine"
    facts = {} if reason is None else {"ansible-rulebook": f"left out: {reason}"}
    figures: list[Figure] = []
    for rules in RULES:
        sides = _sides(python if reason is None else None, part)
        for turn in range(rounds):
            for side in sides:
                _once(setting.folder, side, rules, turn)
        figures += _figures(rules, sides)
        facts |= {side.name: side.found[0]["version"] for side in sides}
    title = f"events that are decided on, 1 % of them fulfil one rule, {rounds} rounds in turns"
    return Outcome("rulebook", title, figures, facts)


def _sides(python: str | None, part: int) -> list[Side]:
    ours = "benchmarks.peers.automation_hosts"
    sides = [
        Side("automation, retain: matched", ours, sys.executable, 40_000 // part, ("matched",)),
        Side("automation, retain: all", ours, sys.executable, 20_000 // part, ("all",)),
    ]
    if python is not None:
        sides += [
            Side("ansible-rulebook", "benchmarks.peers.rulebook_hosts", python, 20_000 // part),
            Side("Drools alone", "benchmarks.peers.drools_hosts", python, 20_000 // part),
        ]
    return sides


def _once(folder: Path, side: Side, rules: int, turn: int) -> None:
    place = folder / f"{rules}-{side.module.rpartition('.')[2]}-{'-'.join(side.more)}-{turn}"
    place.mkdir()
    with child(place, side.module, place, rules, side.events, *side.more, python=side.python) as process:
        side.found.append(process.hear())


def _figures(rules: int, sides: Sequence[Side]) -> list[Figure]:
    figures = []
    for side in sides:
        rates = side.rates()
        spread = f"best {max(rates):,.0f}, worst {min(rates):,.0f}"
        used = median([one["processor"] / one["events"] for one in side.found])
        figures += [
            Figure(f"{rules:,} rules: {side.name}, events a second", median(rates), "/s", spread),
            Figure(f"{rules:,} rules: {side.name}, processor time an event", used * 1e6, "µs", "all threads"),
        ]
    for ours in sides[:2]:
        for other in sides[2:]:
            ratios = [one / two for one, two in zip(ours.rates(), other.rates(), strict=True)]
            spread = f"of the rates, in turns; {min(ratios):.1f} to {max(ratios):.1f}"
            figures.append(Figure(f"{rules:,} rules: {ours.name}, ratio to {other.name}", median(ratios), "", spread))
    return figures
