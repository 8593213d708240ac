"""One attempt of one action, as it passes through the middleware."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from automation.actions.context import ActionContext
from automation.actions.heartbeat import Pulse
from automation.conditions import as_text
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

    def read(self) -> BaseModel:
        """The parameters as the operation's model, unknown keys refused; raises pydantic's ValidationError.

        A number or boolean in the place of a text is written out as within a text: `${n}` alone keeps its type.
        """
        model = self.plugin.settings
        try:
            return model.model_validate(self.parameters, extra="forbid")
        except ValidationError as error:
            written = _written(self.parameters, error)
            if written is None:
                raise
        return model.model_validate(written, extra="forbid")


def _written(parameters: Any, error: ValidationError) -> Any:
    """A copy with texts where these are wanted and a number or boolean is given; None if nothing is such a place."""
    found = error.errors(include_url=False, include_context=False)
    places = [item["loc"] for item in found if item["type"] == "string_type" and isinstance(item["input"], int | float)]
    if not places:
        return None
    written = copy.deepcopy(parameters)
    for *way, last in places:
        holder = written
        try:
            for part in way:
                holder = holder[part]
            holder[last] = as_text(holder[last])
        except (KeyError, IndexError, TypeError):
            # One of several forms that a value may have; pydantic adds which to the place.
            return None
    return written


Handler = Callable[[Call], Awaitable[Any]]
Middleware = Callable[[Handler], Handler]
