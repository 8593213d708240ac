"""Reading what others send: JSON that may be anything, and errors that say what is wrong and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from automation.clock import FIRST_MOMENT as FIRST_MOMENT
from automation.clock import LAST_MOMENT as LAST_MOMENT
from automation.clock import parse_iso
from automation.errors import InputError

T = TypeVar("T")

MAX_TYPE = 200
MAX_NAME = 500
"""The longest type or source of an event, and the longest id or subject, in characters."""

_KINDS: Mapping[type[Any], str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_\-]{1,60}")
# A string, also one that never ends (so that no quote is looked at twice), or a bracket.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)

_ESCAPES = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)


def parse_json(body: bytes, *, max_depth: int) -> Any:
    """The value of a JSON text; raises InputError for whatever is not JSON or is nested deeper than `max_depth`."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise InputError("there is nothing to read; send JSON", reason="empty")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep(body, max_depth) from None
    except UnicodeDecodeError:
        raise _not_unicode(body) from None
    except msgspec.ValidationError:
        raise InputError(
            "not valid JSON: it has a number that is too large; send it as text", reason="number_too_large"
        ) from None
    except msgspec.DecodeError as error:
        text = _reason(str(error), body)
        raise InputError(f"not valid JSON: {text}", reason="nan" if "NaN" in text else "not_json") from None
    # Counting is far quicker than walking, and enough for nearly everything that is sent.
    if body.count(b"[") + body.count(b"{") > max_depth and _deeper(value, max_depth):
        raise _too_deep(body, max_depth)
    return value


def _deeper(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return True


def _too_deep(body: bytes, max_depth: int) -> InputError:
    depth = 0
    for token in _BRACKETS.finditer(body):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > max_depth:
                place = f" (byte {token.start()})"
                break
        elif token[0] in (b"]", b"}"):
            depth -= 1
    else:
        place = ""
    return InputError(f"the JSON is nested deeper than {max_depth} levels{place}; send it flatter", reason="too_deep")


def _not_unicode(body: bytes) -> InputError:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return InputError(f"not valid JSON: it is not UTF-8 (byte {error.start}); send UTF-8", reason="not_utf8")
    return InputError("not valid JSON: it is not UTF-8; send UTF-8", reason="not_utf8")


def _half_pair(body: bytes) -> int | None:
    """Where half of a surrogate pair stands, escaped, without the other half."""
    first: int | None = None
    for token in _ESCAPES.finditer(body):
        unit = int(token[1], 16) if token[1] else 0
        if first is not None:
            if token.end() == len(body):
                break
            if token.start() != first + 6 or not 0xDC00 <= unit < 0xE000:
                return first
            first = None
        elif 0xD800 <= unit < 0xE000:
            if unit >= 0xDC00:
                return token.start()
            first = token.start()
    # What ends within the other half may have been cut off.
    return first if first is not None and body[first + 6 : first + 7] not in (b"", b"\\") else None


def _reason(text: str, body: bytes) -> str:
    text = text.removeprefix("JSON is malformed: ")
    if text == "Input data was truncated" or "surrogate" in text:
        half = _half_pair(body)
        if half is not None:
            return f"it has half of a surrogate pair (byte {half}), which is no character; send both halves"
    if text == "Input data was truncated":
        return f"it ends too early (byte {len(body)}); was it cut off?"
    found = re.search(r"\(byte (\d+)\)", text)
    if found and body[int(found[1]) :].startswith((b"NaN", b"Infinity")):
        return f"it has NaN or Infinity (byte {found[1]}), which JSON does not have; send null"
    return text


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), type(value).__name__)


def join(path: str, key: str | int) -> str:
    """The path of a part: `alerts[0].labels`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{key[:60]!r}]"
    return f"{path}.{key}" if path else key


def wrong(path: str, message: str) -> InputError:
    """The error that says what is wrong with the part at `path`."""
    return InputError(f"{path}: {message}" if path else message, path=path)


def check(value: Any, kind: type[T], path: str) -> T:
    """`value`, if it is of this kind; raises InputError with its path."""
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise wrong(path, f"must be {_KINDS[kind]}, not {kind_of(value)}")


def require(mapping: Mapping[str, Any], key: str, kind: type[T], path: str = "") -> T:
    """`mapping[key]`, which must be there and of this kind; raises InputError with its path."""
    if key not in mapping:
        raise wrong(join(path, key), "is required")
    return check(mapping[key], kind, join(path, key))


def optional(mapping: Mapping[str, Any], key: str, default: T, path: str = "") -> T:
    """`mapping[key]`, which must be of the kind of `default`; that, where it is missing or null."""
    value = mapping.get(key)
    return default if value is None else check(value, type(default), join(path, key))


def name(value: Any, path: str, limit: int = MAX_NAME) -> str:
    """A text that can name something: not empty, not overlong, without NUL."""
    text = check(value, str, path)
    if not text:
        raise wrong(path, "must not be empty")
    if len(text) > limit:
        raise wrong(path, f"must not be longer than {limit} characters")
    if "\0" in text:
        raise wrong(path, "must not contain NUL")
    return text


def name_or_empty(value: Any, path: str) -> str:
    """The same, but it may be empty."""
    return "" if value == "" else name(value, path)


def texts(mapping: Mapping[str, Any], key: str, path: str = "") -> dict[str, str]:
    """`mapping[key]`: texts by name; empty, where it is missing or null."""
    found: dict[str, Any] = optional(mapping, key, {}, path)
    place = join(path, key)
    return {label: check(value, str, join(place, label)) for label, value in found.items()}


def moment(value: Any, path: str) -> float:
    """Seconds since the epoch of an RFC 3339 text."""
    text = check(value, str, path)
    try:
        seconds = parse_iso(text)
    except (ValueError, OverflowError):
        raise wrong(path, f"must be a time such as 2026-11-23T09:00:00Z, not {text[:60]!r}") from None
    return in_range(seconds, path)


def in_range(seconds: float, path: str) -> float:
    """Seconds since the epoch, if they are a date at all."""
    if not FIRST_MOMENT <= seconds <= LAST_MOMENT:
        raise wrong(path, "is outside of the years 1 to 9999")
    return float(seconds)
