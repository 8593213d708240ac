"""The tables are the sum of the migrations."""

from __future__ import annotations

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from automation.config import Store as Settings
from automation.store import schema, tables
from automation.store.store import backend_of
from tests.support.databases import Database


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


async def test_the_migrations_lead_to_the_tables(new_database: Database) -> None:
    def compare(connection: Connection) -> None:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}
        assert schema.version(connection) == schema.HEAD
        assert _conditions(connection) == _wanted()

    backend = backend_of(new_database.url, Settings())
    await backend.open()
    await backend.change(schema.upgrade)
    await backend.read(compare)
    await backend.close()


def _conditions(connection: Connection) -> dict[str | None, str]:
    """The conditions of partial indexes, which Alembic does not compare."""
    word = f"{connection.dialect.name}_where"
    return {
        index["name"]: re.sub(r"[()]|::text", "", str(index["dialect_options"][word]))
        for table in tables.metadata.tables
        for index in inspect(connection).get_indexes(table)
        if index.get("dialect_options", {}).get(word) is not None
    }


def _wanted() -> dict[str | None, str]:
    return {
        index.name: str(index.dialect_options["sqlite"]["where"])
        for table in tables.metadata.sorted_tables
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }


def test_the_newest_migration_is_the_head() -> None:
    assert scripts().get_heads() == [schema.HEAD]


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [script.revision for script in scripts().walk_revisions()]
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]


async def test_upgrading_twice_changes_nothing(new_database: Database) -> None:
    backend = backend_of(new_database.url, Settings())
    await backend.open()
    found = []
    for _ in range(2):
        await backend.change(schema.upgrade)
        found.append((await backend.read(schema.version), await backend.read(_described)))
    await backend.close()
    assert found[0] == found[1]
    assert found[1][0] == schema.HEAD


def _described(connection: Connection) -> str:
    inspector = inspect(connection)
    lines = []
    for name in sorted(inspector.get_table_names()):
        lines += [f"{name}: {inspector.get_columns(name)} {inspector.get_pk_constraint(name)}"]
        lines += sorted(f"{index['name']}: {index['column_names']}" for index in inspector.get_indexes(name))
    return "\n".join([*lines, str(_conditions(connection))])
