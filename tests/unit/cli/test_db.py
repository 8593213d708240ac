"""`automation db`: what it says, and its exit codes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke

DATABASE = Path("automation-data/automation.db")


def change(statement: str) -> None:
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute(statement)


@pytest.fixture(autouse=True)
def _an_execution(folder: Path, invoke: Invoke) -> None:
    assert invoke("run", "hello", "--var", "who=you", "--json").code == 0


def test_status_says_what_is_in_it(invoke: Invoke) -> None:
    answer = invoke("db", "status")
    assert answer.code == 0
    assert "schema       0002: up to date" in answer.out
    assert [line.split()[:2] for line in answer.out.splitlines() if line.startswith("executions")] == [
        ["executions", "1"]
    ]
    tables = {row["table"]: row for row in invoke("db", "status", "--json").document["tables"]}
    assert tables["executions"]["oldest_at"].endswith("Z")


ABSENT = f"error: there is no file {DATABASE}; the engine makes it when it first starts"


def test_migrate_says_from_what_to_what(invoke: Invoke) -> None:
    assert invoke("db", "migrate").out == "the schema is 0002: up to date\n"
    DATABASE.unlink()
    answer = invoke("db", "migrate", "--dry-run")
    assert (answer.code, answer.err.partition("\n")[0]) == (2, ABSENT)
    answer = invoke("db", "migrate")
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "the schema was none and is 0002 now"
    assert invoke("db", "migrate", "--check", "--json").document["steps"] == []


def test_a_newer_schema_is_exit_code_2(invoke: Invoke) -> None:
    change("UPDATE alembic_version SET version_num = '9999'")
    answer = invoke("db", "migrate")
    assert answer.code == 2
    assert answer.err.startswith("error: the database has schema 9999, which this version of automation does not know")


def test_check_says_each_problem_in_a_line(invoke: Invoke) -> None:
    answer = invoke("db", "check")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("1 executions, ")
    assert answer.out.endswith(" audit rows: no problems\n")
    change("UPDATE executions SET status = 'failed'")
    change("UPDATE audit SET act = 'x' WHERE seq = 1")

    answer = invoke("db", "check")
    assert answer.code == 1
    assert "audit/main/1: was changed: its hash does not fit its content\n" in answer.out
    assert ": its status is 'failed' in its row and 'succeeded' in its journal\n" in answer.out
    answer = invoke("db", "check", "--json")
    assert answer.code == 1
    assert answer.document["ok"] is False
    assert [set(problem) for problem in answer.document["problems"]] == 2 * [
        {"path", "message", "file", "line", "severity"}
    ]


def test_a_backup_comes_back(invoke: Invoke) -> None:
    answer = invoke("db", "backup", "copy.db")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("copy.db: ")
    assert answer.out.endswith(", checked; 0 executions were under way\n")
    assert invoke("run", "hello", "--var", "who=me", "--json").code == 0

    answer = invoke("db", "restore", "copy.db")

    assert answer.code == 0, answer.err
    assert "copy.db is the database now (schema 0002)\n" in answer.out
    assert "it has 1 executions and 0 events that came after the backup: here they never were" in answer.out
    assert len(invoke("executions", "list", "--json").document["items"]) == 1


def test_a_file_that_is_there_is_kept(invoke: Invoke) -> None:
    Path("copy.db").write_text("mine")
    answer = invoke("db", "backup", "copy.db")
    assert answer.code == 2
    assert "copy.db is there already\n  name another file, or replace it with --force\n" in answer.err
    document = invoke("db", "backup", "copy.db", "--force", "--json").document
    assert document["size"] == Path("copy.db").stat().st_size


def test_what_is_no_backup_is_refused(invoke: Invoke) -> None:
    Path("text").write_text("hello, this is no database\n" * 100)
    answer = invoke("db", "restore", "text", "--json")
    assert answer.code == 1
    assert json.loads(answer.err)["error"]["message"] == "text is not a SQLite database"
    assert invoke("db", "restore", "none").code == 2


def test_postgresql_is_told_what_to_use(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:secret@db/ops")
    answer = invoke("db", "backup", "ops.dump")
    assert answer.code == 2
    assert "pg_dump --format=custom --file=ops.dump --dbname=postgresql://ann@db/ops" in answer.err
    assert "secret" not in answer.err
