"""`automation check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automation.cli.command import Session, command
from automation.cli.failures import DONE, USAGE


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "check")
    def check(
        session: Session,
        files: Annotated[
            list[Path] | None,
            typer.Argument(
                help="Definition files, or folders of them; by default those of the configuration.", show_default=False
            ),
        ] = None,
    ) -> int:
        """Say all that is wrong with definition files.

        One line a problem: `file:line: path: message`. Exit code 2 if there are errors; warnings alone are none.
        """
        from automation.cli.definitions import Files
        from automation.engine import AutomationEngine
        from automation.errors import ConfigurationError

        config = session.config()
        engine = AutomationEngine(config)
        source = Files(extra=tuple(files)) if files else Files.of(config, session.config_file)
        if not source.paths():
            where = config.definitions or "automation.d"
            raise ConfigurationError(
                f"there is nothing to check: no automation.yaml here, and no definition file in a folder {where}; "
                "name the files to check, or the configuration with --config"
            )
        definitions, problems = source.read(engine.catalogue)
        errors = sum(problem.severity == "error" for problem in problems)
        counts = {kind: len(getattr(definitions, kind)) for kind in definitions.places}
        if session.out.as_json:
            read = [str(path) for path in source.paths()]
            session.out.document({"ok": not errors, "files": read, "definitions": counts, "problems": problems})
            return USAGE if errors else DONE
        for problem in problems:
            mark = "" if problem.severity == "error" else f" ({problem.severity})"
            session.out.line(f"{problem}{mark}")
        found = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no definitions"
        warnings = len(problems) - errors
        session.out.line(f"{len(source.paths())} files, {found}: {errors} errors, {warnings} warnings")
        return USAGE if errors else DONE
