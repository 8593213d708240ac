"""What an event costs among many rules: to find those that it could fulfil, and to ask them."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

from automation.conditions import compile_condition
from automation.model.event import Event, as_mapping
from automation.triggers.index import Index
from automation.triggers.rules import EventScope, Rule
from benchmarks.figures import Figure, Outcome
from benchmarks.setting import Setting

KINDS = {
    "by type": "event.type == 'type-{}' AND load > 5",
    "by subject": "event.subject == 'host-{}' AND load > 5",
    "by a constant": "host == 'host-{}' AND load > 5",
    "by name": "load_{} > 5",
}
FEW, MANY = 100, 10_000


def run(setting: Setting) -> Outcome:
    """An event that fulfils one rule of a hundred, and of ten thousand; the least of several rounds, in turns."""
    number, rounds = (2_000, 5) if setting.quick else (10_000, 25)
    figures = []
    for kind, text in KINDS.items():
        asked = {count: _asked(text, count) for count in (FEW, MANY)}
        taken: dict[int, list[float]] = {count: [] for count in asked}
        for _ in range(rounds):
            # In turns, and by processor time, so that what else the machine does disturbs both alike, and little.
            for count, decide in asked.items():
                taken[count].append(timeit.timeit(decide, timer=time.process_time, number=number) / number)
        few, many = min(taken[FEW]), min(taken[MANY])
        figures.append(Figure(f"{kind}, {FEW:,} rules", few * 1e6, "µs"))
        figures.append(Figure(f"{kind}, {MANY:,} rules", many * 1e6, "µs", f"ratio {many / few:.2f}, wanted 1.5"))
    return Outcome("rules", "one event, until it is known which rules it fulfils; processor time", figures)


def _asked(text: str, count: int) -> Callable[[], int]:
    """What is measured, over so many rules."""
    index = Index()
    for each in range(count):
        condition = compile_condition(text.format(each))
        index.put(f"w{each}", [Rule(f"w{each}", "conditions", condition.event_types, conditions=(condition,))])
    event = Event(type="type-7", subject="host-7", data={"load": 6, "host": "host-7", "load_7": 6})

    def decide() -> int:
        scope = EventScope(as_mapping(event))
        return sum(rule.fits(event, scope) for rule in index.candidates(event, scope))

    assert decide() == 1
    return decide
