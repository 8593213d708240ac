"""Stands in for operations and channels in one engine, and keeps what was asked of them."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import math
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from automation.actions.call import Call, Handler
from automation.clock import VirtualClock
from automation.engine import AutomationEngine
from automation.errors import ActionTimeout, NotFaked
from automation.model.notification import Message
from automation.notifications.notifier import find_channel

GRACE_SECONDS = 5.0
"""Real seconds that a cancelled stand-in may take to end."""

_HARMLESS = ("flow.", "notification.")
"""Families whose operations run as they are: they act on the workflow, or tell channels, which only record."""


class _Mark:
    """An outcome with a meaning of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


REAL: Final = _Mark("REAL")
"""The outcome that lets the real operation run."""

CRASH: Final = _Mark("CRASH")
"""The outcome that is the end of the engine: it dies in the middle of the action."""


@dataclass(frozen=True, slots=True)
class After:
    """An outcome that comes after so many seconds of the virtual clock."""

    seconds: float
    outcome: Any = None


@dataclass(slots=True)
class Recorded:
    """One call of an operation: what was asked of it, for which action, and what came of it."""

    operation: str
    action: str
    """The action's name; of an item of a `for_each` it is `name[index]`, of an undo `name.undo`."""
    parameters: Any
    """As they were given: expressions have their values, what was left out is not there."""
    at: float
    """When it began, in seconds since the epoch."""
    attempt: int
    execution_id: str
    workflow: str
    idempotency_key: str
    event: Mapping[str, Any]
    real: bool = False
    """Whether the operation itself ran, and no stand-in."""
    result: Any = None
    error: BaseException | None = None
    """What was raised; `CancelledError` if it was cancelled, or if the engine died meanwhile."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that a channel was given."""

    channel: str
    message: Message
    settings: Mapping[str, Any]
    """Those of the action, over the configured ones."""
    at: float


class Recorder:
    """Stands in for operations and channels, and keeps what was asked of them.

    `outcomes` says what comes of a call, by the action's name, by the operation's name, or by a pattern such as
    `infrastructure.*`; a channel is `channel:slack`, an undo is the same name with `.undo` behind it. The most precise
    one counts. An outcome is

    - a value, which is returned,
    - an exception, which is raised,
    - `After(seconds, outcome)`, which comes later,
    - a function with the parameters of a handler, `(params, context)`, plain or `async`,
    - a list of outcomes: one for each call for an action, the last for all further calls,
    - `REAL`: the operation itself runs, as those do whose names `allow_real` has,
    - `CRASH`: the engine dies in the middle of the action.

    What has no outcome is refused with `NotFaked`, except for `flow.*` and `notification.*`. The undo of an operation
    that has a stand-in does nothing, where no outcome says otherwise.
    """

    def __init__(self, outcomes: Mapping[str, Any] | None = None, allow_real: Iterable[str] = ()) -> None:
        self._outcomes: dict[str, Any] = {}
        self._known: Counter[str] = Counter()
        self.calls: list[Recorded] = []
        """Every call of an operation, except of `flow.*`, in the order in which they began."""
        self.sent: list[Sent] = []
        """Every message that a channel took over."""
        self.refused: list[str] = []
        """What was refused because it has no outcome."""
        self.crashed: str | None = None
        """The action in which the engine was to die, once it has come there."""
        for name in allow_real:
            self.set(name, REAL)
        for name, outcome in (outcomes or {}).items():
            self.set(name, outcome)

    def set(self, name: str, outcome: Any) -> None:
        """From now on, this comes of a call of that name."""
        if isinstance(outcome, list) and not outcome:
            raise ValueError(f"the outcome of {name!r} is an empty list: give at least one")
        self._outcomes[name] = outcome

    def of(self, name: str) -> list[Recorded]:
        """The calls of an action or operation of this name, or of those that fit a pattern."""
        found = []
        for call in self.calls:
            known = (call.action, call.operation)
            # `a[2]` is the name of an item, and a pattern that fits something else.
            if name in known or any(fnmatchcase(each, name) for each in known):
                found.append(call)
        return found

    def attach(self, engine: AutomationEngine) -> None:
        """Take the engine's messages over. Its operations come by `AutomationEngine(middleware=[recorder])`."""

        async def outlet(channel: str, settings: Mapping[str, Any], message: Message) -> None:
            find_channel(channel)
            name = f"channel:{channel}"
            seconds, outcome = _unwrapped(self._next(name, self._find([name], undo=False)))
            await engine.clock.sleep(seconds)
            await _become(outcome, message)
            self.sent.append(Sent(channel, message, dict(settings), engine.clock.now()))

        engine.notifier.outlet = outlet

    def check(self) -> None:
        """Raise NotFaked if anything was refused: a test must not pass because of it."""
        if self.refused:
            raise NotFaked("; ".join(dict.fromkeys(self.refused)))

    def __call__(self, handler: Handler) -> Handler:
        """The middleware: what has an outcome does not come to the handler."""

        async def call(call: Call) -> Any:
            seconds, outcome = _unwrapped(self._outcome(call))
            recorded = _recorded(call, real=outcome is REAL)
            if not call.plugin.name.startswith("flow."):
                self.calls.append(recorded)
            try:
                recorded.result = await self._run(self._work(handler, call, outcome, seconds), call)
            except BaseException as error:
                recorded.error = error
                raise
            return recorded.result

        return call

    async def _work(self, handler: Handler, call: Call, outcome: Any, seconds: float) -> Any:
        clock = call.context.clock
        if seconds:
            await clock.sleep(seconds)
        if outcome is CRASH:
            self.crashed = call.context.action
            await clock.sleep(math.inf)
        if outcome is REAL:
            return await handler(call)
        if call.plugin.kind == "undo":
            return await _become(outcome, call.settings, call.result, call.context)
        return await _become(outcome, call.settings, call.context)

    async def _run(self, work: Coroutine[Any, Any, Any], call: Call) -> Any:
        clock, name = call.context.clock, f"{call.context.action} ({call.plugin.name})"
        # Before the clock is held: the time limit must not count as the sleep of what it limits.
        limit = asyncio.ensure_future(clock.sleep(call.context.timeout_seconds))
        try:
            with clock.held(name) if isinstance(clock, VirtualClock) else contextlib.nullcontext():
                return await _within(limit, work, call.context.timeout_seconds)
        finally:
            limit.cancel()

    def _outcome(self, call: Call) -> Any:
        name, action, base = call.plugin.name, call.context.action, call.context.action.partition("[")[0]
        if call.plugin.kind == "undo":
            found = self._find([action, f"{base.removesuffix('.undo')}.undo", f"{name}.undo"], undo=True)
            if not found:
                done = self._find([base.removesuffix(".undo"), name], undo=False)
                found = [REAL] if REAL in done else [None] if done else []
        else:
            found = self._find([action, base, name], undo=False)
            if not found and name.startswith(_HARMLESS) and call.plugin.home[0].startswith("automation."):
                found = [REAL]
        if not found:
            told = (
                f"action {action!r} would run {'the undo of ' * (call.plugin.kind == 'undo')}{name} for real: give it "
                f"an outcome, outcomes={{{name!r}: ...}}, or let it, with the outcome REAL"
            )
            self.refused.append(told)
            raise NotFaked(told)
        return self._next(f"{call.context.execution_id}:{action}", found)

    def _find(self, names: list[str], *, undo: bool) -> list[Any]:
        """The outcomes of the most precise name; empty if it has none."""
        found = next((self._outcomes[name] for name in names if name in self._outcomes), _MISSING)
        if found is _MISSING:
            # A pattern for operations is not meant for what takes them back.
            patterns = [pattern for pattern in self._outcomes if pattern.endswith(".undo") is undo]
            fit = (pattern for pattern in patterns if any(fnmatchcase(name, pattern) for name in names))
            longest = max(fit, key=len, default=None)
            if longest is None:
                return []
            found = self._outcomes[longest]
        return found if isinstance(found, list) else [found]

    def _next(self, who: str, outcomes: list[Any]) -> Any:
        if not outcomes:
            return None
        turn = self._known[who]
        self._known[who] += 1
        return outcomes[min(turn, len(outcomes) - 1)]


_MISSING: Final = _Mark("MISSING")


def _recorded(call: Call, *, real: bool) -> Recorded:
    context = call.context
    return Recorded(
        operation=call.plugin.name,
        action=context.action,
        parameters=copy.deepcopy(call.parameters),
        at=context.now(),
        attempt=context.attempt,
        execution_id=context.execution_id,
        workflow=context.workflow,
        idempotency_key=context.idempotency_key,
        event=context.event,
        real=real,
    )


def _unwrapped(outcome: Any) -> tuple[float, Any]:
    """After how many seconds comes what."""
    seconds = 0.0
    while isinstance(outcome, After):
        seconds, outcome = seconds + outcome.seconds, outcome.outcome
    return seconds, outcome


async def _become(outcome: Any, *given: Any) -> Any:
    """What an outcome says: returned, raised or called."""
    if isinstance(outcome, BaseException):
        raise outcome.with_traceback(None)
    if isinstance(outcome, type) and issubclass(outcome, BaseException):
        raise outcome
    if callable(outcome):
        result = outcome(*given)
        return await result if inspect.isawaitable(result) else result
    return copy.deepcopy(outcome)


async def _within(limit: asyncio.Future[None], work: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """The result of the work; raises ActionTimeout if the limit comes first."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task, limit}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ActionTimeout(seconds=seconds)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_SECONDS)
