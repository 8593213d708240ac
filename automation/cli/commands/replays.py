"""`automation events explain`, `dead`, `replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.commands.executions import Cursor, Limit

if TYPE_CHECKING:
    from automation.cli.client import Document

Source = Annotated[str | None, typer.Option(help="Only of this source.", show_default=False)]


def add_to(events: typer.Typer) -> None:
    """Add the commands to those of `automation events`."""
    command(events, "explain")(explain)
    command(events, "dead")(dead)
    command(events, "replay")(replay)


async def explain(
    session: Session,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.", show_default=False)],
    source: Annotated[
        str | None, typer.Option(help="Its source, where several use one id.", show_default=False)
    ] = None,
) -> None:
    """Say what an event started, what not, and why.

    And how the rules of now see it: of each that is about such events, or names something which this one carries,
    the parts of its conditions with their values.
    """
    from automation.cli.client import connect

    async with connect(session) as client:
        _print_explanation(session, await client.triggers.explain(event_id, source))


async def dead(session: Session, source: Source = None, limit: Limit = 20, cursor: Cursor = None) -> None:
    """List what could not be taken in, newest first."""
    from automation.cli.client import Slice, connect
    from automation.cli.output import moment

    async with connect(session) as client:
        page = await client.triggers.dead(source, Slice(limit, cursor))
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (moment(item["at"]), item["source"], item["error"], _short(item["body"]), bool(item["replayed_at"]))
        for item in page["items"]
    ]
    session.out.table(("time", "source", "error", "body", "replayed"), rows, empty="there are no dead letters")
    session.out.more(page)


async def replay(
    session: Session,
    since: Annotated[
        str, typer.Option(help="From when on: how long ago (`2h`, `7d`) or a time (RFC 3339).", show_default=False)
    ],
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only of this type.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be started.")] = False,
) -> None:
    """Start what stored events have not started.

    That is what they would start now. What was held back on purpose (by a cooldown, a throttle, a stop) stays so.
    An event starts a workflow once: a replay may be repeated. Dead letters that are events by now are taken in.
    """
    from automation.cli.client import connect
    from automation.cli.triggers import Portion

    begin, after, events, items = moment_of(since), 0, 0, []
    async with connect(session) as client:
        while True:
            found = await client.triggers.replay(Portion(begin, type_, after, dry_run))
            events += found["events"]
            items += found["items"]
            if found["after"] is None:
                break
            after = found["after"]
    _print_replay(session, {"events": events, "dry_run": dry_run, "items": items})


def moment_of(text: str) -> float:
    """The time that a text means; raises InputError."""
    from automation.clock import RealClock, parse_iso
    from automation.conditions import seconds_of
    from automation.errors import InputError

    try:
        return parse_iso(text)
    except ValueError:
        pass
    try:
        return RealClock().now() - seconds_of(text)
    except ValueError:
        raise InputError(f"--since: {text!r} is neither a duration such as 2h nor a time such as 2026-01-01") from None


def _short(text: str, most: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _print_replay(session: Session, found: dict[str, Any]) -> None:
    from automation.cli.output import moment

    if session.out.as_json:
        session.out.document(found)
        return
    rows = [
        (
            moment(item["received_at"]),
            item["type"],
            item["event_id"],
            item["workflow"] or "-",
            item["outcome"].replace("_", " "),
            item["execution_id"] or item["reason"],
        )
        for item in found["items"]
    ]
    columns = ("received", "type", "event", "workflow", "outcome", "execution or reason")
    session.out.table(columns, rows, empty="no workflow is concerned")
    session.out.line(f"{found['events']} events looked at")


def _print_explanation(session: Session, event: Document) -> None:
    from automation.cli.output import moment

    if session.out.as_json:
        session.out.document(event)
        return
    told = event["event"]
    session.out.facts(
        {
            "event": told["id"],
            "type": told["type"],
            "subject": told["subject"],
            "source": told["source"],
            "received": moment(event["received_at"]),
            "started": "\n".join(f"{item['workflow']} {item['id']}" for item in event["executions"]) or "nothing",
            "not started": "\n".join(
                f"{item['subject']}: {item['outcome']}: {item['reason']}" for item in event["decisions"]
            ),
        }
    )
    session.out.line()
    session.out.line("How the rules of now see it:" if event["considered"] else "No rule of now names what it carries.")
    for rule in event["considered"]:
        verdict = "starts" if rule["starts"] else f"does not start: {rule['reason']}"
        session.out.line(f"- {rule['workflow']}, {rule['rule']}: {verdict}")
        for value in rule["values"]:
            session.out.line(f"    {'  ' * value['depth']}{value['expression']}  →  {value['value']}")
