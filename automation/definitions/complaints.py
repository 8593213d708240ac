"""What pydantic says of a definition, in the words of whoever wrote the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from automation.definitions import tree
from automation.definitions.tree import Finding, Node, Scalar
from automation.errors import Problem

_MOST = 100
"""How many errors of one definition are told; each costs a walk through it."""

_SHORT = {
    "missing": "is required",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "string_type": "must be a text",
}


def complaints(error: ValidationError, model: type[BaseModel], value: Any, node: Node) -> list[Finding]:
    """Each error of pydantic with its path within the definition, its line, and what would be right."""
    found: list[Finding] = []
    items = errors_of(error)
    for item in items[:_MOST]:
        loc = item["loc"]
        parts = own_parts(loc, value)
        path = text_of(parts)
        line, reached, rest = tree.find(node, path)
        # One of several ways in which a plain value could be right: pydantic complains of each.
        one_of = bool(parts) and loc[-1] not in ("[key]", parts[-1])
        message = _message(item["type"], item["msg"], item.get("ctx", {}))
        if item["type"] == "extra_forbidden":
            known = sorted(known_keys(model, parts[:-1], value))
            message = unknown_key(str(parts[-1]), known)
        elif isinstance(reached, Scalar) and not rest and not one_of:
            message += _hint(item["type"], reached)
        if one_of and found and (found[-1].path, found[-1].line) == (path, line):
            message = f"{found.pop().message}, or {message}"
        found.append(Finding(path, line, message))
    if len(items) > _MOST:
        found.append(Finding("", node.line, f"and {len(items) - _MOST} further problems"))
    return found


def errors_of(error: ValidationError) -> list[ErrorDetails]:
    """What pydantic found, but for lists that are too short because it counts only the items that were right."""
    found = error.errors(include_url=False)
    above = {item["loc"][:length] for item in found for length in range(len(item["loc"]))}
    return [item for item in found if item["type"] != "too_short" or item["loc"] not in above]


def problems_of(error: ValidationError, model: type[BaseModel], value: Any) -> list[Problem]:
    """The same of a value that is in no file."""
    nowhere = Scalar(0, None, "", quoted=True)
    return [Problem(found.path, found.message) for found in complaints(error, model, value, nowhere)]


def unknown_key(key: str, known: list[str]) -> str:
    """That a key is unknown, and what was perhaps meant."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known here: {', '.join(known)}"


def _message(kind: str, text: str, context: Mapping[str, Any]) -> str:
    if kind in _SHORT:
        return _SHORT[kind]
    if kind == "union_tag_not_found":
        return f"{str(context['discriminator']).strip(chr(39))} is required"
    if kind == "union_tag_invalid":
        wanted = [name.strip("' ") for name in str(context["expected_tags"]).split(",")]
        near = difflib.get_close_matches(str(context["tag"]), wanted, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(wanted)}"
        return f"unknown {str(context['discriminator']).strip(chr(39))} {context['tag']!r}; {hint}"
    if kind == "too_short" and "min_length" in context:
        return f"must have at least {context['min_length']} item{'s' if context['min_length'] != 1 else ''}"
    text = text.removeprefix("Value error, ")
    for beginning, ours in (("Input should be ", "must be "), ("String should ", "must "), ("Tuple should ", "must ")):
        if text.startswith(beginning):
            return ours + text.removeprefix(beginning)
    return text


def _hint(kind: str, scalar: Scalar) -> str:
    if kind != "string_type" or scalar.quoted or isinstance(scalar.value, str):
        return ""
    if scalar.value is None:
        return (
            ", but is empty" if not scalar.text else f', but {scalar.text} is read as no value; write "{scalar.text}"'
        )
    read = "true or false" if isinstance(scalar.value, bool) else "a number"
    return f', but {scalar.text} is read as {read}; write "{scalar.text}"'


def own_parts(loc: tuple[int | str, ...], value: Any) -> tuple[int | str, ...]:
    """A location of pydantic without what it adds to it: the tag or the type of a union's member, `[key]`."""
    parts: list[int | str] = []
    for index, part in enumerate(loc):
        if part == "[key]":
            continue
        if isinstance(value, dict) and part == value.get("type") and index < len(loc) - 1:
            continue
        if index and not isinstance(value, dict if isinstance(part, str) else list):
            break
        parts.append(part)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            value = None
    return tuple(parts)


def text_of(parts: tuple[int | str, ...]) -> str:
    """The parts of a path as a path: `actions[1].parameters.url`."""
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else tree.join(path, part)
    return path


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def known_keys(model: type[BaseModel], parts: tuple[int | str, ...], value: Any) -> set[str]:
    """The keys that a mapping at this place of a definition may have."""
    schema = _schema(model)
    places = [schema]
    for part in parts:
        places = [below for place in places for below in _below(place, part, schema, value)]
        value = value[part]
    found = [place for start in places for place in _resolved(start, schema, value)]
    return {key for place in found for key in place.get("properties", {})}


def _below(place: dict[str, Any], part: int | str, schema: dict[str, Any], value: Any) -> Iterator[dict[str, Any]]:
    for one in _resolved(place, schema, value):
        if isinstance(part, int):
            if "items" in one:
                yield one["items"]
        elif part in one.get("properties", {}):
            yield one["properties"][part]
        elif isinstance(one.get("additionalProperties"), dict):
            yield one["additionalProperties"]


def _resolved(place: dict[str, Any], schema: dict[str, Any], value: Any) -> Iterator[dict[str, Any]]:
    """The schemas that a place of a schema stands for: references followed, each member of a union."""
    if "$ref" in place:
        yield from _resolved(schema["$defs"][place["$ref"].rpartition("/")[2]], schema, value)
    elif "discriminator" in place and isinstance(value, dict):
        chosen = place["discriminator"]["mapping"].get(str(value.get(place["discriminator"]["propertyName"])))
        if chosen is not None:
            yield from _resolved({"$ref": chosen}, schema, value)
    elif "anyOf" in place or "oneOf" in place:
        for member in (*place.get("anyOf", ()), *place.get("oneOf", ())):
            yield from _resolved(member, schema, value)
    else:
        yield place
