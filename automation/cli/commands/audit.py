"""`automation audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from automation.cli.command import Session, command
from automation.cli.commands.executions import Cursor, Limit


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    audit = typer.Typer(help="The audit chain: verify, list.", no_args_is_help=True)
    app.add_typer(audit, name="audit")

    @command(audit, "verify")
    async def verify(session: Session) -> int:
        """Check every row of the audit chain.

        Exit code 1 if one was changed, removed or moved.
        """
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.verify_audit()
        problems = found["problems"]
        if session.out.as_json:
            session.out.document(found)
        else:
            for problem in problems:
                session.out.line(f"{problem['path']}: {problem['message']}")
            verdict = f"{len(problems)} problems" if problems else "every row fits the one before it"
            session.out.line(f"{found['rows']} audit rows: {verdict}")
        return 1 if problems else 0

    @command(audit, "list")
    async def list_(
        session: Session,
        kind: Annotated[
            str | None, typer.Option(help="Only of this kind, such as access_attempt.", show_default=False)
        ] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> None:
        """List audit rows, newest first."""
        from automation.cli.client import Slice, connect, one_of
        from automation.cli.output import moment
        from automation.config import AUDITABLE

        one_of("--kind", kind, AUDITABLE)

        async with connect(session) as client:
            page = await client.audit(kind, Slice(limit, cursor))
        if session.out.as_json:
            session.out.document(page)
            return
        rows = [
            (row["seq"], moment(row["at"]), row["kind"], row["actor"], row["act"], row["subject"], row["outcome"])
            for row in page["items"]
        ]
        session.out.table(("seq", "at", "kind", "actor", "act", "subject", "outcome"), rows, empty="there are no rows")
        session.out.more(page)
