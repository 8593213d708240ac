"""Large values are stored once, beside the journal: cut out of an entry when it is written, put back when it is read.

An entry's body has keys of the engine's own, and below them stands what users gave. What was cut out below such a key
is named by a further one, `$refs`: a list of `[path, sha256, size]`. What users gave is never at that level, so that
nothing in it can be taken for a reference. At the path itself stands null.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.engine import Connection

from automation.errors import NotFound
from automation.model.large import LargeValue
from automation.store import statements
from automation.store.statement import Op
from automation.store.tables import large_values

INLINE_BYTES = 65_536
EXECUTION_BYTES = 256 * 1024 * 1024

REFERENCES = "$refs"
MARK = f'"{REFERENCES}"'
"""What the text of a body with references has somewhere in it; others may have it as well."""

_WHERE: Mapping[str, int] = {"outputs": 1, "parameters": 1, "items": 1, "variables": 2, "event": 3}
"""Below which keys of a body values are cut out, and how deep at least: the engine itself looks into variables and
events, which therefore stay what they are."""

_DEEPEST = 8
"""How far down single large values are looked for; below that, what holds them is cut out as a whole."""

JSON, ZLIB, RAW = "json", "zlib", "raw"
"""How a value is kept: as it came; compressed; as it came, because compressing it does not help."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Limits:
    """What is large, and how much of it one execution may have."""

    inline_bytes: int = INLINE_BYTES
    execution_bytes: int = EXECUTION_BYTES


@dataclass(frozen=True, slots=True)
class Piece:
    """A value that was cut out: where it was, and its JSON."""

    path: tuple[str | int, ...]
    sha256: str
    text: bytes


def cut(body: Mapping[str, Any], limit: int) -> tuple[bytes, list[Piece]]:
    """The JSON of a body whose large values are named and not in it, and these values."""
    pieces: list[Piece] = []
    kept = dict(body)
    for key, depth in _WHERE.items():
        if key in kept:
            kept[key] = _without(kept[key], (key,), depth, limit, pieces)
    if pieces:
        kept[REFERENCES] = [[piece.path, piece.sha256, len(piece.text)] for piece in pieces]
    return _encode(kept), pieces


def _without(value: Any, path: tuple[str | int, ...], depth: int, limit: int, pieces: list[Piece]) -> Any:
    """The value with what is large cut out: the single values that are, or the whole where it is large without them."""
    text = _encode(value)
    if len(text) <= limit:
        return value
    whole = len(path) >= depth
    if len(path) < _DEEPEST and (parts := _parts(value)) is not None:
        inner: list[Piece] = []
        kept = [(key, _without(item, (*path, key), depth, limit, inner)) for key, item in parts]
        rest: Any = dict(kept) if isinstance(value, dict) else [item for _, item in kept]
        if not whole or (inner and len(_encode(rest)) <= limit):
            pieces += inner
            return rest
    if not whole:
        return value
    pieces.append(Piece(path, sha256(text).hexdigest(), text))
    return None


def _parts(value: Any) -> list[tuple[str | int, Any]] | None:
    """What a value consists of, or None if it is one: what is neither a mapping from texts nor a list."""
    if isinstance(value, dict):
        return list(value.items()) if all(type(key) is str for key in value) else None
    return list(enumerate(value)) if isinstance(value, list | tuple) else None


def writes(execution_id: str, pieces: Iterable[Piece], at: float) -> list[Op]:
    """The writes that keep values which an execution's journal names: each once, whoever named it first."""
    found = []
    for piece in {piece.sha256: piece for piece in pieces}.values():
        row = (piece.sha256, len(piece.text), at, at, JSON, piece.text)
        found += [(statements.LARGE_VALUE, row), (statements.LARGE_VALUE_USE, (execution_id, piece.sha256))]
    return found


def references(body: Mapping[str, Any]) -> list[tuple[list[str | int], LargeValue]]:
    """The values that a body as stored names, with their places."""
    return [(path, LargeValue(digest, size)) for path, digest, size in body.get(REFERENCES, ())]


def named(text: str) -> dict[str, Any]:
    """A body as stored, with a `LargeValue` at each place where one was cut out."""
    body: dict[str, Any] = _decode(text)
    for path, value in _taken(body):
        _put(body, path, value)
    return body


def whole(connection: Connection, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Bodies as stored, with all that was cut out put back; raises NotFound where that is not there."""
    known: dict[str, Any] = {}
    bodies: list[dict[str, Any]] = [_decode(text) for text in texts]
    for body in bodies:
        for path, value in _taken(body):
            if value.sha256 not in known:
                known[value.sha256] = _decode(text_of(connection, value.sha256))
            _put(body, path, known[value.sha256])
    return bodies


def _taken(body: dict[str, Any]) -> list[tuple[list[str | int], LargeValue]]:
    found = references(body)
    body.pop(REFERENCES, None)
    return found


def text_of(connection: Connection, digest: str) -> bytes:
    """The JSON of a value; raises NotFound."""
    query = select(large_values.c.coding, large_values.c.body).where(large_values.c.sha256 == digest)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(kind="large value", name=f"sha256:{digest}")
    return expanded(row.coding, row.body)


def expanded(coding: str, body: bytes) -> bytes:
    """The JSON of a value, as it is kept."""
    return zlib.decompress(body) if coding == ZLIB else bytes(body)


def compressed(body: bytes) -> tuple[str, bytes]:
    """How to keep a value's JSON in less room, where that can be done."""
    small = zlib.compress(body, 6)
    return (ZLIB, small) if len(small) < len(body) * 0.9 else (RAW, body)


def _put(body: dict[str, Any], path: Sequence[str | int], value: Any) -> None:
    place: Any = body
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value


def distinct(bodies: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The values that bodies as stored name, each once, with its size."""
    return {value.sha256: value.size for body in bodies for _, value in references(body)}
