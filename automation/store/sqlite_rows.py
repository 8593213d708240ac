"""The statements as SQLite gets them: many rows in one of them.

The driver gives up the interpreter's lock for each statement, and the writer's thread then waits for its turn to get it
back: with a statement a row, a busy event loop would make each row wait.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

Rows = list[tuple[Any, ...]]

_PORTIONS = (128, 32, 8)
"""How many rows one statement takes, the most first; SQLite keeps the statements prepared."""


@cache
def of_many(sql: str, number: int) -> str | None:
    """The statement for so many rows at once, their values one after the other; None where that cannot be."""
    head, separator, values = sql.partition(" VALUES ")
    if separator:
        # What follows the values, such as ON CONFLICT, is said once for all of them.
        row, _, tail = values.partition(")")
        return None if "?" in tail else f"{head} VALUES {', '.join([row + ')'] * number)}{tail}"
    begin, separator, condition = sql.partition(" WHERE ")
    if not sql.startswith("UPDATE ") or not separator or "SELECT" in sql:
        return None
    place = itertools.count(1)
    begin, condition = (re.sub(r"\?", lambda _: f"v.column{next(place)}", part) for part in (begin, condition))
    row = f"({', '.join('?' * (next(place) - 1))})"
    return f"{begin} FROM (VALUES {', '.join([row] * number)}) AS v WHERE {condition}"


def portions(sql: str, rows: Rows, *, distinct: bool) -> Iterator[tuple[str, Rows]]:
    """Statements, and for each the rows that go into it at once: one statement after the other does the same as one a
    row. `distinct`: no two of the rows change the same row of the table."""
    begin = 0
    for size in _PORTIONS if distinct else ():
        while len(rows) - begin >= size and (many := of_many(sql, size)) is not None:
            yield many, rows[begin : begin + size]
            begin += size
    if begin < len(rows):
        yield sql, rows[begin:]
