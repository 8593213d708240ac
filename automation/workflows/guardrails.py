"""Whether an action may begin: pure decisions. Facts go in; a refusal with its guardrail and its reason comes out.

An *act* is one action that changes something, whatever its attempts. Limits look at what was done before; a global stop
and freeze windows at the time alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from automation.clock import iso
from automation.model.guardrail import Act, BlastRadius, FreezeWindow, Limits, Rate, Stop
from automation.model.workflow import Priority

RECHECK_SECONDS = 10.0
"""How soon an action that waits for others to end looks again."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An action that is about to begin."""

    workflow: str
    operation: str
    target: str = ""
    service: str | None = None
    replicas: int = 0
    replicas_of: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    """Those of the workflow and of the service."""
    priority: int = int(Priority.NORMAL)
    again: bool = False
    """Whether it is an act that was let through before: a retry, or what a crash has interrupted."""
    resumed: bool = False
    """Whether it goes on with an attempt that has begun before."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a guardrail holds an action back."""

    guardrail: str
    reason: str
    retry_at: float | None = None
    """When it may be tried; None where only a person knows."""
    waits: bool = False
    """Whether the guardrail itself wants it to wait."""

    def __str__(self) -> str:
        return f"guardrail {self.guardrail}: {self.reason}"


class History(Protocol):
    """What was done before."""

    def last(self, operation: str, target: str) -> Act | None:
        """The newest act of an operation on a target."""
        ...

    def begun_on(self, target: str, since: float) -> Sequence[float]:
        """When acts on a target began, from `since` on, in order."""
        ...

    def begun_by(self, workflow: str, since: float) -> Sequence[float]:
        """When acts of a workflow began, from `since` on, in order."""
        ...

    def on_services(self, since: float) -> Iterable[Act]:
        """Acts on services that had not ended at `since`."""
        ...


class Frozen(Protocol):
    """A freeze window, ready to be asked."""

    @property
    def definition(self) -> FreezeWindow:
        """As it was written."""
        ...

    def until(self, now: float) -> float | None:
        """When it ends, if it is in force now."""
        ...

    def concerns(self, intent: Intent) -> bool:
        """Whether it is meant for this action."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """All that may hold one action back."""

    stop: Stop | None = None
    freezes: Sequence[Frozen] = ()
    limits: Sequence[Limits] = ()


def decide(intent: Intent, rules: Rules, history: History, now: float) -> Refusal | None:
    """The first guardrail that holds an action back now, or None."""
    if rules.stop is not None:
        return _stopped(rules.stop)
    if intent.resumed:
        # Its attempt has begun already, and nothing is won by breaking it off in the middle.
        return None
    for window in rules.freezes:
        if (until := window.until(now)) is not None and window.concerns(intent):
            return _frozen(window.definition, until)
    if intent.again:
        return None
    for limits in rules.limits:
        refusal = (
            _cooling(intent, limits.cooldown_seconds, history, now)
            or _too_often(intent, limits, history, now)
            or _too_much(intent, limits.blast_radius, history, now)
        )
        if refusal is not None:
            return refusal
    return None


def recorded(intent: Intent, limits: Iterable[Limits]) -> bool:
    """Whether one of the limits has to know of this act later."""
    return any(
        limit.workflow_rate is not None
        or (intent.target and (limit.cooldown_seconds > 0 or limit.target_rate is not None))
        or (intent.service and _limits(limit.blast_radius))
        for limit in limits
    )


def ends_matter(intent: Intent, limits: Iterable[Limits]) -> bool:
    """Whether one of the limits has to know when this act ends."""
    return intent.service is not None and any(_limits(limit.blast_radius) for limit in limits)


def _limits(blast: BlastRadius) -> bool:
    return blast.share is not None or blast.services is not None


def _stopped(stop: Stop) -> Refusal:
    since = f"by {stop.actor}, since {iso(stop.since)}"
    return Refusal("stop", f"all changes are stopped: {stop.reason or 'no reason was given'} ({since})")


def _frozen(window: FreezeWindow, until: float) -> Refusal:
    why = f": {window.reason}" if window.reason else ""
    reason = f"{window.name} is in force until {iso(until)}{why}"
    return Refusal("freeze", reason, until, window.on_freeze == "wait")


def _cooling(intent: Intent, cooldown: float, history: History, now: float) -> Refusal | None:
    if cooldown <= 0 or not intent.target:
        return None
    last = history.last(intent.operation, intent.target)
    if last is None or now >= last.began_at + cooldown:
        return None
    ago = max(now - last.began_at, 0.0)
    reason = f"{intent.operation} acted on {intent.target} {ago:.0f} s ago, and does so every {cooldown:g} s at most"
    return Refusal("cooldown", reason, last.began_at + cooldown)


def _too_often(intent: Intent, limits: Limits, history: History, now: float) -> Refusal | None:
    rate = limits.target_rate
    if rate is not None and intent.target:
        begun = history.begun_on(intent.target, now - rate.window_seconds)
        if refusal := _rated(f"on {intent.target}", rate, begun):
            return refusal
    rate = limits.workflow_rate
    if rate is not None:
        begun = history.begun_by(intent.workflow, now - rate.window_seconds)
        return _rated(f"of workflow {intent.workflow}", rate, begun)
    return None


def _rated(what: str, rate: Rate, begun: Sequence[float]) -> Refusal | None:
    if len(begun) < rate.limit:
        return None
    acts = "1 act" if len(begun) == 1 else f"{len(begun)} acts"
    reason = f"{acts} {what} within {rate.window_seconds:g} s, where {rate.limit} may be"
    return Refusal("rate", reason, begun[-rate.limit] + rate.window_seconds)


def _too_much(intent: Intent, blast: BlastRadius, history: History, now: float) -> Refusal | None:
    if intent.service is None or not _limits(blast):
        return None
    current = list(history.on_services(now - blast.window_seconds))
    return _too_many_replicas(intent, blast, current, now) or _too_many_services(intent, blast, current, now)


def _too_many_replicas(intent: Intent, blast: BlastRadius, current: list[Act], now: float) -> Refusal | None:
    if blast.share is None or intent.replicas == 0:
        return None
    acts = [act for act in current if act.service == intent.service and act.replicas]
    touched = sum(act.replicas for act in acts)
    # What an earlier act has taken away belongs to the whole of which a share may be acted on.
    whole = max([intent.replicas_of, *(act.replicas_of for act in acts)])
    # A service of one replica could never be repaired otherwise.
    most = max(1, int(whole * blast.share + 1e-9))
    if touched + intent.replicas <= most:
        return None
    done = f", {touched} were just acted on" if touched else ""
    reason = (
        f"{intent.operation} acts on {intent.replicas} of {whole} replicas of {intent.service}{done}; "
        f"{blast.share:.0%} ({most}) may be at once"
    )
    # Alone it is too much: no waiting helps.
    return Refusal("blast_radius", reason, _over(acts, blast, now) if intent.replicas <= most else None)


def _too_many_services(intent: Intent, blast: BlastRadius, current: list[Act], now: float) -> Refusal | None:
    if blast.services is None:
        return None
    others = [act for act in current if act.service != intent.service]
    names = sorted({str(act.service) for act in others})
    if len(names) < blast.services:
        return None
    shown = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
    reason = f"{shown} {'is' if len(names) == 1 else 'are'} acted on, and {blast.services} may be at a time"
    return Refusal("blast_radius", reason, _over(others, blast, now))


def _over(acts: Iterable[Act], blast: BlastRadius, now: float) -> float:
    """When the first of these acts no longer counts, as far as that is known."""
    leave = (act.until + blast.window_seconds if act.until <= now else now + RECHECK_SECONDS for act in acts)
    return max(min(leave, default=now), now + 0.001)
