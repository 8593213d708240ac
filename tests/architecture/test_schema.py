"""The tables are the sum of the migrations."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from automation.store import schema, tables


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def test_the_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/empty.db")
    with engine.begin() as connection:
        schema.upgrade(connection)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}
        assert schema.version(connection) == schema.HEAD
    engine.dispose()


def test_the_newest_migration_is_the_head() -> None:
    assert scripts().get_heads() == [schema.HEAD]


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [script.revision for script in scripts().walk_revisions()]
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/empty.db")
    found = []
    for _ in range(2):
        with engine.begin() as connection:
            schema.upgrade(connection)
            rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master ORDER BY name").all()
            found.append((schema.version(connection), rows))
    engine.dispose()
    assert found[0] == found[1]
    assert found[1][0] == schema.HEAD
