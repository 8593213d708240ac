"""`automation sources`."""

from __future__ import annotations

import typer

from automation.cli.command import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    sources = typer.Typer(help="Sources of events, and how each is doing.", no_args_is_help=True)
    app.add_typer(sources, name="sources")

    @command(sources, "list")
    async def list_(session: Session) -> None:
        """List the sources and how each is doing."""
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.inventory("sources")
        if session.out.as_json:
            session.out.document(found)
            return
        rows = []
        for state in found["items"]:
            status = "held back" if state["held_back"] else state["status"]
            lag = "-" if state["lag"] is None else state["lag"]
            last = state["last_event_at"] or "-"
            counts = (state["events"], state["duplicates"], state["rejected"], state["restarts"])
            rows.append((state["name"], state["type"], status, lag, *counts, last, state["last_error"] or "-"))
        columns = (
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
        session.out.table(columns, rows, empty="there are no sources")
