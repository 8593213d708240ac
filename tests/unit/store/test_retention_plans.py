"""Each deletion reaches its rows by an index: looking through a table would hold up all other writers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from automation.store import retention
from automation.store.sqlite import Sqlite
from automation.store.statement import Statement

STATEMENTS = [each for each in (*vars(retention).values(), *retention.PART_DELETES) if isinstance(each, Statement)]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_a_deletion_looks_through_no_table(statement: Statement, empty_database: Path) -> None:
    sql, _ = Sqlite(str(empty_database))._sql(statement)
    with closing(sqlite3.connect(empty_database)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["[]"] * sql.count("?")).fetchall()
    assert [step[3] for step in plan if step[3].startswith("SCAN") and "json_each" not in step[3]] == []
