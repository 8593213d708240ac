"""The tables of triggers."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, String, Table, Text

from automation.store.metadata import metadata

# What triggers remember between events: partial matches, throttles, cooldowns, pending thresholds.
trigger_states = Table(
    "trigger_states",
    metadata,
    Column("trigger", String, primary_key=True),
    Column("part", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("revision", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("due_at", Double),
    Column("updated_at", Double, nullable=False),
    Index(None, "updated_at"),
)

# What could not be taken in, with what was wrong with it.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", Double, nullable=False),
    Column("source", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("error", Text, nullable=False),
    Column("replayed_at", Double),
    Index(None, "source", "id"),
)
