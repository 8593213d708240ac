"""The one place that turns the nouns of the project into JSON.

Attributes of nouns become keys of the same name. Enums become their values. What is a time in a noun (`at`, `time`,
`since`, `until`, and whatever ends in `_at`, `_until` or `_run`: seconds since the epoch inside) becomes RFC 3339 text
in UTC with milliseconds. What users wrote or sent, such as an event's `data` or a workflow's variables, stays as it is;
a large value in it is a reference, unless it was asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
from pydantic import BaseModel
from starlette.responses import Response

from automation.clock import iso
from automation.model.execution import JournalEntry
from automation.model.large import LargeValue

_TIMES = frozenset({"at", "time", "since", "until"})
_TIME_ENDINGS = ("_at", "_until", "_run")
_OF_THE_ENGINE = ("retry_at", "until", "since", "started_at", "finished_at")
_encode = msgspec.json.Encoder().encode


def is_time(name: str) -> bool:
    """Whether an attribute of this name holds a time."""
    return name in _TIMES or name.endswith(_TIME_ENDINGS)


def plain(value: Any) -> Any:
    """A value as JSON holds it: mappings, lists, texts, numbers, booleans and None."""
    if value is None or isinstance(value, str | bool) or type(value) in (int, float):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return _with_times(value.model_dump(mode="json"))
    if isinstance(value, JournalEntry):
        return _with_times(msgspec.structs.asdict(value) | {"body": _entry_body(value.body)})
    if isinstance(value, LargeValue):
        return value.as_reference()
    if isinstance(value, msgspec.Struct):
        return _with_times(msgspec.structs.asdict(value))
    if dataclasses.is_dataclass(value):
        return _with_times({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def event_mapping(event: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An event as conditions and journals hold it: a mapping with the keys of an `Event`."""
    return None if event is None else {**event, "time": moment(event.get("time"))}


def moment(value: Any) -> Any:
    """A time, or a list of them, as text; None stays None."""
    if isinstance(value, list | tuple):
        return [moment(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return iso(value)
    return value


def to_json(value: Any) -> bytes:
    """JSON text of nouns, or of lists and mappings of them."""
    return _encode(plain(value))


class Json(Response):
    """An answer that holds nouns."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code, {"Cache-Control": "no-store", **(headers or {})})

    def render(self, content: Any) -> bytes:
        """JSON text of the content."""
        return to_json(content)


def _with_times(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: moment(value) if is_time(name) else plain(value) for name, value in attributes.items()}


def _entry_body(body: Mapping[str, Any]) -> dict[str, Any]:
    # A journal entry's body has keys of ours; below them stands what users gave.
    told = dict(body)
    for key in _OF_THE_ENGINE:
        if key in told:
            told[key] = moment(told[key])
    if isinstance(told.get("event"), dict):
        told["event"] = event_mapping(told["event"])
    return told
