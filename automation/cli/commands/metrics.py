"""`automation metrics`."""

from __future__ import annotations

from typing import Annotated

import typer

from automation.cli.command import Session, command
from automation.cli.commands.replays import moment_of


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    metrics = typer.Typer(help="Metrics: which there are, what they were.", no_args_is_help=True)
    app.add_typer(metrics, name="metrics")

    @command(metrics, "list")
    async def list_(session: Session) -> None:
        """List the metrics that have samples."""
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.metrics.list()
        if session.out.as_json:
            session.out.document(found)
            return
        rows = [(each["name"], each["series"], each["unit"], each["meaning"]) for each in found["items"]]
        session.out.table(("name", "series", "unit", "meaning"), rows, empty="there are no samples")

    @command(metrics, "show")
    async def show(
        session: Session,
        name: Annotated[str, typer.Argument(metavar="NAME", help="The metric's name.", show_default=False)],
        since: Annotated[
            str, typer.Option(help="From when on: how long ago (`2h`, `30d`) or a time (RFC 3339).")
        ] = "1h",
        step: Annotated[
            int | None,
            typer.Option(help="The length of buckets in seconds; else the shortest that fit.", show_default=False),
        ] = None,
        subject: Annotated[str | None, typer.Option(help="Only of this subject.", show_default=False)] = None,
        limit: Annotated[int, typer.Option(min=1, max=1000, help="How many series at most.")] = 20,
    ) -> None:
        """Show what a metric was, bucket by bucket."""
        from automation.cli.client import connect
        from automation.cli.measured import Stretch
        from automation.cli.output import moment

        async with connect(session) as client:
            found = await client.metrics.show(name, Stretch(moment_of(since), step, subject, limit))
        if session.out.as_json:
            session.out.document(found)
            return
        session.out.line(f"{found['name']}, buckets of {found['step']} seconds since {moment(found['since'])}")
        for series in found["series"]:
            labels = ", ".join(f"{key}={text}" for key, text in series["labels"].items())
            session.out.line()
            session.out.line(f"{series['subject'] or '-'}{f'  {labels}' if labels else ''}")
            columns = ("at", "count", "avg", "min", "max", "last", "increase")
            rows = [(moment(point["at"]), *(point[key] for key in columns[1:])) for point in series["points"]]
            session.out.table(columns, rows)
        if not found["series"]:
            session.out.line("there are no samples of that time")
