"""What one evaluation of a compiled condition costs."""

from __future__ import annotations

import timeit

from automation.conditions import compile_condition
from benchmarks.figures import Figure, Outcome
from benchmarks.setting import Setting

FOUR = 'cpu_usage > 80 AND latency > 250ms AND region IN ["eu", "us"] AND NOT maintenance'
CASES = {
    "one comparison": ("cpu_usage > 80", {"cpu_usage": 91.0}),
    "four clauses, all true": (FOUR, {"cpu_usage": 91.0, "latency": 0.3, "region": "eu", "maintenance": False}),
    "four clauses, the first false": (FOUR, {"cpu_usage": 9.0, "latency": 0.3, "region": "eu", "maintenance": False}),
    "four clauses, all unknown": (FOUR, {}),
    "a path into an event": ("event.data.host == 'a1'", {"event": {"data": {"host": "a1"}}}),
}


def run(setting: Setting) -> Outcome:
    """The least of several rounds: what disturbs a measurement only ever adds to it."""
    number, rounds = (20_000, 3) if setting.quick else (200_000, 9)
    figures = []
    plain = _python(number, rounds)
    for name, (text, names) in CASES.items():
        condition = compile_condition(text)
        best = min(timeit.repeat(lambda c=condition, n=names: c(n), number=number, repeat=rounds)) / number
        figures.append(Figure(name, best * 1e9, "ns"))
    begin = timeit.timeit(lambda: compile_condition(FOUR), number=50) / 50
    figures.append(Figure("to compile the four clauses", begin * 1e6, "µs", "once, when it is registered"))
    four = next(figure for figure in figures if figure.name == "four clauses, all true")
    figures.append(
        Figure("the same four, as a Python lambda", plain * 1e9, "ns", f"ratio {four.value / plain / 1e9:.1f}")
    )
    return Outcome("conditions", f"one evaluation; the four clauses: {FOUR}", figures)


def _python(number: int, rounds: int) -> float:
    names = dict(CASES["four clauses, all true"][1])

    def by_hand(n: dict[str, object]) -> bool:
        return (
            n["cpu_usage"] > 80  # type: ignore[operator]
            and n["latency"] > 0.25  # type: ignore[operator]
            and n["region"] in ("eu", "us")
            and not n["maintenance"]
        )

    return min(timeit.repeat(lambda: by_hand(names), number=number, repeat=rounds)) / number
