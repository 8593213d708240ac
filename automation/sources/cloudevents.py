"""Events from CloudEvents 1.0 over HTTP: binary, structured and batched.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from automation.errors import InputError
from automation.model.event import Event
from automation.sources import payload

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_REQUIRED = ("specversion", "id", "source", "type")
_OWN = frozenset({*_REQUIRED, "subject", "time", "datacontenttype", "data", "data_base64"})
_VERSION = re.compile(r"1\.\d{1,5}")


def events_from_cloudevents(body: bytes, headers: Mapping[str, str], max_depth: int) -> list[Event]:
    """The events of one request, in whichever of the three modes it was sent; raises InputError."""
    lower = {key.lower(): value for key, value in headers.items()}
    kind = _media_type(lower.get("content-type", ""))
    if kind == BATCH:
        batch = payload.parse_json(body, max_depth=max_depth)
        if not isinstance(batch, list):
            raise InputError(f"a batch must be a list of events, not {payload.kind_of(batch)}")
        return [_structured(item, f"[{index}]") for index, item in enumerate(batch)]
    if kind == STRUCTURED:
        return [_structured(payload.parse_json(body, max_depth=max_depth), "")]
    if kind.startswith("application/cloudevents"):
        raise InputError(f"the format {kind[:100]!r} is not read here; send {STRUCTURED} or {BATCH}")
    if not any(key.startswith("ce-") for key in lower):
        raise InputError(f"not a CloudEvent: send Content-Type {STRUCTURED} or {BATCH}, or ce- headers")
    attributes = {key.removeprefix("ce-"): _header(value) for key, value in lower.items() if key.startswith("ce-")}
    return [_event(attributes, _binary_data(body, kind, max_depth), "", "ce-")]


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _header(value: str) -> str:
    # The binding asks senders to percent-encode, and receivers to take quoted values too.
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(value, errors="replace")


def _binary_data(body: bytes, kind: str, max_depth: int) -> dict[str, Any]:
    if not body:
        return {}
    if kind in ("", "application/json", "text/json") or kind.endswith("+json"):
        return _as_data(payload.parse_json(body, max_depth=max_depth))
    if kind.startswith("text/"):
        try:
            return {"value": body.decode()}
        except UnicodeDecodeError as error:
            raise InputError(f"the text is not UTF-8 (byte {error.start}); send UTF-8") from None
    return {"base64": base64.b64encode(body).decode()}


def _structured(value: Any, path: str) -> Event:
    if not isinstance(value, dict):
        raise payload.wrong(path, f"a CloudEvent must be an object, not {payload.kind_of(value)}")
    encoded = value.get("data_base64")
    if encoded is None:
        return _event(value, _as_data(value.get("data")), path, "")
    place = payload.join(path, "data_base64")
    if value.get("data") is not None:
        raise payload.wrong(place, "there is `data` as well; send one of them")
    try:
        base64.b64decode(payload.check(encoded, str, place), validate=True)
    except (binascii.Error, ValueError):
        raise payload.wrong(place, "is not base64") from None
    return _event(value, {"base64": encoded}, path, "")


def _as_data(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"value": value}


def _event(attributes: Mapping[str, Any], data: dict[str, Any], path: str, prefix: str) -> Event:
    missing = [prefix + key for key in _REQUIRED if attributes.get(key) in (None, "")]
    if missing:
        raise payload.wrong(path, f"a CloudEvent needs {', '.join(missing)}")

    def place(key: str) -> str:
        return payload.join(path, prefix + key)

    version = payload.check(attributes["specversion"], str, place("specversion"))
    if not _VERSION.fullmatch(version):
        raise payload.wrong(place("specversion"), f"must be 1.0, not {version[:20]!r}")
    labels = {key: _label(value, place(key)) for key, value in attributes.items() if _extends(key, value)}
    subject = attributes.get("subject")
    optional: dict[str, Any] = {}
    if attributes.get("time") is not None:
        optional["time"] = payload.moment(attributes["time"], place("time"))
    return Event(
        type=payload.name(attributes["type"], place("type"), payload.MAX_TYPE),
        source=payload.name(attributes["source"], place("source"), payload.MAX_TYPE),
        id=payload.name(attributes["id"], place("id")),
        subject=payload.name_or_empty("" if subject is None else subject, place("subject")),
        severity=labels.get("severity"),
        labels=labels,
        data=data,
        **optional,
    )


def _extends(key: str, value: Any) -> bool:
    return key not in _OWN and value is not None


def _label(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise payload.wrong(
        path, f"an extension attribute must be text, a number or a boolean, not {payload.kind_of(value)}"
    )
