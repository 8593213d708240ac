"""How the database is used: the section `store` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from automation.model.base import Definition


class Store(Definition):
    """How the database is used."""

    lease_seconds: Annotated[float, Field(ge=2)] = 15.0
    """After how long without a heartbeat another node takes over the work of a silent one."""
    busy_timeout_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long to wait for a locked SQLite file, or for a lock that another session of PostgreSQL holds."""
    max_pending: Annotated[int, Field(ge=100)] = 20_000
    """How many writes may wait for the writer before callers are held back."""
    inline_bytes: Annotated[int, Field(ge=1024)] = 65_536
    """A value of which the JSON is longer is stored once, compressed, beside the journal, which refers to it."""
    max_result_bytes: Annotated[int, Field(ge=1024)] = 67_108_864
    """The largest result of an action, as JSON; a larger one fails the action."""
    max_execution_bytes: Annotated[int, Field(ge=65_536)] = 268_435_456
    """How many bytes of large values one execution may have, which are in memory while it runs; a result that would be
    too much fails its action."""
