"""`automation alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from automation.cli.command import Session, command
from automation.cli.commands import alert_rules
from automation.cli.commands.executions import Cursor, Limit


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    alerts = typer.Typer(help="Alerts: list, acknowledge, try a rule.", no_args_is_help=True)
    app.add_typer(alerts, name="alerts")

    @command(alerts, "list")
    async def list_(
        session: Session,
        state: Annotated[
            str | None, typer.Option(help="pending, firing, acknowledged or resolved.", show_default=False)
        ] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> None:
        """List alerts, the last changed first."""
        from automation.cli.client import Slice, connect, one_of
        from automation.cli.output import moment
        from automation.model.alert import AlertState

        one_of("--state", state, (known.value for known in AlertState))

        async with connect(session) as client:
            page = await client.alerts(state, Slice(limit, cursor))
        if session.out.as_json:
            session.out.document(page)
            return
        rows = [
            (
                alert["fingerprint"],
                alert["name"],
                alert["state"],
                alert["severity"],
                alert["subject"] or "-",
                moment(alert["starts_at"]),
                alert["value"],
                alert["reason"],
            )
            for alert in page["items"]
        ]
        columns = ("fingerprint", "name", "state", "severity", "subject", "since", "value", "why")
        session.out.table(columns, rows, empty="there are no alerts")
        session.out.more(page)

    @command(alerts, "acknowledge")
    async def acknowledge(
        session: Session,
        fingerprint: Annotated[str, typer.Argument(help="The alert's fingerprint.", show_default=False)],
    ) -> None:
        """Say that somebody takes care of a firing alert."""
        from automation.cli.client import connect

        async with connect(session) as client:
            alert = await client.acknowledge(fingerprint)
        if session.out.as_json:
            session.out.document(alert)
        else:
            session.out.line(f"{alert['name']} is {alert['state']} now")

    alert_rules.add_to(alerts)
