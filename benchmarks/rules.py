"""What an event costs among many rules: to find those that it could fulfil, and to ask them."""

from __future__ import annotations

import timeit

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
    """An event that fulfils one rule of a hundred, and of ten thousand; the least of several rounds."""
    number, rounds = (5_000, 3) if setting.quick else (50_000, 7)
    figures = []
    for kind, text in KINDS.items():
        few, many = (_cost(text, count, number, rounds) for count in (FEW, MANY))
        figures.append(Figure(f"{kind}, {FEW:,} rules", few * 1e6, "µs"))
        figures.append(Figure(f"{kind}, {MANY:,} rules", many * 1e6, "µs", f"ratio {many / few:.2f}, wanted 1.5"))
    return Outcome("rules", "one event, until it is known which rules it fulfils", figures)


def _cost(text: str, count: int, number: int, rounds: int) -> float:
    index = Index()
    for each in range(count):
        condition = compile_condition(text.format(each))
        index.put(f"w{each}", [Rule(f"w{each}", "conditions", condition.event_types, conditions=(condition,))])
    event = Event(type="type-7", subject="host-7", data={"load": 6, "host": "host-7", "load_7": 6})

    def decide() -> int:
        scope = EventScope(as_mapping(event))
        return sum(rule.refuses(event, scope) is None for rule in index.candidates(event, scope))

    assert decide() == 1
    return min(timeit.repeat(decide, number=number, repeat=rounds)) / number
