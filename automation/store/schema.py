"""Bring a database to the schema of this program, or refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from automation.errors import SchemaError, StoreError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"
"""The newest migration; a test holds it to the folder `migrations/versions`."""


def version(connection: Connection) -> str | None:
    """The schema's version, or None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def pending(connection: Connection) -> list[tuple[str, str]]:
    """The migrations that lead to HEAD, oldest first, each with what it does; raises as `upgrade` does."""
    found = version(connection)
    if found is None and inspect(connection).get_table_names():
        raise StoreError("the database holds tables of another program; give automation a database of its own")
    if found == HEAD:
        return []
    # Imported here: Alembic takes longer to load than an up-to-date database takes to open.
    from alembic.script import ScriptDirectory

    scripts = list(ScriptDirectory.from_config(_config()).walk_revisions("base", "heads"))
    if found is not None and found not in {script.revision for script in scripts}:
        raise SchemaError(
            f"the database has schema {found}, which this version of automation does not know (its newest is {HEAD}); "
            "install the version that wrote it, or a newer one"
        )
    return [(script.revision, script.doc) for script in reversed(scripts) if found is None or script.revision > found]


def upgrade(connection: Connection) -> None:
    """Migrate up to HEAD; raises SchemaError for a newer schema and StoreError for another program's database."""
    pending(connection)
    from alembic import command
    from alembic.util import CommandError

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the migration failed: {error}") from None


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
