"""The commands, put together."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from automation.cli.commands import (
    alerts,
    approvals,
    audit,
    check,
    config,
    db,
    demo,
    events,
    executions,
    guardrails,
    importing,
    metrics,
    serve,
    services,
    sources,
    tokens,
    version,
    workflows,
)
from automation.cli.commands import (
    run as run_workflow,
)
from automation.cli.failures import INTERRUPTED, Failure, say

app = typer.Typer(
    name="automation",
    help="Operations automation: events and metrics in, durable workflows out.",
    epilog=(
        "With AUTOMATION_URL (and AUTOMATION_TOKEN or AUTOMATION_TOKEN_FILE) commands talk to that server; without it "
        "they work on the configured database. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
    ),
    no_args_is_help=True,
    # Plain help comes up twice as fast as rich's.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for part in (
    serve,
    demo,
    check,
    run_workflow,
    executions,
    approvals,
    events,
    alerts,
    metrics,
    workflows,
    services,
    sources,
    guardrails,
    importing,
    tokens,
    audit,
    db,
    config,
    version,
):
    part.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        version.show()
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run a command; returns its exit code. Wrong usage is said in one line, as JSON where that was asked for."""
    as_json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
    try:
        return int(app(arguments, prog_name="automation", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (typer.Abort, EOFError):
        print("error: aborted", file=sys.stderr)
        return 1
    except Exception as error:
        # Typer has had its own copy of click since 0.26, so that its errors are known by what they can do.
        if not hasattr(error, "format_message"):
            raise
        return _usage(error, as_json)


def _usage(error: Any, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None or "\n" in message:
        # Asked for nothing: the answer is the help.
        print(message, file=sys.stderr)
        return int(error.exit_code)
    say(
        Failure("UsageError", message, error.exit_code, f"see '{context.command_path} --help'"),
        as_json=as_json,
    )
    return int(error.exit_code)
