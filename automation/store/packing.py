"""Packed journals: all entries of an execution in one compressed row, when nobody will add to them.

Nothing of a journal is lost by that. What is packed are the entries from the first one up to some number; entries that
come after it (of an execution that was taken up again) stand in the journal as usual. While a journal is being packed
its entries may be in both places for a moment, and the same reading serves for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import String, bindparam, select
from sqlalchemy.engine import Connection

from automation.store.tables import journal, packed_journals


class Told(NamedTuple):
    """One row of a journal, wherever it stands."""

    seq: int
    at: float
    kind: str
    action: str | None
    body: str


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(list[tuple[int, float, str, str | None, msgspec.Raw]])

_LOOSE = (
    select(journal.c.seq, journal.c.at, journal.c.kind, journal.c.action, journal.c.body)
    .where(journal.c.execution_id == bindparam("id", type_=String))
    .order_by(journal.c.seq)
)
_PACKED = select(packed_journals.c.body).where(packed_journals.c.execution_id == bindparam("id", type_=String))


def packed(rows: Iterable[Told]) -> bytes:
    """The rows of a journal, as one compressed text."""
    return zlib.compress(_encode([(*row[:4], msgspec.Raw(row.body.encode())) for row in rows]), 6)


def unpacked(body: bytes) -> list[Told]:
    """The rows of a packed journal; raises ValueError for what is none."""
    try:
        found = _decoder.decode(zlib.decompress(body))
    except zlib.error as error:
        raise ValueError(f"not a packed journal: {error}") from None
    return [Told(*row[:4], bytes(row[4]).decode()) for row in found]


def rows_of(connection: Connection, execution_id: str) -> list[Told]:
    """The journal of an execution, in order, from wherever it stands."""
    rows = [Told(*row) for row in connection.execute(_LOOSE, {"id": execution_id})]
    if rows and rows[0].seq == 1:
        return rows
    body = connection.execute(_PACKED, {"id": execution_id}).scalar()
    return joined(unpacked(body), rows) if body is not None else rows


def rows_of_many(connection: Connection, execution_ids: Sequence[str]) -> dict[str, list[Told]]:
    """The journals of several executions, as `rows_of` each, with one look for all of them."""
    columns = journal.c
    query = select(columns.execution_id, columns.seq, columns.at, columns.kind, columns.action, columns.body)
    found: dict[str, list[Told]] = {execution_id: [] for execution_id in execution_ids}
    loose = query.where(columns.execution_id.in_(execution_ids)).order_by(columns.execution_id, columns.seq)
    for execution_id, *told in connection.execute(loose):
        found[execution_id].append(Told(*told))
    # Few are packed: only what has ended, and was taken up again.
    return {
        execution_id: rows if rows and rows[0].seq == 1 else rows_of(connection, execution_id)
        for execution_id, rows in found.items()
    }


def joined(first: Sequence[Told], loose: Sequence[Told]) -> list[Told]:
    """The rows of a packed journal and those that stand by themselves, each once."""
    begin = loose[0].seq if loose else None
    return [*(row for row in first if begin is None or row.seq < begin), *loose]
