"""A result must be storable as JSON, and be afterwards what it was before: what a recovery reads is what a run saw."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from pydantic import BaseModel

from automation.actions.call import Call, Handler, Middleware
from automation.errors import Refused

MAX_BYTES = 64 * 1024 * 1024
_SMALL = 65_536
"""A result up to so many bytes is never too much for its execution: it is not counted."""
_encode = msgspec.json.Encoder(enc_hook=lambda value: _plain(value)).encode
_decode = msgspec.json.Decoder().decode


def storable(max_bytes: int = MAX_BYTES) -> Middleware:
    """Middleware that turns a result into plain JSON values; what cannot be one is Refused with its place."""

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            return plain(await handler(call), max_bytes, call.room)

        return call

    return around


def plain(value: Any, max_bytes: int = MAX_BYTES, room: int | None = None) -> Any:
    """The value as JSON holds it; raises Refused for what it cannot hold, or what takes more bytes than it may."""
    if value is None:
        return {}
    wrong = _find_not_finite(value, "result")
    if wrong:
        raise Refused(f"{wrong} is not a finite number, and so cannot be stored as JSON")
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Refused(f"the action returned what cannot be stored as JSON: {error}") from None
    if len(text) > max_bytes:
        raise Refused(f"the action returned {len(text):,} bytes; store.max_result_bytes is {max_bytes:,}")
    if room is not None and len(text) > room and len(text) > _SMALL:
        raise Refused(
            f"the action returned {len(text):,} bytes; its execution may hold {max(room, 0):,} more, by "
            "store.max_execution_bytes"
        )
    return _decode(text)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"an object of type {type(value).__module__}.{type(value).__qualname__}")


def _find_not_finite(value: Any, path: str, depth: int = 0) -> str | None:
    # msgspec writes NaN and infinities as null, which would change the value in silence.
    kind = type(value)
    if kind is float:
        return None if math.isfinite(value) else path
    if depth < 100:
        if kind is dict:
            for key, item in value.items():
                if type(item) in _CAN_HOLD and (found := _find_not_finite(item, f"{path}.{key}", depth + 1)):
                    return found
        elif kind in (list, tuple):
            for index, item in enumerate(value):
                if type(item) in _CAN_HOLD and (found := _find_not_finite(item, f"{path}[{index}]", depth + 1)):
                    return found
    return None


_CAN_HOLD = frozenset({float, dict, list, tuple})
