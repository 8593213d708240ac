"""`flow.*`: steps that act on the workflow itself."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from automation.actions.context import ActionContext, Suspend
from automation.errors import Refused, TryLater
from automation.plugins import action

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,10}}")


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    if not _DURATION.fullmatch(text):
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{value!r} is neither seconds nor a duration such as '90s', '5m' or '1h30m'") from None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


class Wait(BaseModel):
    """How long to wait."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    seconds: Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
    """A number of seconds, or a duration such as `5m` or `1h30m`."""


@action("flow.wait", idempotent=True, effect="read")
async def wait(params: Wait, context: ActionContext) -> dict[str, Any]:
    """Wait, counted from when the action first began, so that a restart of the engine neither shortens nor prolongs it.

    Takes no place among the running actions meanwhile. Returns `waited_seconds`.
    """
    due = context.started_at + params.seconds
    if context.now() < due:
        raise Suspend(until=due, reason=f"waits for {params.seconds:g} s")
    return {"waited_seconds": round(context.now() - context.started_at, 3)}


class Nothing(BaseModel):
    """What is waited for is said by the key `wait_for` of the action."""


@action("flow.wait_for", idempotent=True, effect="read")
async def wait_for(params: Nothing, context: ActionContext) -> dict[str, Any]:
    """Return the data of the event that has come: of an action with `wait_for`, which is called when it has.

    It takes no place among the running actions, and no memory, while it waits.
    """
    return dict(context.event.get("data") or {})


class Fail(BaseModel):
    """How to fail."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    message: str
    retryable: bool = False
    """Whether it may be tried again (TryLater) or not (Refused)."""


@action("flow.fail", idempotent=True, effect="read")
async def fail(params: Fail, context: ActionContext) -> None:
    """Fail with a message: to end a workflow whose conditions have found something wrong."""
    raise TryLater(params.message) if params.retryable else Refused(params.message)


class Set(BaseModel):
    """Values to give names to."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    values: dict[str, Any]
    """What becomes the outputs of the action."""


@action("flow.set", idempotent=True, effect="read")
async def set_values(params: Set, context: ActionContext) -> dict[str, Any]:
    """Return the values, so that later actions find them by their names."""
    return dict(params.values)
