"""`automation sources`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from automation.cli.command import Session, command

if TYPE_CHECKING:
    from automation.cli.client import Document

COLUMNS = (
    "name",
    "type",
    "status",
    "lag",
    "events",
    "duplicates",
    "rejected",
    "restarts",
    "last event",
    "last error",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    sources = typer.Typer(help="Sources of events, and how each is doing.", no_args_is_help=True)
    app.add_typer(sources, name="sources")
    command(sources, "list")(list_sources)


async def list_sources(session: Session) -> None:
    """List the sources and how each is doing."""
    from automation.cli.inventory import show

    await show(session, "sources", COLUMNS, _row)


def _row(state: Document) -> tuple[object, ...]:
    status = "held back" if state["held_back"] else state["status"]
    lag = "-" if state["lag"] is None else state["lag"]
    counts = (state["events"], state["duplicates"], state["rejected"], state["restarts"])
    last = state["last_event_at"] or "-"
    return state["name"], state["type"], status, lag, *counts, last, state["last_error"] or "-"
