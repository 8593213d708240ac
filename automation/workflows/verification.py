"""Watches the `verify` of actions: after its work is done, a condition must become true, and perhaps hold.

Until when it must be is in the journal, so that a restart goes on with the verification, till the same moment, and does
not do the work again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from automation.clock import Clock
from automation.conditions import Gap, Window
from automation.errors import VerificationFailed
from automation.model.metric import Sample
from automation.workflows.measuring import subject_of
from automation.workflows.progress import Verifying
from automation.workflows.run import Run, Turn
from automation.workflows.state import Scope
from automation.workflows.verify import Check, follow


class Samples(Protocol):
    """Where the recent samples of metrics are."""

    def latest(self, name: str, subject: str | None = None) -> Sample | None:
        """The newest sample of a metric, of any subject or of this one."""
        ...

    def measure(self, window: Window, subject: str, /) -> float | bool | Gap:
        """What a window shows now for a subject; for any, where that is empty."""
        ...


class Verification:
    """Watches conditions of actions that have done their work."""

    def __init__(self, clock: Clock, samples: Samples, within: float, flush: Callable[[Run], Awaitable[None]]) -> None:
        self._clock = clock
        self._samples = samples
        self._within = within
        self._flush = flush

    async def begin(self, run: Run, turn: Turn, check: Check, outputs: Any) -> None:
        """Note that the work is done; on disk when this returns."""
        now = self._clock.now()
        within = self._within if check.within is None else check.within
        run.note(now, "action_verifying", turn.key, {"outputs": outputs, "until": now + within})
        await self._flush(run)

    async def watch(self, run: Run, turn: Turn, check: Check) -> None:
        """Return when the condition has become true and has held; raises VerificationFailed."""
        state = run.state.action(turn.key).verifying
        assert state is not None
        scope = self._scope(run, turn, state, check)
        first = True
        while True:
            now = self._clock.now()
            verdict = follow(check, state, check.condition.evaluate(scope), now, first=first)
            first = False
            if verdict.outcome == "passed":
                return
            if verdict.outcome == "failed":
                raise VerificationFailed(_told(check, state, scope))
            if check.hold and verdict.since != state.since:
                run.note(now, "action_holding", turn.key, {"since": verdict.since})
                await self._flush(run)
            await self._clock.sleep(verdict.pause)

    def _scope(self, run: Run, turn: Turn, state: Verifying, check: Check) -> MeasuredScope:
        action = run.state.action(turn.key)
        subject = subject_of(action.parameters, run.state.event)
        outputs = action.outputs if isinstance(action.outputs, Mapping) else {}
        own = {"attempt": action.attempt, "iteration": action.iteration, **turn.own, **outputs}
        # What was measured before the work was done says nothing of it; where there is time, later samples are awaited.
        newer_than = state.began if state.until > state.began else None
        measured = Measured(self._samples, self._clock, subject or None, newer_than, check.condition.windows)
        return MeasuredScope(Scope(run.state, own), own, measured)


class Measured:
    """What was measured of a subject since the work was done."""

    def __init__(
        self,
        samples: Samples,
        clock: Clock,
        subject: str | None,
        newer_than: float | None,
        windows: Iterable[Window],
    ) -> None:
        self._samples = samples
        self._clock = clock
        self._subject = subject
        self._newer_than = newer_than
        self._windows = {window.text: window for window in windows}

    def latest(self, name: str) -> Sample | None:
        """The newest sample of a metric, whenever it was measured."""
        return self._samples.latest(name, self._subject)

    def is_stale(self, sample: Sample) -> bool:
        """Whether it was measured before the work was done."""
        return self._newer_than is not None and sample.time < self._newer_than

    def window(self, text: str) -> float | bool | Gap | None:
        """The value of a window of the condition; None for what is none."""
        window = self._windows.get(text)
        if window is None:
            return None
        now = self._clock.now()
        if self._newer_than is not None and now - window.seconds < self._newer_than:
            return Gap(f"the work was done only {max(0.0, now - self._newer_than):.0f} seconds ago")
        return self._samples.measure(window, self._subject or "")


class MeasuredScope:
    """The names of a verification: the action's own and its outputs, metrics of its subject, then the usual ones."""

    __slots__ = ("_measured", "_own", "_usual")

    def __init__(self, usual: Scope, own: Mapping[str, Any], measured: Measured) -> None:
        self._usual = usual
        self._own = own
        self._measured = measured

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name or of a window, or `default`."""
        window = self._measured.window(name)
        if window is not None:
            return window
        if name in self._own:
            return self._own[name]
        sample = self._measured.latest(name)
        if sample is None:
            return self._usual.get(name, default)
        return default if self._measured.is_stale(sample) else sample.value


def _told(check: Check, state: Verifying, scope: MeasuredScope) -> str:
    """Why it has failed, with what the condition saw last."""
    window = state.until - state.began
    words = f"{check.condition.text.strip()!r} was not true"
    if window > 0:
        words += f" within {window:g} s"
    if check.hold:
        words += f" for {check.hold:g} s"
    seen = []
    for name in (*sorted(check.condition.names), *sorted(window.text for window in check.condition.windows)):
        value = scope.get(name)
        if isinstance(value, Gap):
            seen.append(f"{name} is not known: {value.reason}")
        elif not isinstance(value, Mapping):
            seen.append(f"{name} is {'not known' if value is None else value}")
    return f"{words}: {', '.join(seen)}" if seen else words
