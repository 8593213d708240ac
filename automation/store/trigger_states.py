"""What triggers remember between events, as stored: partial matches, throttles, cooldowns, pending thresholds.

A row is of one trigger, one part of it and one key. Each write names the revision that it was decided on and is refused
if another node, or another event, was quicker: then all that was to be committed with it is decided again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Row

from automation.model.ids import new_id
from automation.store.statement import Op, Statement
from automation.store.store import Store, decode, to_json
from automation.store.trigger_tables import trigger_states

Place = tuple[str, str, str]
"""The trigger's name, what of it is remembered, and the key."""

_KEY = ("trigger", "part", "key")
_COLUMNS = tuple(column.name for column in trigger_states.columns)
_CHANGED = ("revision", "digest", "body", "due_at", "updated_at")


def _at(query: Any) -> Any:
    for name in _KEY:
        query = query.where(trigger_states.c[name] == bindparam(f"where_{name}"))
    return query


def _same(query: Any) -> Any:
    return _at(query).where(trigger_states.c.revision == bindparam("where_revision"))


_WHERE = (*(f"where_{name}" for name in _KEY), "where_revision")
STATEMENT = "trigger_state"
"""What the names of the statements begin with."""
NEW = Statement(
    f"{STATEMENT}_new",
    sqlite.insert(trigger_states)
    .values({name: bindparam(name) for name in _COLUMNS})
    .on_conflict_do_nothing(index_elements=list(_KEY)),
    _COLUMNS,
    1,
    expect=1,
)
CHANGE = Statement(
    f"{STATEMENT}_change",
    _same(update(trigger_states).values({name: bindparam(name) for name in _CHANGED})),
    (*_CHANGED, *_WHERE),
    1,
    expect=1,
)
END = Statement(f"{STATEMENT}_end", _same(delete(trigger_states)), _WHERE, 1, expect=1)
_AT = tuple(f"where_{name}" for name in _KEY)


def _unchanged(query: Any) -> Any:
    return query.values(updated_at=trigger_states.c.updated_at)


SAME = Statement(f"{STATEMENT}_same", _same(_unchanged(update(trigger_states))), _WHERE, 1, expect=1)
NONE = Statement(f"{STATEMENT}_none", _at(_unchanged(update(trigger_states))), _AT, 1, expect=0)
"""These change nothing; they refuse what was decided on something that is no longer so."""


@dataclass(frozen=True, slots=True)
class TriggerState:
    """What a trigger remembers of one key."""

    body: dict[str, Any]
    digest: str
    """Of the trigger's definition: what another one has remembered means nothing to it."""
    due_at: float | None = None
    """When there is something to do although nothing comes."""
    revision: str = ""

    @classmethod
    def new(cls, body: dict[str, Any], digest: str, due_at: float | None) -> TriggerState:
        """One that is not stored yet."""
        return cls(body, digest, due_at, new_id())


def write(place: Place, before: str | None, after: TriggerState | None, now: float) -> Op | None:
    """The write from one revision of a row to another; None is no row."""
    where = dict(zip(_WHERE, (*place, before), strict=True))
    if after is None:
        return None if before is None else END(**where)
    values = {
        "revision": after.revision,
        "digest": after.digest,
        "body": to_json(after.body),
        "due_at": after.due_at,
        "updated_at": now,
    }
    if before is None:
        return NEW(**dict(zip(_KEY, place, strict=True)), **values)
    return CHANGE(**values, **where)


def same(place: Place, revision: str | None) -> Op:
    """What is refused unless the row still has this revision; None is no row."""
    where = dict(zip(_WHERE, (*place, revision), strict=True))
    if revision is not None:
        return SAME(**where)
    del where["where_revision"]
    return NONE(**where)


def _state(row: Row[Any]) -> tuple[Place, TriggerState]:
    return (row.trigger, row.part, row.key), TriggerState(decode(row.body), row.digest, row.due_at, row.revision)


async def changed(store: Store, since: float) -> dict[Place, TriggerState]:
    """All that was written from this time on."""
    query = select(trigger_states).where(trigger_states.c.updated_at >= since)
    return dict(_state(row) for row in await store.fetch(query))


async def at(store: Store, places: Iterable[Place]) -> dict[Place, TriggerState]:
    """The rows at these places; those that are not there are left out."""
    found: dict[Place, TriggerState] = {}
    wanted = list(places)
    key = tuple_(*(trigger_states.c[name] for name in _KEY))
    for begin in range(0, len(wanted), 200):
        query = select(trigger_states).where(key.in_(wanted[begin : begin + 200]))
        found |= dict(_state(row) for row in await store.fetch(query))
    return found
