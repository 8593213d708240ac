"""`automation events`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.commands import replays
from automation.cli.commands.executions import Cursor, Limit

if TYPE_CHECKING:
    from automation.cli.client import Client, Document

Subject = Annotated[str, typer.Option(help="What it happened to, such as a service.")]
FOLLOW_SECONDS = 1.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    events = typer.Typer(help="Events: publish, list, explain, replay.", no_args_is_help=True)
    app.add_typer(events, name="events")

    @command(events, "publish")
    async def publish(
        session: Session,
        type_: Annotated[str, typer.Argument(metavar="TYPE", help="What happened.", show_default=False)],
        subject: Subject = "",
        data: Annotated[
            list[str] | None,
            typer.Option("--data", metavar="NAME=VALUE", help="Data: JSON, else text.", show_default=False),
        ] = None,
        severity: Annotated[str | None, typer.Option(help="Such as high.", show_default=False)] = None,
        source: Annotated[str, typer.Option(help="Who says so.")] = "cli",
        event_id: Annotated[
            str | None,
            typer.Option("--id", metavar="ID", help="Its id; the same pair of source and id starts nothing twice."),
        ] = None,
    ) -> None:
        """Publish an event, and say what it started.

        Without a server, what it starts is run to its end in this process.
        """
        from automation.cli.client import connect
        from automation.cli.variables import variables_of
        from automation.model.event import Event

        given: dict[str, Any] = {"id": event_id} if event_id else {}
        values = variables_of(data or [], [], option="--data")
        event = Event(type=type_, subject=subject, data=values, severity=severity, source=source, **given)
        async with connect(session) as client:
            receipt = await client.publish(event)
        _print_receipt(session, receipt)

    @command(events, "list")
    async def list_(
        session: Session,
        type_: Annotated[
            str | None, typer.Option("--type", metavar="TYPE", help="Only of this type.", show_default=False)
        ] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new event.")] = False,
    ) -> None:
        """List events, newest first.

        With --follow oldest first, and with --json a line each.
        """
        from automation.cli.client import Slice, connect

        async with connect(session) as client:
            page = await client.events(type_, Slice(limit, cursor))
            if follow:
                await _follow(session, client, type_, page)
        _print_page(session, page)

    replays.add_to(events)


def _print_receipt(session: Session, receipt: Document) -> None:
    if session.out.as_json:
        session.out.document(receipt)
        return
    session.out.facts(
        {
            "event": receipt["event_id"],
            "duplicate": "yes, it was published before" if receipt["duplicate"] else None,
            "started": "\n".join(receipt["executions"]) or "nothing",
            "not started": "\n".join(receipt["skipped"]),
            "woken": "\n".join(receipt["woken"]),
        }
    )


def _print_page(session: Session, page: Document) -> None:
    if session.out.as_json:
        session.out.document(page)
        return
    session.out.table(_COLUMNS, [_row(item) for item in page["items"]], empty="there are no events")
    session.out.more(page)


_COLUMNS = ("time", "type", "subject", "severity", "source", "started", "data")


def _row(item: Document) -> tuple[Any, ...]:
    from automation.cli.output import moment

    event = item["event"]
    data = json.dumps(event["data"], ensure_ascii=False)
    return (
        moment(event["time"]),
        event["type"],
        event["subject"],
        event["severity"] or "-",
        event["source"],
        "yes" if item["matched"] else ", ".join(item["held_back"]) or "-",
        data if len(data) <= 120 else data[:119] + "…",
    )


async def _follow(session: Session, client: Client, type_: str | None, page: Document) -> None:
    """Print each event once, until interrupted."""
    import asyncio

    from automation.cli.client import Slice
    from automation.cli.output import shown

    seen: set[tuple[str, str]] = set()
    while True:
        for item in reversed(page["items"]):
            key = (item["event"]["source"], item["event"]["id"])
            if key in seen:
                continue
            seen.add(key)
            if session.out.as_json:
                session.out.json_line(item)
            else:
                session.out.line("  ".join(shown(cell) for cell in _row(item)))
        await asyncio.sleep(FOLLOW_SECONDS)
        page = await client.events(type_, Slice(1000))
