"""Retry budgets: what is broken is not run into over and over by everybody at once.

A retry is paid for by first attempts, as in "Handling Overload" of the SRE book (Google, 2016) and Finagle's
RetryBudget: while most attempts go well, all that fail are tried again; when nothing goes well, a few are. Counted in
this process, and from nothing after a restart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from automation.model.workflow import RetryBudget, WorkflowDefinition

GENERAL = "performance.retry_budget"
"""How the budget of the configuration is called in a reason."""

_Slice = list[int]
"""A second, how many first attempts it had, and how many retries were granted in it."""


class Budget:
    """One budget, over a window of whole seconds."""

    __slots__ = ("_firsts", "_retries", "_slices", "settings")

    def __init__(self, settings: RetryBudget) -> None:
        self.settings = settings
        self._slices: deque[_Slice] = deque()
        self._firsts = 0
        self._retries = 0

    def first(self, now: float) -> None:
        """A first attempt begins; `now` is a monotonic time."""
        self._slice(now)[1] += 1
        self._firsts += 1

    def spend(self, now: float) -> None:
        """A retry is granted."""
        self._slice(now)[2] += 1
        self._retries += 1

    def refusal(self, now: float) -> str | None:
        """Why there can be no further retry now, or None."""
        self._slice(now)
        given = self.settings
        most = given.share * self._firsts + given.least_per_second * given.window_seconds
        if self._retries + 1 <= most:
            return None
        return (
            f"{self._retries} retries of {self._firsts} first attempts in {given.window_seconds:g} s; allowed are "
            f"{given.share:.0%} and {given.least_per_second:g} a second beside"
        )

    def _slice(self, now: float) -> _Slice:
        """The slice of this second, without those that have left the window."""
        second = int(now)
        while self._slices and self._slices[0][0] <= second - self.settings.window_seconds:
            _, firsts, retries = self._slices.popleft()
            self._firsts -= firsts
            self._retries -= retries
        if not self._slices or self._slices[-1][0] < second:
            self._slices.append([second, 0, 0])
        return self._slices[-1]


class Budgets:
    """The budget of the configuration, and those of workflows. A retry has to fit into both."""

    def __init__(self, general: RetryBudget | None, now: Callable[[], float]) -> None:
        self._general = None if general is None else Budget(general)
        self._now = now
        self._own: dict[str, Budget] = {}

    def began(self, workflow: WorkflowDefinition) -> None:
        """A first attempt of an action begins."""
        if self._general is None and workflow.retry_budget is None:
            return
        for _, budget in self._of(workflow):
            budget.first(self._now())

    def refusal(self, workflow: WorkflowDefinition) -> tuple[str, str] | None:
        """Which budget has no retry left, and why; if all have, it is taken from them, and None is returned."""
        if self._general is None and workflow.retry_budget is None:
            return None
        now = self._now()
        budgets = self._of(workflow)
        for name, budget in budgets:
            if (reason := budget.refusal(now)) is not None:
                return name, reason
        for _, budget in budgets:
            budget.spend(now)
        return None

    def _of(self, workflow: WorkflowDefinition) -> list[tuple[str, Budget]]:
        found = [] if self._general is None else [(GENERAL, self._general)]
        given = workflow.retry_budget
        if given is not None:
            budget = self._own.get(workflow.name)
            if budget is None or budget.settings != given:
                budget = self._own[workflow.name] = Budget(given)
            found.append((f"retry_budget of {workflow.name}", budget))
        return found
