"""`automation import`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automation.cli.command import Session, command
from automation.cli.output import clean

if TYPE_CHECKING:
    from automation.definitions.foreign import Note

_Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The definition file to write; else to stdout.", show_default=False),
]
_Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    importing = typer.Typer(name="import", help="Definitions out of files of other systems.", no_args_is_help=True)
    app.add_typer(importing)

    _prometheus_rules(importing)
    _ansible_rulebook(importing)


def _prometheus_rules(importing: typer.Typer) -> None:
    @command(importing, "prometheus-rules")
    def prometheus_rules(
        session: Session,
        file: Annotated[
            Path, typer.Argument(metavar="FILE", help="A file of rules that Prometheus reads.", show_default=False)
        ],
        output: _Output = None,
        url: Annotated[str, typer.Option(help="The Prometheus that is asked.")] = "http://localhost:9090",
        force: _Force = False,
    ) -> None:
        """Make monitors and alerts of Prometheus alerting rules.

        PromQL stays PromQL. What has no equivalent is reported, one line each: `file:line: rule: what became of it`;
        the exit code is 0 all the same. A file that is not valid is refused as a whole, with exit code 2.
        """
        from urllib.parse import urlsplit

        from automation.definitions.prometheus_rules import import_rules
        from automation.errors import InputError

        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise InputError(f"--url: {url!r} is not a URL such as http://localhost:9090")
        found = import_rules(file, url)
        counts = f"{len(found.alerts)} alerts, {len(found.notes)} notes"
        made = {"monitors": found.monitors, "alerts": found.alerts}
        _give(session, file, output, Made("prometheus-rules", made, found.notes, found.yaml(), counts), over=force)


def _ansible_rulebook(importing: typer.Typer) -> None:
    @command(importing, "ansible-rulebook")
    def ansible_rulebook(
        session: Session,
        file: Annotated[
            Path, typer.Argument(metavar="FILE", help="A rulebook of ansible-rulebook.", show_default=False)
        ],
        output: _Output = None,
        variables: Annotated[
            Path | None,
            typer.Option(
                "--vars", metavar="FILE", help="The variables that the rulebook is run with.", show_default=False
            ),
        ] = None,
        force: _Force = False,
    ) -> None:
        """Make workflows of the rules of a rulebook.

        Conditions, patterns and throttles become triggers. What has no equivalent is reported, one line each:
        `file:line: rule: what became of it`; the exit code is 0 all the same. A workflow with an action that is still
        to be written is disabled. A file that is not valid is refused as a whole, with exit code 2.
        """
        from automation.definitions.rulebook.importing import import_rulebook

        found = import_rulebook(file, variables)
        counts = f"{len(found.workflows)} workflows, {found.left_out} rules left out, {len(found.notes)} notes"
        made = {"sources": found.sources, "workflows": found.workflows}
        _give(session, file, output, Made("ansible-rulebook", made, found.notes, found.yaml(), counts), over=force)


@dataclass(frozen=True, slots=True)
class Made:
    """What an import has made of a file."""

    command: str
    definitions: dict[str, Any]
    notes: list[Note]
    text: str
    counts: str


def _give(session: Session, file: Path, output: Path | None, made: Made, *, over: bool) -> None:
    text = f"# Made of {file.name} by 'automation import {made.command}'.\n{made.text}"
    if output is not None:
        _write(output, text, over=over)
    _report(session, file, output, made, text)


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


def _report(session: Session, file: Path, output: Path | None, made: Made, text: str) -> None:
    if session.out.as_json:
        session.out.document({**made.definitions, "notes": made.notes})
        return
    lines = [f"{file}:{note.line}: {note.rule}: {note.message}" for note in made.notes]
    lines.append(made.counts)
    if output is not None:
        for line in lines:
            session.out.line(line)
    else:
        sys.stdout.write(text)
        # The definitions go to a file or a pipe: what is said of them must not get in between.
        for line in lines:
            print(clean(line), file=sys.stderr)
