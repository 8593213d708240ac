"""`automation import`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automation.cli.command import Session, command
from automation.cli.output import clean

if TYPE_CHECKING:
    from automation.definitions.prometheus_rules import Imported


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    importing = typer.Typer(name="import", help="Definitions out of files of other systems.", no_args_is_help=True)
    app.add_typer(importing)

    @command(importing, "prometheus-rules")
    def prometheus_rules(
        session: Session,
        file: Annotated[
            Path, typer.Argument(metavar="FILE", help="A file of rules that Prometheus reads.", show_default=False)
        ],
        output: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="The definition file to write; else to stdout.", show_default=False),
        ] = None,
        url: Annotated[str, typer.Option(help="The Prometheus that is asked.")] = "http://localhost:9090",
        force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    ) -> None:
        """Make monitors and alerts of Prometheus alerting rules.

        PromQL stays PromQL. What has no equivalent is reported, one line each: `file:line: rule: what became of it`;
        the exit code is 0 all the same. A file that is not valid is refused as a whole, with exit code 2.
        """
        from automation.definitions.prometheus_rules import import_rules

        found = import_rules(file, url)
        text = f"# Made of {file.name} by 'automation import prometheus-rules'.\n{found.yaml()}"
        if output is not None:
            _write(output, text, over=force)
        _report(session, file, output, found, text)


def _write(output: Path, text: str, *, over: bool) -> None:
    from automation.errors import ConfigurationError

    part = output.with_name(f".{output.name}.part")
    try:
        if not over and output.exists():
            raise ConfigurationError(f"{output} is there already: name another file, or write over it with --force")
        part.write_text(text, encoding="utf-8")
        os.replace(part, output)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from None


def _report(session: Session, file: Path, output: Path | None, found: Imported, text: str) -> None:
    if session.out.as_json:
        session.out.document({"monitors": found.monitors, "alerts": found.alerts, "notes": found.notes})
        return
    lines = [f"{file}:{note.line}: {note.rule}: {note.message}" for note in found.notes]
    lines.append(f"{len(found.alerts)} alerts, {len(found.notes)} notes")
    if output is not None:
        for line in lines:
            session.out.line(line)
    else:
        sys.stdout.write(text)
        # The definitions go to a file or a pipe: what is said of them must not get in between.
        for line in lines:
            print(clean(line), file=sys.stderr)
