"""The words for what a JSON schema says, and tables of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from automation.model.workflow import Priority

Schema = Mapping[str, Any]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").strip() for cell in line) + " |" for line in lines)


def meaning_of(field: Schema) -> str:
    """What a field is for, in one line."""
    return " ".join(str(field.get("description", "")).split())


def paragraphs(text: str) -> str:
    """A docstring, each paragraph in one line."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def reference_of(field: Schema) -> str | None:
    """The name of the model that a field holds, if it is one."""
    target = field.get("$ref")
    return target.rpartition("/")[2] if target else None


def default_of(field: Schema) -> str:
    """What a field is where nothing is said."""
    value = field.get("default")
    if value is None:
        # What starts as an empty list or mapping has its default from a function, which a schema does not show.
        return "none" if "default" in field or field.get("type") not in ("array", "object") else "empty"
    if value in ("", [], {}):
        return "empty"
    if isinstance(value, int) and "normal" in field.get("enum", ()):
        return f"`{Priority(value).name.lower()}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def values_of(field: Schema, known: Schema) -> str:
    """The values that a field takes, in words."""
    reference = reference_of(field)
    if reference:
        nested = known[reference]
        return _link(reference) if "properties" in nested else values_of(nested, known)
    if "anyOf" in field or "oneOf" in field:
        choices = [item for item in field.get("anyOf", field.get("oneOf")) if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(values_of(item, known) for item in choices))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return _SIMPLE.get(field.get("type", ""), _any)(field, known)


def _link(reference: str) -> str:
    title = title_of(reference)
    return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"


def _any(field: Schema, known: Schema) -> str:
    return "anything"


def _number(kind: str, field: Schema, known: Schema) -> str:
    least, most, above = field.get("minimum", field.get("ge")), field.get("maximum"), field.get("exclusiveMinimum")
    if least is not None and most is not None:
        return f"{kind}, {least:g} to {most:,}"
    bounds = [f"{sign} {bound:,}" for sign, bound in (("≥", least), (">", above), ("≤", most)) if bound is not None]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _string(field: Schema, known: Schema) -> str:
    if field.get("format") == "password":
        return "text, kept secret"
    if field.get("format") == "path":
        return "path"
    return "name" if "pattern" in field else "text"


def _list(field: Schema, known: Schema) -> str:
    items = field.get("items") or {}
    return f"list of {values_of(items, known).replace('number', 'numbers')}" if items else "list"


def _mapping(field: Schema, known: Schema) -> str:
    values = field.get("additionalProperties")
    return f"mapping to {values_of(values, known)}" if isinstance(values, Mapping) and values else "mapping"


_SIMPLE: Mapping[str, Callable[[Schema, Schema], str]] = {
    "string": _string,
    "integer": partial(_number, "whole number"),
    "number": partial(_number, "number"),
    "boolean": lambda field, known: "`true`, `false`",
    "array": _list,
    "object": _mapping,
}


def title_of(name: str) -> str:
    """How a model is called on the pages: `InputDefinition` is `Input`."""
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", name.removesuffix("Definition")).lower()
    return words[0].upper() + words[1:]
