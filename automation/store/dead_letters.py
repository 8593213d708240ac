"""What could not be taken in, as stored."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from automation.model.event import Event
from automation.model.ids import new_id
from automation.store.pages import LIMIT, Page, limited
from automation.store.statement import Op, Statement, insertion
from automation.store.store import Store, to_json
from automation.store.trigger_tables import dead_letters

LARGEST = 1_000_000
"""Characters that are kept of a body."""

NEW = insertion("dead_letter", dead_letters, 7)
REPLAYED = Statement(
    "dead_letter_replayed",
    update(dead_letters).values(replayed_at=bindparam("replayed_at")).where(dead_letters.c.id == bindparam("where_id")),
    ("replayed_at", "where_id"),
    8,
)


def event_text(event: Event) -> str:
    """An event as JSON or, if it cannot be that, as a program writes it."""
    try:
        return to_json(event)
    except (TypeError, ValueError, RecursionError):
        return repr(event)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Something that could not be taken in, and why."""

    id: str
    at: float
    source: str
    body: str
    """As it came, as far as it is kept."""
    truncated: bool
    """Whether there was more of it."""
    error: str
    replayed_at: float | None = None
    """When it was taken in after all."""

    @classmethod
    def new(cls, at: float, source: str, body: str, error: str) -> DeadLetter:
        """One that is not stored yet."""
        # NUL cannot be stored as text by every database.
        text = body[:LARGEST].replace("\x00", "\ufffd")
        return cls(new_id(), at, source, text, len(body) > LARGEST, error)

    def op(self) -> Op:
        """The write that stores it."""
        return NEW(
            id=self.id,
            at=self.at,
            source=self.source,
            body=self.body,
            truncated=self.truncated,
            error=self.error,
            replayed_at=self.replayed_at,
        )

    def replayed(self, at: float) -> Op:
        """The write that says that it was taken in after all."""
        return REPLAYED(replayed_at=at, where_id=self.id)


async def page(
    store: Store,
    *,
    source: str | None = None,
    since: float | None = None,
    waiting: bool = False,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page[DeadLetter]:
    """Dead letters, newest first; `waiting` leaves out those that were replayed."""
    query = select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limited(limit) + 1)
    if source is not None:
        query = query.where(dead_letters.c.source == source)
    if since is not None:
        query = query.where(dead_letters.c.at >= since)
    if waiting:
        query = query.where(dead_letters.c.replayed_at.is_(None))
    if cursor is not None:
        query = query.where(dead_letters.c.id < cursor)
    rows = await store.fetch(query)
    found = tuple(DeadLetter(**row._mapping) for row in rows[:limit])
    return Page(found, found[-1].id if len(rows) > limit else None)
