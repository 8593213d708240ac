"""One attempt of one action, as it passes through the middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from automation.actions.context import ActionContext
from automation.actions.heartbeat import Pulse
from automation.plugins import Plugin


@dataclass(slots=True)
class Call:
    """One attempt: which operation, with which parameters, in which context, how urgently."""

    plugin: Plugin
    parameters: Any
    context: ActionContext
    priority: int = 2
    settings: BaseModel | None = None
    """The parameters, once read as the operation's model."""
    result: Any = None
    """For an undo: what the operation returned."""
    room: int | None = None
    """How many bytes its result may have at most, so that its execution does not hold too many; None: no limit."""
    takes_back: bool = False
    """Whether it undoes an action, by whichever operation: that is tried also where a circuit is open."""
    pulse: Pulse | None = None
    """Its heartbeats; None where nobody keeps them, as for an undo."""


Handler = Callable[[Call], Awaitable[Any]]
Middleware = Callable[[Handler], Handler]
