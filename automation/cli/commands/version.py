"""`automation version`."""

from __future__ import annotations

import platform

import typer

from automation import __version__
from automation.cli.command import Session, command


def show() -> None:
    """Print the version in one line."""
    print(f"automation {__version__}")


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "version")
    def version(session: Session) -> None:
        """Show the version."""
        if session.out.as_json:
            session.out.document({"version": __version__, "python": platform.python_version()})
        else:
            show()
