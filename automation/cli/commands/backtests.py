"""`automation workflows backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.commands.replays import moment_of

if TYPE_CHECKING:
    from automation.cli.client import Document
    from automation.model.workflow import WorkflowDefinition

MOST_SHOWN = 20


def add_to(workflows: typer.Typer) -> None:
    """Add the command to those of `automation workflows`."""

    @command(workflows, "backtest")
    async def backtest(
        session: Session,
        name: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.", show_default=False)],
        since: Annotated[
            str, typer.Option(help="From when on: how long ago (`2h`, `30d`) or a time (RFC 3339).", show_default=False)
        ],
        definition: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Try the version in this file; else that in force.", show_default=False),
        ] = None,
    ) -> None:
        """Try a workflow's triggers on stored events.

        With --definition, also which starts that version has more or less than the one in force. Nothing is started.
        """
        from automation.cli.client import connect

        version = _read(definition, name) if definition is not None else None
        async with connect(session) as client:
            found = await client.triggers.backtest(name, moment_of(since), version)
        _print(session, found, compared=version is not None)


def _read(file: Path, name: str) -> WorkflowDefinition:
    from automation.definitions import read_or_raise
    from automation.errors import NotFound

    found = [workflow for workflow in read_or_raise([file]).workflows if workflow.name == name]
    if not found:
        raise NotFound(f"there is no workflow {name!r} in {file}", kind="workflow", name=name)
    return found[0]


def _print(session: Session, found: Document, *, compared: bool) -> None:
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts(
        {
            "events": f"{found['events']}{'' if found['complete'] else ', and there are more'}",
            "would start": found["tried"]["count"],
            "held back": _counts(found["tried"]["held_back"]),
            "in force": found["current"]["count"] if compared and found["current"] is not None else None,
            "more": len(found["gained"]) if compared else None,
            "less": len(found["lost"]) if compared else None,
        }
    )
    session.out.line()
    listed = [("+", item) for item in found["gained"]] + [("-", item) for item in found["lost"]]
    if not compared:
        listed = [("", item) for item in found["tried"]["starts"]]
    _print_starts(session, listed)


def _print_starts(session: Session, listed: list[tuple[str, Any]]) -> None:
    from automation.cli.output import moment

    rows = [
        (sign, moment(item["at"]), item["type"], item["subject"], item["event_id"], item["reason"])
        for sign, item in listed[:MOST_SHOWN]
    ]
    session.out.table(("", "time", "type", "subject", "event", "reason"), rows, empty="no starts to show")
    if len(listed) > MOST_SHOWN:
        session.out.line(f"{len(listed) - MOST_SHOWN} more: --json shows them")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(counts.items()))
