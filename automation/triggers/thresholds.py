"""Metrics beyond thresholds: which series are, since when, and what that starts.

A series that goes beyond is remembered at once, and until it is back: a pending duration outlives the process, and what
has fired does not fire again. Samples that change nothing cost a comparison and no write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from automation.clock import Clock
from automation.model.event import Event
from automation.model.metric import Sample
from automation.store.store import encode
from automation.store.trigger_states import Place, TriggerState
from automation.triggers.compiled import VALUE, Compiled, key_text
from automation.triggers.deciding import SOURCE, Verdict
from automation.triggers.index import Index
from automation.triggers.states import Draft, States

PART = "threshold"
"""What of a trigger is remembered."""

FORGET_SECONDS = 86_400.0
"""After how long without a sample, or half as long again, a series that has fired is forgotten: it has vanished, as
those of a host that was replaced do, and one of the same name begins anew."""
KEPT_SECONDS = FORGET_SECONDS * 1.5
"""For how long it is written down as known: not with every sample."""

Decide = Callable[[Draft], Verdict[Any]]


class Fire(Protocol):
    """Commits what is decided, and decides again where that is needed."""

    def __call__(self, decide: Decide) -> Awaitable[None]: ...


class Thresholds:
    """Follows every series that a trigger watches."""

    def __init__(self, index: Index, states: States, clock: Clock, fire: Fire) -> None:
        self._index = index
        self._states = states
        self._clock = clock
        self._fire = fire
        self._newest: dict[Place, float] = {}
        """The newest value of series that have not been beyond long enough."""

    async def observe(self, sample: Sample) -> None:
        """Take in a sample; returns when what it changes is on disk."""
        for trigger in list(self._index.thresholds(sample.name, sample.subject)):
            threshold = trigger.threshold
            assert threshold is not None
            if not threshold.labels <= sample.labels.items():
                continue
            beyond = not trigger.off and threshold.beyond({VALUE: sample.value})
            place = (trigger.name, PART, series_key(sample))
            known = self._states.get(place)
            if not beyond and known is None:
                continue
            if beyond and known is not None and known.digest == trigger.digest and not self._fades(known):
                self._newest[place] = sample.value
                continue
            self._newest.pop(place, None)
            await self._fire(lambda draft, t=trigger, p=place, b=beyond: self._step(draft, t, p, sample, b))  # type: ignore[misc]

    def _fades(self, known: TriggerState) -> bool:
        """Whether it is time to write down that a series is still there."""
        fired, due = known.body["fired"], known.due_at
        return bool(fired) and (due is None or due < self._clock.now() + FORGET_SECONDS)

    def expire(self, draft: Draft, place: Place) -> Verdict[Any]:
        """What it leads to that a series may have been beyond for long enough."""
        verdict: Verdict[Any] = Verdict()
        trigger, now = self._index.trigger(place[0]), self._clock.now()
        if trigger is None:
            return verdict
        body, state = draft.get(place, trigger.digest), self._states.get(place)
        if body is None or trigger.threshold is None:
            # Of another definition: the next sample begins anew.
            draft.put(place, None)
        elif body["fired"]:
            if state is None or state.due_at is None or state.due_at <= now:
                self._newest.pop(place, None)
                draft.put(place, None)
        elif body["since"] + trigger.threshold.seconds <= now:
            body = {**body, "fired": True, "value": self._newest.get(place, body["value"])}
            draft.put(place, body, trigger.digest, now + KEPT_SECONDS)
            verdict.made.append(_passed(trigger, place, body, now))
        return verdict

    def _step(self, draft: Draft, trigger: Compiled, place: Place, sample: Sample, beyond: bool) -> Verdict[Any]:
        verdict: Verdict[Any] = Verdict()
        threshold = trigger.threshold
        assert threshold is not None
        known = draft.get(place, trigger.digest)
        if not beyond:
            draft.put(place, None)
        elif known is None:
            now = self._clock.now()
            body: dict[str, Any] = {"since": now, "fired": threshold.seconds <= 0, "value": sample.value}
            body |= {"subject": sample.subject, "labels": sample.labels}
            draft.put(place, body, trigger.digest, now + (KEPT_SECONDS if body["fired"] else threshold.seconds))
            if body["fired"]:
                verdict.made.append(_passed(trigger, place, body, now))
        elif known["fired"]:
            draft.put(place, known, trigger.digest, self._clock.now() + KEPT_SECONDS)
        return verdict


def series_key(sample: Sample) -> str:
    """What names a series among those of its metric."""
    if not sample.labels:
        return key_text(sample.subject) or ""
    return key_text(encode([sample.subject, sorted(sample.labels.items())]).decode()) or ""


def _passed(trigger: Compiled, place: Place, body: dict[str, Any], now: float) -> Event:
    threshold = trigger.threshold
    assert threshold is not None
    return Event(
        type=trigger.event_type,
        subject=body["subject"],
        source=SOURCE,
        labels=body["labels"],
        id=f"{trigger.name}:{place[2][:200]}:{body['since']!r}",
        time=now,
        data={
            threshold.metric: body["value"],
            "trigger": trigger.name,
            "workflow": trigger.workflow,
            "metric": threshold.metric,
            "condition": threshold.text,
            "value": body["value"],
            "since": body["since"],
        },
    )
