"""`automation serve`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from automation.cli.command import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "serve")
    async def serve(
        session: Session,
        host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default=False)] = None,
        port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.", show_default=False)] = None,
        data_dir: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Where database, tokens and records are kept.", show_default=False),
        ] = None,
        database_url: Annotated[
            str | None,
            typer.Option(
                metavar="URL", help="`sqlite:///path/to/file.db` or `postgresql://host/database`.", show_default=False
            ),
        ] = None,
    ) -> None:
        """Run the engine, REST interface and console.

        Until SIGINT or SIGTERM. Changed definition files are read again at once, and on SIGHUP; one with an error
        changes nothing.
        """
        # A fifth of the time until it is ready went into looking for garbage among what is being loaded.
        gc.disable()
        from automation.cli.serving import serve

        api = {key: value for key, value in {"host": host, "port": port}.items() if value is not None}
        given = {"api": api or None, "data_dir": data_dir, "database_url": database_url}
        config = session.config(**{key: value for key, value in given.items() if value is not None})
        await serve(session, config)
