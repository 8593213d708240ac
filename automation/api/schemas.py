"""JSON Schema of the nouns as `render` writes them: one source for what is answered and what is documented."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, Union

import msgspec
from pydantic import BaseModel, TypeAdapter

from automation.api.render import is_time

Schema = dict[str, Any]
_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    bytes: {"type": "string"},
}
_TIME: Schema = {"type": "string", "format": "date-time"}


def schema_of(kind: Any, bindings: Mapping[TypeVar, Any] | None = None) -> Schema:
    """The schema of what `render.plain` makes of values of this type. Nouns carry their name as `title`."""
    if isinstance(kind, TypeVar):
        return schema_of((bindings or {}).get(kind, Any))
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(part, bindings) for part in typing.get_args(kind)]}
    if origin is Literal:
        return {"enum": list(typing.get_args(kind))}
    if origin in (list, tuple, set, frozenset):
        return {"type": "array", "items": schema_of(typing.get_args(kind)[0], bindings)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(typing.get_args(kind)[1], bindings)}
    return _noun(origin or kind, typing.get_args(kind))


def promised(kind: Any) -> Schema:
    """The schema of a type, made when the document is: nobody waits for it while the server starts."""
    _promises.append(kind)
    return {"$ref": f"{_PROMISE}{len(_promises) - 1}"}


_PROMISE = "promise:"
_promises: list[Any] = []


def hoist(value: Any, components: dict[str, Schema]) -> Any:
    """The value with promised schemas made, and each titled object schema replaced by a reference into `components`."""
    if isinstance(value, list):
        return [hoist(item, components) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith(_PROMISE):
        return hoist(schema_of(_promises[int(reference.removeprefix(_PROMISE))]), components)
    for name, schema in value.get("$defs", {}).items():
        found = hoist(schema, components)
        if "$ref" not in found:
            components[name] = found
    hoisted = {key: hoist(item, components) for key, item in value.items() if key != "$defs"}
    title = hoisted.get("title")
    if isinstance(title, str) and "properties" in hoisted:
        if components.setdefault(title, hoisted) != hoisted:
            raise ValueError(f"two different nouns are called {title}")
        return {"$ref": f"#/components/schemas/{title}"}
    return hoisted


def _noun(kind: Any, arguments: tuple[Any, ...]) -> Schema:
    if not isinstance(kind, type):
        return {}
    if issubclass(kind, Enum):
        return {"title": kind.__name__, "type": "string", "enum": [item.value for item in kind]}
    if issubclass(kind, BaseModel):
        return _tidy(TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}"))
    if issubclass(kind, msgspec.Struct):
        required = {field.name for field in msgspec.structs.fields(kind) if field.required}
        return _object(kind, required, {})
    if dataclasses.is_dataclass(kind):
        bindings = dict(zip(getattr(kind, "__parameters__", ()), arguments, strict=False))
        return _object(kind, {field.name for field in dataclasses.fields(kind)}, bindings)
    return {}


def _object(kind: type[Any], required: set[str], bindings: Mapping[TypeVar, Any]) -> Schema:
    hints = typing.get_type_hints(kind)
    names = [
        name for name in hints if not name.startswith("_") and typing.get_origin(hints[name]) is not typing.ClassVar
    ]
    title = kind.__name__ + "".join(f"Of{getattr(part, '__name__', 'Any')}" for part in bindings.values())
    return {
        "title": title,
        "type": "object",
        "description": (inspect.getdoc(kind) or "").partition("\n\n")[0],
        "properties": {name: _property(name, hints[name], bindings) for name in names},
        "required": sorted(required, key=names.index),
    }


def _property(name: str, hint: Any, bindings: Mapping[TypeVar, Any]) -> Schema:
    if not is_time(name):
        return schema_of(hint, bindings)
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": {"anyOf": [dict(_TIME), {"type": "null"}]}}
    if type(None) in typing.get_args(hint):
        return {"anyOf": [dict(_TIME), {"type": "null"}]}
    return dict(_TIME)


def _tidy(schema: Schema) -> Schema:
    """Pydantic's schema without titles that only repeat the keys."""
    definitions = schema.get("$defs", {})
    for place in (schema, *definitions.values()):
        for name, item in place.get("properties", {}).items():
            item.pop("title", None)
            if "default" in item and item["default"] not in item.get("enum", [item["default"]]):
                # The default of an enum that is written by its name comes as its number.
                del item["default"]
            if is_time(name) and item.get("type") == "number":
                place["properties"][name] = {**_TIME, **{k: v for k, v in item.items() if k == "description"}}
    return schema
