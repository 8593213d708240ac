"""`automation demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automation.cli.command import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "demo")
    async def demo(
        session: Session,
        keep: Annotated[bool, typer.Option("--keep", help="Leave engine and console up until Ctrl-C.")] = False,
        port: Annotated[int, typer.Option(help="The console's port, with --keep.")] = 8080,
        directory: Annotated[
            Path | None,
            typer.Option(
                "--dir", metavar="DIR", help="An empty folder to work in and leave behind.", show_default=False
            ),
        ] = None,
    ) -> int:
        """See a service break and be repaired.

        A replica is killed and restarted, the load rises and the service is scaled: real processes, real CPU, an
        embedded database, in less than 90 seconds. Exit code 0 only if all of it really happened.
        """
        from automation.demo.performance import Options, perform

        return await perform(session.out, Options(keep, port, directory))
