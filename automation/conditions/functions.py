"""The functions of the language, one row each.

A function without `apply` parses but has no meaning yet: the row gets one when the store of windows exists.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from automation.conditions.syntax import Call, Mistake, Name


@dataclass(frozen=True, slots=True)
class Function:
    """One function: what it says, for the documentation, and how its value comes from those of its arguments."""

    name: str
    says: str
    apply: Callable[..., Any] | None = None
    check: Callable[[Call], None] | None = None


def _is_unknown(value: Any) -> bool:
    return value is None


def _one_name(call: Call) -> None:
    if not call.arguments or not isinstance(call.arguments[0], Name):
        raise Mistake(call.column, "absent() takes a name, as in absent(heartbeat)")
    if len(call.arguments) > 1:
        raise _not_yet(call)


def _not_yet(call: Call) -> Mistake:
    return Mistake(call.column, f"windowed functions are not available yet: {call.function}()")


_ROWS = (
    Function("absent", "true if the name is missing or unknown", apply=_is_unknown, check=_one_name),
    Function("avg", "the mean of the samples in the window"),
    Function("min", "the smallest sample in the window"),
    Function("max", "the largest sample in the window"),
    Function("sum", "the sum of the samples in the window"),
    Function("count", "how often the condition was true in the window"),
    Function("rate", "the increase of a counter a second"),
    Function("increase", "the increase of a counter over the window"),
    Function("stddev", "the standard deviation of the samples in the window"),
    Function("p50", "the median of the samples in the window; so are p75, p90, p95, p99"),
    Function("p75", "see p50"),
    Function("p90", "see p50"),
    Function("p95", "see p50"),
    Function("p99", "see p50"),
    Function("last", "the newest sample in the window"),
    Function("delta", "the newest sample less the oldest in the window"),
    Function("changed", "true if the value changed in the window"),
    Function("anomaly", "how unusual the newest sample is"),
    Function("forecast", "the value expected after that time"),
)
FUNCTIONS = {row.name: row for row in _ROWS}


def check_name(name: str, column: int) -> str:
    """The name of a function as the table has it. Raises `Mistake` for one that does not exist."""
    function = FUNCTIONS.get(name.lower())
    if function is not None:
        return function.name
    close = difflib.get_close_matches(name.lower(), FUNCTIONS, n=1)
    hint = f": did you mean {close[0]}?" if close else f"; there are {', '.join(FUNCTIONS)}"
    raise Mistake(column, f"there is no function {name!r}{hint}")


def check_call(call: Call) -> None:
    """Refuses a call that cannot be computed."""
    function = FUNCTIONS[call.function]
    if function.check is not None:
        function.check(call)
    if function.apply is None:
        raise _not_yet(call)
