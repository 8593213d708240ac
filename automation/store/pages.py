"""Pages of long lists: newest first, each with a cursor that says where the next begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from automation.errors import InputError

T = TypeVar("T")

LIMIT = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list, and the cursor of the next page, or None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None = None


def limited(limit: int) -> int:
    """A page size within 1 to 1000; raises InputError."""
    if not 1 <= limit <= 1000:
        raise InputError(f"limit: must be 1 to 1000, not {limit}")
    return limit


def number(cursor: str | None) -> int | None:
    """A cursor that is a row number; raises InputError for one that we did not hand out."""
    if cursor is None:
        return None
    if not cursor.isdecimal() or len(cursor) > 18:
        raise InputError(f"cursor: {cursor[:50]!r} is not a cursor of this list; take `next_cursor` of the page before")
    return int(cursor)
