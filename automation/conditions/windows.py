"""Functions over the recent samples of a metric, as in `avg(latency, 10m)`.

A condition reads a window as it reads a name: it asks its names for the text of the call. Who evaluates the condition
computes the windows that it names; nothing here knows where samples come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from automation.conditions.syntax import Call, Mistake, Name, Number, to_text
from automation.conditions.units import is_duration
from automation.conditions.values import known

NOT_METRICS = frozenset({"duration", "event", "labels", "subject"})
"""Names that a condition knows and that are no metrics."""


_EVENTS = (
    "; events are counted by a trigger of type count, and by a condition of a workflow without triggers that is "
    "nothing but count(...) >= N"
)
_LIKE = {"absent": "absent(heartbeat, 10m)", "forecast": "forecast(disk_usage, 1h, 4h)"}


@dataclass(frozen=True, slots=True)
class Window:
    """One windowed call of a condition."""

    text: str
    """The call as `to_text` writes it: the name under which its value is read."""
    function: str
    metric: str
    seconds: float
    ahead: float = 0.0
    """Of a forecast, for how many seconds after now."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Why the value of a window is unknown. Given as a value, it is unknown, and `explain` shows the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """What a window shows at one time."""

    value: float | bool | Gap
    until: float | None = None
    """The time to look again even if no sample comes; None where only a sample changes what can be said."""


class _Names(Protocol):
    def get(self, name: str, /) -> Any: ...


def read(names: _Names, text: str) -> Any:
    """The value of a window; unknown is None."""
    value = names.get(text)
    return None if isinstance(value, Gap) else known(value)


def window_of(call: Call) -> Window:
    """The window of a call that `check` has let pass."""
    name, length, *further = call.arguments
    assert isinstance(name, Name), "check refuses it before"
    assert isinstance(length, Number), "check refuses it before"
    ahead = 0.0
    for each in further:
        assert isinstance(each, Number), "check refuses it before"
        ahead = float(each.value)
    return Window(to_text(call), call.function, name.root, float(length.value), ahead)


def _is_condition(call: Call) -> bool:
    return bool(call.arguments) and not isinstance(call.arguments[0], Name)


def _hint(call: Call) -> str:
    """What may have been meant by a call that does not begin with the name of a metric."""
    name = call.arguments[0]
    if isinstance(name, Name) and len(name.parts) > 1 and name.root not in NOT_METRICS:
        whole = ".".join(map(str, name.parts))
        return f"; a metric named {whole} is written `{whole}`"
    return _EVENTS if call.function == "count" else ""


def check(call: Call, kept: float | None) -> None:
    """Refuses, with `Mistake`, a windowed call without a metric or a length, or longer than `kept` seconds."""
    if kept is None and not (call.function == "count" and _is_condition(call)):
        raise Mistake(
            call.column,
            f"{call.function}() looks at the recent samples of a metric: it works in alert rules and in "
            "conditions of workflows, triggers and actions",
        )
    like = _LIKE.get(call.function, f"{call.function}(latency, 10m)")
    wanted = "a metric and the length of a window"
    if call.function == "forecast":
        wanted = "a metric, the length of a window and for how long after now"
    if len(call.arguments) != 2 + (call.function == "forecast"):
        raise Mistake(call.column, f"{call.function}() takes {wanted}, as in {like}")
    name, length, *further = call.arguments
    if not isinstance(name, Name) or len(name.parts) > 1 or name.root in NOT_METRICS:
        raise Mistake(name.column, f"{call.function}() takes the name of a metric first, as in {like}{_hint(call)}")
    for each, what in ((length, "the length of a window"), *((ahead, "how far ahead") for ahead in further)):
        if not isinstance(each, Number) or not is_duration(each.text):
            raise Mistake(each.column, f"{what} is a duration, as in {like}")
        if each.value <= 0:
            raise Mistake(each.column, f"{what} is more than 0 seconds")
    assert isinstance(length, Number), "seen above"
    if kept is not None and length.value > kept:
        raise Mistake(
            length.column,
            f"a window of {length.text} reaches further back than the {kept:.0f} seconds for which samples are kept",
        )
