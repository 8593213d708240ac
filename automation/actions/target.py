"""What an action acts on: the text by which guardrails and circuit breakers tell one target from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from automation.plugins import Plugin

PARAMETERS = ("service_name", "target", "subject")
"""Parameters that name the target of an operation that does not say which does."""

LONGEST = 200


def target_of(plugin: Plugin, parameters: Any) -> str:
    """The target, or nothing where none is known.

    An operation says it by `@action(..., target=...)`: the name of a parameter, or a function of all of them.
    """
    if not isinstance(parameters, Mapping):
        return ""
    told = plugin.options.get("target")
    if callable(told):
        return _text(told(parameters))
    names = PARAMETERS if told is None else (told,)
    return next((text for name in names if (text := _text(_value(plugin, parameters, name)))), "")


def names_service(plugin: Plugin) -> bool:
    """Whether the target of an operation is a service by its own words."""
    return bool(plugin.options.get("target") == "service_name" or "service_name" in plugin.settings.model_fields)


def host_of(parameters: Mapping[str, Any]) -> str:
    """The host of `url`"""
    url = parameters.get("url")
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or not parts.hostname:
            return ""
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return ""


def _value(plugin: Plugin, parameters: Mapping[str, Any], name: str) -> Any:
    if name in parameters:
        return parameters[name]
    field = plugin.settings.model_fields.get(name)
    return field.default if field is not None else None


def _text(value: Any) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""
