"""Migrations: each brings a database from one released schema to the next. Alembic finds them in `versions/`."""
