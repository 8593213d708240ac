"""What was done to targets lately, in memory: the history that guardrails look at."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from operator import attrgetter

from automation.model.guardrail import Act

_BEGAN = attrgetter("began_at")


class Acts:
    """Acts by target, by workflow and by service, each in the order in which they began."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Act] = {}
        self._by_target: dict[str, list[Act]] = {}
        self._by_workflow: dict[str, list[Act]] = {}
        self._on_services: dict[tuple[str, str], Act] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, execution_id: str, action: str) -> Act | None:
        """The act of an action, if it is remembered."""
        return self._all.get((execution_id, action))

    def put(self, act: Act) -> None:
        """Remember an act, in the place of what was known of it."""
        key = (act.execution_id, act.action)
        known = self._all.get(key)
        if known is not None:
            self.drop(known)
        self._all[key] = act
        if act.target:
            insort(self._by_target.setdefault(act.target, []), act, key=_BEGAN)
        insort(self._by_workflow.setdefault(act.workflow, []), act, key=_BEGAN)
        if act.service is not None:
            self._on_services[key] = act

    def drop(self, act: Act) -> None:
        """Forget an act."""
        key = (act.execution_id, act.action)
        if self._all.get(key) is not act:
            return
        del self._all[key]
        self._on_services.pop(key, None)
        for index, name in ((self._by_target, act.target), (self._by_workflow, act.workflow)):
            if name in index:
                index[name].remove(act)
                if not index[name]:
                    del index[name]

    def forget_before(self, moment: float, on_services: float) -> None:
        """Forget what had ended before a moment, and before another one that it was on services."""
        for act in [act for act in self._all.values() if max(act.began_at, act.until) < moment]:
            self.drop(act)
        for key in [key for key, act in self._on_services.items() if act.until < on_services]:
            del self._on_services[key]

    def last(self, operation: str, target: str) -> Act | None:
        """The newest act of an operation on a target."""
        return next((act for act in reversed(self._by_target.get(target, ())) if act.operation == operation), None)

    def begun_on(self, target: str, since: float) -> Sequence[float]:
        """When acts on a target began, from `since` on, in order."""
        return _since(self._by_target.get(target, ()), since)

    def begun_by(self, workflow: str, since: float) -> Sequence[float]:
        """When acts of a workflow began, from `since` on, in order."""
        return _since(self._by_workflow.get(workflow, ()), since)

    def on_services(self, since: float) -> Iterable[Act]:
        """Acts on services that had not ended at `since`."""
        return [act for act in self._on_services.values() if act.until > since]


def _since(acts: Sequence[Act], since: float) -> list[float]:
    # One that began just a window ago has left it.
    first = bisect_left(acts, since, key=_BEGAN)
    return [act.began_at for act in acts[first:] if act.began_at > since]
