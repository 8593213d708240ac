"""`automation tokens`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from automation.cli.command import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    tokens = typer.Typer(help="Tokens of programs: issue, list, revoke.", no_args_is_help=True)
    app.add_typer(tokens, name="tokens")

    @command(tokens, "issue")
    async def issue(
        session: Session,
        name: Annotated[
            str, typer.Argument(help="Whose token it is; it stands in the audit chain.", show_default=False)
        ],
        role: Annotated[list[str], typer.Option("--role", help="What it may do.", show_default=False)],
        expires: Annotated[
            str | None, typer.Option(metavar="DURATION", help="After how long it ends: 12h, 30d.", show_default=False)
        ] = None,
    ) -> None:
        """Issue a token.

        It is shown this once: only a hash of it is stored.
        """
        from automation.cli.client import connect

        lifetime = _seconds(expires) if expires else None
        async with connect(session) as client:
            issued = await client.issue_token(name, role, lifetime)
        if session.out.as_json:
            session.out.document(issued)
        else:
            session.out.line(issued["token"])

    @command(tokens, "list")
    async def list_(session: Session) -> None:
        """List all tokens, revoked and expired ones too."""
        from automation.cli.client import connect

        async with connect(session) as client:
            found = await client.tokens()
        if session.out.as_json:
            session.out.document(found)
        else:
            _print(session, found["items"])

    @command(tokens, "revoke")
    async def revoke(
        session: Session,
        token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id.", show_default=False)],
    ) -> None:
        """End a token and the sessions opened with it."""
        from automation.cli.client import connect

        async with connect(session) as client:
            token = await client.revoke_token(token_id)
        if session.out.as_json:
            session.out.document(token)
        else:
            session.out.line(f"revoked: {token_id}")


def _print(session: Session, tokens: Sequence[Mapping[str, Any]]) -> None:
    from automation.cli.output import moment

    rows = [
        (
            token["id"],
            token["name"],
            token["roles"],
            moment(token["created_at"]),
            moment(token["expires_at"]),
            moment(token["revoked_at"]),
        )
        for token in tokens
    ]
    columns = ("id", "name", "roles", "created", "expires", "revoked")
    session.out.table(columns, rows, empty="there are no tokens")


def _seconds(text: str) -> float:
    from automation.conditions import compile_expression
    from automation.errors import ConditionError, InputError

    try:
        value = compile_expression(text)({})
    except ConditionError:
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise InputError(f"--expires: {text!r} is not a duration such as 12h or 30d")
    if text.strip()[-1:].isdigit():
        # Seconds by the language, and days for who types it.
        raise InputError(f"--expires: {text!r} has no unit; write a duration such as 12h or 30d")
    return float(value)
