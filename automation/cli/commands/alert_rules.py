"""`automation alerts explain`, `backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.commands.replays import moment_of

if TYPE_CHECKING:
    from automation.cli.client import Document
    from automation.model.alert import AlertRule

MOST_SHOWN = 20


def add_to(alerts: typer.Typer) -> None:
    """Add the commands to those of `automation alerts`."""

    @command(alerts, "explain")
    async def explain(
        session: Session,
        rule: Annotated[str, typer.Argument(metavar="RULE", help="The alert rule's name.", show_default=False)],
    ) -> None:
        """Say why an alert rule fires, or does not.

        For each series its state, since when, and what the parts of the condition are worth. A running server is asked,
        which has the samples in its memory.
        """
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.metrics.explain(rule)
        _print_readings(session, found)

    @command(alerts, "backtest")
    async def backtest(
        session: Session,
        rule: Annotated[str, typer.Argument(metavar="RULE", help="The alert rule's name.", show_default=False)],
        since: Annotated[
            str, typer.Option(help="From when on: how long ago (`2h`, `30d`) or a time (RFC 3339).", show_default=False)
        ],
        definition: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Try the version in this file; else that in force.", show_default=False),
        ] = None,
        step: Annotated[
            int | None,
            typer.Option(help="Seconds between two evaluations; else the shortest there is.", show_default=False),
        ] = None,
        figure: Annotated[
            str, typer.Option(help="What stands for the samples within a step: last, avg, min or max.")
        ] = "last",
        prometheus: Annotated[
            str | None,
            typer.Option(metavar="URL", help="Ask this Prometheus instead of the history.", show_default=False),
        ] = None,
    ) -> None:
        """Try an alert rule on the metrics of the past.

        When it would have fired, for how long, and what it would have started. With --definition, also where that
        version fires more or less than the one in force. Nothing is started.
        """
        from typing import cast

        from automation.cli.client import connect, one_of
        from automation.hindsight import Question
        from automation.monitoring.tape import FIGURES, Figure

        one_of("--figure", figure, FIGURES)
        question = Question(moment_of(since), step, cast(Figure, figure), prometheus)
        version = _read(definition, rule) if definition is not None else None
        async with connect(session) as client:
            found = await client.metrics.backtest(rule, question, version)
        _print(session, found, compared=version is not None)


def _print_readings(session: Session, found: Document) -> None:
    from automation.cli.output import moment

    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts({"rule": found["rule"]["name"], "condition": found["rule"]["condition"], "but": found["reason"]})
    for each in found["series"]:
        labels = "".join(f"  {key}={text}" for key, text in each["labels"].items())
        since = f" since {moment(each['since'])}" if each["since"] else ""
        session.out.line()
        session.out.line(f"{each['subject'] or '-'}{labels}: {each['state']}{since}: {each['reason']}")
        for value in (*each["values"], *each["resolve_values"]):
            session.out.line(f"  {'  ' * value['depth']}{value['expression']}  →  {value['value']}")
    if found["more"]:
        session.out.line(f"and {found['more']} more series")


def _read(file: Path, name: str) -> AlertRule:
    from automation.definitions import read_or_raise
    from automation.errors import NotFound

    found = [rule for rule in read_or_raise([file]).alerts if rule.name == name]
    if not found:
        raise NotFound(f"there is no alert {name!r} in {file}", kind="alert rule", name=name)
    return found[0]


def _print(session: Session, found: Document, *, compared: bool) -> None:
    from automation.cli.output import duration

    if session.out.as_json:
        session.out.document(found)
        return
    tried = found["tried"]
    session.out.facts(
        {
            "evaluated": f"every {found['step']:g} s on the {found['figure']} value, {found['samples']} values of "
            f"{found['series']} series of {found['source']}",
            "looked at": None if found["complete"] else f"until {found['until']}, and there is more",
            "would fire": tried["count"],
            "in all for": duration(tried["firing_seconds"]) if tried["count"] else None,
            "longest": duration(tried["longest_seconds"]) if tried["count"] else None,
            "would start": ", ".join(f"{name} {count}" for name, count in sorted(tried["starts"].items())),
            "pending only": tried["pending_only"] or None,
            "unknown": tried["unknown"] or None,
            "in force": found["current"]["count"] if compared and found["current"] is not None else None,
            "more": len(found["gained"]) if compared else None,
            "less": len(found["lost"]) if compared else None,
        }
    )
    for note in found["notes"]:
        session.out.line(f"note: {note}")
    session.out.line()
    listed = [("+", item) for item in found["gained"]] + [("-", item) for item in found["lost"]]
    if not compared:
        listed = [("", item) for item in tried["firings"]]
    _print_firings(session, listed)


def _print_firings(session: Session, listed: list[tuple[str, Any]]) -> None:
    from automation.cli.output import moment, took

    rows = [
        (
            sign,
            moment(item["at"]),
            took(item["at"], item["until"]) if item["until"] else "firing",
            item["subject"] or "-",
            ", ".join(f"{key}={text}" for key, text in item["labels"].items()) or "-",
            item["value"],
            ", ".join(item["starts"]) or item["reason"] or "-",
        )
        for sign, item in listed[:MOST_SHOWN]
    ]
    columns = ("", "fires", "for", "subject", "labels", "value", "starts")
    session.out.table(columns, rows, empty="no firings to show")
    if len(listed) > MOST_SHOWN:
        session.out.line(f"{len(listed) - MOST_SHOWN} more: --json shows them")
