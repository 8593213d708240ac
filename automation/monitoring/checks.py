"""When a check has failed, and when it has recovered: a decision over results, without time or memory of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from automation.monitoring.collector import CheckResult

Transition = Literal["failed", "recovered"]


@dataclass(frozen=True, slots=True)
class CheckState:
    """What is held true of one target; of plain values, so that it can be stored as JSON."""

    ok: bool = True
    since: float = 0.0
    """Since when that holds: when the first of the results came that brought it about; 0 if from the beginning."""
    took: int = 0
    """How many results in a row brought it about."""
    detail: str = ""
    """What the last of them said."""
    address: str = ""
    announced: bool = True
    """Whether the change was published."""
    streak: int = 0
    """How many results in a row have said otherwise since."""
    streak_since: float = 0.0
    """When the first of those came."""


class Limits(Protocol):
    """How many results in a row change what is held true: `Thresholds`, or a service's `HealthCheck`."""

    @property
    def failures(self) -> int: ...
    @property
    def successes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What a result changes."""

    state: CheckState
    transition: Transition | None
    reason: str


def decide(definition: Limits, state: CheckState, result: CheckResult) -> Decision:
    """Take one more result into account.

    What is held true changes after `failures` bad or `successes` good results in a row. A target that was never seen
    before is held to be well.
    """
    if result.ok == state.ok:
        return Decision(replace(state, streak=0, streak_since=0.0), None, "as before")
    streak = state.streak + 1
    since = state.streak_since if state.streak else result.time
    needed = definition.successes if result.ok else definition.failures
    word = "good" if result.ok else "bad"
    if streak < needed:
        waiting = replace(state, streak=streak, streak_since=since)
        return Decision(waiting, None, f"{streak} of {needed} {word} results in a row")
    changed = CheckState(
        ok=result.ok, since=since, took=streak, detail=result.detail, address=result.address, announced=False
    )
    return Decision(changed, "recovered" if result.ok else "failed", f"{streak} {word} results in a row")
