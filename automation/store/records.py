"""The small tables: definitions, positions, tokens, and the reading of the audit chain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from heapq import merge
from itertools import islice
from typing import Any

from msgspec import MsgspecError, Struct
from msgspec.json import Decoder
from sqlalchemy import Select, func, select, text
from sqlalchemy.engine import Connection, Row

from automation.errors import InputError, Problem
from automation.store import audit as chain
from automation.store import statements
from automation.store.pages import LIMIT, Page, limited
from automation.store.statement import Op
from automation.store.store import Store, decode, to_json
from automation.store.tables import FREQUENT, RARE, audit, audit_heads, definitions, positions, tokens


def definition(kind: str, name: str, body: str, now: float) -> tuple[str, Op]:
    """The id of a version of a definition (a hash of its content), and the write that stores it once."""
    digest = sha256(f"{kind}\0{name}\0{body}".encode()).hexdigest()[:32]
    return digest, statements.DEFINITION(id=digest, kind=kind, name=name, body=body, created_at=now)


async def definition_body(store: Store, definition_id: str) -> str | None:
    """The stored text of a version of a definition."""
    row = await store.first(select(definitions.c.body).where(definitions.c.id == definition_id))
    return row.body if row else None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a definition, as stored."""

    id: str
    """A hash of its content: the same content is the same version, however often it is registered."""
    name: str
    created_at: float
    in_force: bool
    """Whether it is the one by which executions start now, or did when it was last registered."""
    body: str = ""


async def versions(store: Store, kind: str, name: str, *, prefix: str | None = None) -> list[Version]:
    """The versions of a definition, the newest first; with `prefix`, those whose id begins so, with their bodies."""
    place = f"current.{kind}.{name}"
    current = select(positions.c.body).where(positions.c.name == place).scalar_subquery()
    columns = [definitions.c.id, definitions.c.created_at, current.label("current")]
    if prefix is not None:
        columns.append(definitions.c.body)
    query = select(*columns).where(definitions.c.kind == kind, definitions.c.name == name)
    if prefix is not None:
        query = query.where(definitions.c.id.startswith(prefix, autoescape=True))
    rows = await store.fetch(query.order_by(definitions.c.created_at.desc(), definitions.c.id).limit(1000))
    return [
        Version(
            row.id,
            name,
            row.created_at,
            row.current is not None and decode(row.current) == row.id,
            row.body if prefix is not None else "",
        )
        for row in rows
    ]


def save_position(name: str, body: Any, now: float) -> Op:
    """The write that stores where something stands: a source's offset, a check's state, a schedule's last time."""
    return statements.POSITION(name=name, body=to_json(body), updated_at=now)


async def all_positions(store: Store, prefix: str) -> dict[str, Any]:
    """All stored positions whose name begins so, without that beginning."""
    query = select(positions).where(positions.c.name.startswith(prefix, autoescape=True))
    return {row.name.removeprefix(prefix): decode(row.body) for row in await store.fetch(query)}


@dataclass(frozen=True, slots=True)
class Token:
    """A token as stored: its hash, never itself."""

    id: str
    kind: str
    name: str
    hash: str
    roles: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def op(self) -> Op:
        """The write that stores it."""
        return statements.TOKEN(
            id=self.id,
            kind=self.kind,
            name=self.name,
            hash=self.hash,
            roles=to_json(self.roles),
            created_at=self.created_at,
            expires_at=self.expires_at,
            revoked_at=self.revoked_at,
        )


def _token(row: Row[Any]) -> Token:
    return Token(
        row.id, row.kind, row.name, row.hash, tuple(decode(row.roles)), row.created_at, row.expires_at, row.revoked_at
    )


async def token_by_hash(store: Store, digest: str) -> Token | None:
    """The token with this hash, or None."""
    row = await store.first(select(tokens).where(tokens.c.hash == digest))
    return _token(row) if row else None


async def all_tokens(store: Store, kind: str = "api") -> list[Token]:
    """All tokens of a kind, oldest first."""
    rows = await store.fetch(select(tokens).where(tokens.c.kind == kind).order_by(tokens.c.created_at))
    return [_token(row) for row in rows]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One sealed row of the audit chain."""

    chain: str
    seq: int
    at: float
    kind: str
    actor: str
    act: str
    subject: str
    outcome: str
    detail: Any
    hash: str


async def audit_page(
    store: Store, *, kind: str | None = None, cursor: str | None = None, limit: int = LIMIT
) -> Page[AuditRow]:
    """Audit rows of all chains, newest first. Within a chain they stand in its order, whatever their clocks said."""
    most, before = limited(limit) + 1, _positions(cursor)
    if before is None:
        heads = await store.fetch(select(audit_heads.c.chain, audit_heads.c.seq))
        before = {row.chain: row.seq + 1 for row in heads}
    found = []
    for name, seq in before.items():
        query = select(audit).where(audit.c.chain == name).order_by(audit.c.seq.desc()).limit(most)
        if kind is None or kind in FREQUENT:
            query = query.where(audit.c.seq < seq, *(() if kind is None else (audit.c.kind == kind,)))
        else:
            query = query.where(audit.c.seq.in_(_rare(name, seq, kind, most)))
        found.append([_audit_row(row) for row in await store.fetch(query)])
    rows = list(islice(merge(*found, key=lambda row: -row.at), most))
    if len(rows) <= limit:
        return Page(tuple(rows), None)
    after = before | {row.chain: row.seq for row in rows[:limit]}
    return Page(tuple(rows[:limit]), ",".join(f"{name}:{seq}" for name, seq in after.items()))


def _rare(name: str, before: int, kind: str, most: int) -> Select[Any]:
    """The numbers of the last rows of a kind that few rows are of.

    They alone, and with the condition as the index has it: of what is in the index, SQLite reads nothing else.
    """
    rows = audit.alias("rare")
    wanted = (rows.c.chain == name, rows.c.seq < before, rows.c.kind == kind, text(RARE))
    return select(rows.c.seq).where(*wanted).order_by(rows.c.seq.desc()).limit(most)


def _positions(cursor: str | None) -> dict[str, int] | None:
    """The row of each chain before which a page begins; raises InputError for a cursor that we did not hand out."""
    if cursor is None:
        return None
    if not re.fullmatch(r"[\w-]+:\d{1,18}(,[\w-]+:\d{1,18})*", cursor):
        raise InputError(f"cursor: {cursor[:50]!r} is not a cursor of this list; take `next_cursor` of the page before")
    return {name: int(seq) for name, _, seq in (part.partition(":") for part in cursor.split(","))}


def _audit_row(row: Row[Any]) -> AuditRow:
    return AuditRow(
        row.chain, row.seq, row.at, row.kind, row.actor, row.act, row.subject, row.outcome, decode(row.detail), row.hash
    )


async def verify_audit(store: Store) -> tuple[int, list[Problem]]:
    """Check every row of every chain: how many there are, and what was changed, is missing or was moved."""
    return await store.read(verify_chain)


def verify_chain(connection: Connection) -> tuple[int, list[Problem]]:
    """The same, over a connection."""
    heads = {row.chain: (row.seq, row.hash) for row in connection.execute(select(audit_heads))}
    query = select(audit).order_by(audit.c.chain, audit.c.seq).execution_options(yield_per=5_000)
    return chain.verify(_rows(connection, query), heads, _deleted(connection))


def _deleted(connection: Connection) -> dict[str, tuple[int, str]]:
    """Up to which row each chain was deleted for its age, as its rows say; these are verified with all others."""
    found: dict[str, tuple[int, str]] = {}
    for detail in connection.execute(select(audit.c.detail).where(audit.c.act == chain.RETENTION)).scalars():
        try:
            ends = _pruned.decode(detail).audit
        except MsgspecError:
            # Somebody changed it: the walk will say so.
            continue
        for name, end in ends.items():
            found[name] = max(found.get(name, end), end)
    return found


class _Pruned(Struct):
    audit: dict[str, tuple[int, str]] = {}


_pruned = Decoder(_Pruned)


def _rows(connection: Connection, query: Any) -> Iterator[Any]:
    yield from connection.execute(query)


async def audit_count(store: Store) -> int:
    """How many audit rows there are."""
    row = await store.first(select(func.count()).select_from(audit))
    return int(row[0]) if row else 0
