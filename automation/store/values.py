"""Which values can be stored as JSON and come back as they were: what a recovery reads is what a run saw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

MAX_DEPTH = 100
"""How many lists and mappings a value may have within one another, at most."""

SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""Of whole numbers: as many readers of JSON, databases among them, hold."""

Fault = tuple[str, str]
"""Where in a value, and what is wrong there."""


def unstorable(value: Any, path: str = "") -> Iterator[Fault]:
    """Everything in a value that JSON cannot hold as it is, each with its path: `hosts[3].weight`.

    A pydantic model is looked at field by field; what its types say is trusted, free values and texts are not.
    """
    return _faults(value, path, 0)


def _faults(value: Any, path: str, depth: int) -> Iterator[Fault]:
    if value is None or value is True or value is False:
        return
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            yield path, "has a broken character: half of a surrogate pair"
    elif isinstance(value, int):
        if not SMALLEST <= value <= LARGEST:
            yield path, "is too large a number: give it as text"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"{value} is not a finite number, and so not storable as JSON"
    elif isinstance(value, BaseModel):
        yield from _fields(value, path, depth)
    elif not isinstance(value, Mapping | list | tuple):
        yield path, f"is of type {_name(value)}, which is not storable as JSON: give a text, number, list or mapping"
    elif depth >= MAX_DEPTH:
        yield path, f"is nested too deeply: more than {MAX_DEPTH} levels"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield path, f"the key {key!r} is of type {_name(key)}: keys are texts"
                continue
            place = f"{path}.{key}" if path else key
            for _, message in _faults(key, place, depth):
                yield path, f"a key {message}"
            yield from _faults(item, place, depth + 1)
    else:
        for index, item in enumerate(value):
            yield from _faults(item, f"{path}[{index}]", depth + 1)


def _fields(model: BaseModel, path: str, depth: int) -> Iterator[Fault]:
    for name, value in model:
        if isinstance(value, str | int | float | BaseModel | Mapping | list | tuple):
            yield from _faults(value, f"{path}.{name}" if path else name, depth)


def _name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
