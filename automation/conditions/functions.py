"""The functions of the language, one row each."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from automation.conditions import windows
from automation.conditions.syntax import Call, Mistake, Name


@dataclass(frozen=True, slots=True)
class Function:
    """One function: what it says, for the documentation, and where its value comes from."""

    name: str
    says: str
    apply: Callable[..., Any] | None = None
    windowed: bool = False


def _is_unknown(value: Any) -> bool:
    return value is None


_ROWS = (
    Function("absent", "true if the name is unknown; with a window, if there is no sample in it", apply=_is_unknown),
    Function("avg", "the mean of the samples in the window", windowed=True),
    Function("min", "the smallest sample in the window", windowed=True),
    Function("max", "the largest sample in the window", windowed=True),
    Function("sum", "the sum of the samples in the window", windowed=True),
    Function("count", "the number of samples in the window", windowed=True),
    Function("rate", "the increase of a counter a second", windowed=True),
    Function("increase", "the increase of a counter over the window", windowed=True),
    Function("stddev", "the standard deviation of the samples in the window", windowed=True),
    Function("p50", "the median of the samples in the window; so are p75, p90, p95, p99", windowed=True),
    Function("p75", "see p50", windowed=True),
    Function("p90", "see p50", windowed=True),
    Function("p95", "see p50", windowed=True),
    Function("p99", "see p50", windowed=True),
    Function("last", "the newest sample in the window", windowed=True),
    Function("delta", "the newest sample less the oldest in the window", windowed=True),
    Function("changed", "true if the value changed in the window", windowed=True),
    Function("anomaly", "how many standard deviations the newest sample is above those before it", windowed=True),
    Function("forecast", "the value expected after a time, by the trend of the window", windowed=True),
)
FUNCTIONS = {row.name: row for row in _ROWS}


def canonical(name: str) -> str:
    """The name of a function as the table has it; one that it does not have is for `check_call`."""
    function = FUNCTIONS.get(name.lower())
    return name if function is None else function.name


def is_windowed(call: Call) -> bool:
    """Whether the value of a call comes from a window and not from its arguments."""
    function = FUNCTIONS[call.function]
    return function.windowed or (function.name == "absent" and len(call.arguments) > 1)


def check_call(call: Call, kept: float | None) -> None:
    """Refuses a call that cannot be computed where samples are kept for that many seconds, or not at all."""
    if call.function not in FUNCTIONS:
        raise Mistake(call.column, f"there is no function {call.function!r}{_meant(call.function, kept)}")
    if is_windowed(call):
        windows.check(call, kept)
    elif len(call.arguments) != 1 or not isinstance(call.arguments[0], Name):
        raise Mistake(call.column, "absent() takes a name, as in absent(heartbeat)")


def _meant(name: str, kept: float | None) -> str:
    """What can be written in its place: only what would not be refused there."""
    usable = [row.name for row in _ROWS if row.apply is not None or (row.windowed and kept is not None)]
    close = difflib.get_close_matches(name.lower(), usable, n=1)
    return f": did you mean {close[0]}?" if close else f"; here there {_listed(usable)}"


def _listed(names: list[str]) -> str:
    return f"is only {names[0]}" if len(names) == 1 else f"are {', '.join(names)}"
