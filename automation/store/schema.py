"""Bring a database to the schema of this program, or refuse it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from automation.errors import SchemaError, StoreError

HEAD = "0002"
"""The newest migration; a test holds it to the folder `migrations/versions`."""


def version(connection: Connection) -> str | None:
    """The schema's version, or None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection) -> None:
    """Migrate up to HEAD; raises SchemaError for a newer schema and StoreError for another program's database."""
    found = version(connection)
    if found is None and inspect(connection).get_table_names():
        raise StoreError("the database holds tables of another program; give automation a database of its own")
    # Imported here: Alembic takes longer to load than an up-to-date database takes to open.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"the database has schema {found}, which this version of automation does not know (its newest is {HEAD}); "
            "install the version that wrote it, or a newer one"
        )
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the migration failed: {error}") from None
