"""Many rows in one statement of SQLite do the same as one statement a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from automation.store.sqlite_rows import of_many, portions

INSERT = "INSERT INTO t (id, n, note) VALUES (?, ?, ?)"
UPSERT = INSERT + " ON CONFLICT (id) DO UPDATE SET n = excluded.n"
UPDATE = "UPDATE t SET n=?, note=NULL WHERE t.id = ? AND t.note IS ?"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, n REAL, note TEXT)")
    yield connection
    connection.close()


def everything(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT id, n, typeof(n), note FROM t ORDER BY id").fetchall()


def write(connection: sqlite3.Connection, sql: str, rows: list[tuple[object, ...]]) -> int:
    """Write the rows in portions; how many statements that took."""
    taken = 0
    for text, some in portions(sql, rows, distinct=True):
        taken += 1
        if text is sql:
            connection.executemany(sql, some)
        else:
            connection.execute(text, [value for row in some for value in row])
    return taken


@pytest.mark.parametrize("number", [1, 7, 8, 9, 40, 168, 300])
def test_rows_are_inserted_and_changed_as_one_by_one(connection: sqlite3.Connection, number: int) -> None:
    new: list[tuple[object, ...]] = [(f"k{at}", at, "x" if at % 2 else None) for at in range(number)]
    write(connection, INSERT, new)
    # Every third is not as it was expected, and stays as it is.
    changes: list[tuple[object, ...]] = [
        (-at, f"k{at}", note if at % 3 else "other") for at, (_, _, note) in enumerate(new)
    ]
    write(connection, UPDATE, changes)
    found = everything(connection)

    connection.execute("DELETE FROM t")
    connection.executemany(INSERT, new)
    connection.executemany(UPDATE, changes)
    assert found == everything(connection)
    assert len(found) == number


def test_a_later_row_of_an_upsert_finds_the_earlier_one(connection: sqlite3.Connection) -> None:
    write(connection, UPSERT, [("same", at, None) for at in range(50)])
    assert everything(connection) == [("same", 49.0, "real", None)]


def test_hundreds_of_rows_take_few_statements(connection: sqlite3.Connection) -> None:
    assert write(connection, INSERT, [(str(at), at, None) for at in range(300)]) == 5


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t WHERE id = ?",
        "UPDATE t SET n=? WHERE id IN (SELECT id FROM t WHERE n = ?)",
        "INSERT INTO t (id) VALUES (?) ON CONFLICT (id) DO UPDATE SET n = ?",
        "UPDATE t SET n=?",
    ],
)
def test_what_cannot_be_said_at_once_goes_row_by_row(sql: str) -> None:
    assert of_many(sql, 8) is None
    assert [(text, len(rows)) for text, rows in portions(sql, [("a",)] * 20, distinct=True)] == [(sql, 20)]


def test_changes_of_one_row_go_one_after_the_other() -> None:
    rows: list[tuple[object, ...]] = [(at, "k", None) for at in range(20)]
    assert [text for text, _ in portions(UPDATE, rows, distinct=False)] == [UPDATE]
