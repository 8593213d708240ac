"""`automation run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automation.cli.command import Session, command

if TYPE_CHECKING:
    from automation.cli.client import Client, Document, Order


Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="A variable: JSON, else text; for an input that is a string always text.",
        show_default=False,
    ),
]
VarFile = Annotated[
    list[Path] | None,
    typer.Option("--var-file", metavar="FILE", help="Variables of a YAML or JSON file.", show_default=False),
]
DefinitionFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", metavar="FILE", help="A definition file (or folder) beside the configured ones.", show_default=False
    ),
]
Timeout = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the end.", show_default=False)
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        "--idempotency-key",
        metavar="KEY",
        help="The same key again gives the same execution.",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "run")(run)


async def run(
    session: Session,
    workflow: Annotated[str, typer.Argument(help="The workflow's name.", show_default=False)],
    var: Var = None,
    var_file: VarFile = None,
    file: DefinitionFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    timeout: Timeout = None,
    idempotency_key: Key = None,
) -> int:
    """Run a workflow and wait for its end.

    Exit code 1 if it does not succeed. Interrupted (Ctrl-C) it is left unfinished, and goes on when an engine
    starts on the database.
    """
    import asyncio

    from automation.cli.client import Order, connect
    from automation.cli.follow import finish, follow_to_end
    from automation.cli.variables import Inputs, as_declared, variables_of

    pairs = var or []
    variables = variables_of(pairs, var_file or [])
    async with connect(session, file or []) as client:

        async def declared() -> Inputs | None:
            inputs: Inputs | None = (await client.workflow(workflow))["definition"].get("inputs")
            return inputs

        order = Order(workflow, await as_declared(variables, pairs, declared), idempotency_key)
        if dry_run:
            await _foretell(session, client, order)
            return 0
        execution_id = await client.start(order)
        if not session.out.as_json:
            session.out.line(f"started {execution_id}")
        try:
            detail = await follow_to_end(session, client, execution_id, timeout)
        except asyncio.CancelledError:
            print(f"{execution_id} is left unfinished; an engine on its database goes on with it", file=sys.stderr)
            raise
        return finish(session, detail)


async def _foretell(session: Session, client: Client, order: Order) -> None:
    foreseen = await client.dry_run(order)
    if session.out.as_json:
        session.out.document(foreseen)
        return
    out = session.out
    out.line(f"{foreseen['workflow']} would do this; nothing was touched.")
    if foreseen["conditions"]:
        out.line(f"It starts if {_conditions(foreseen['conditions'])}.")
    seat = foreseen["concurrency"]
    told = f"{seat['limit']} at a time of the key {seat['key']!r}, else {seat['on_conflict']}" if seat else None
    out.facts(
        {
            "variables": foreseen["variables"],
            "proposed": foreseen.get("proposed"),
            "concurrency": told,
            "retries": "; ".join(foreseen["retry_budgets"]),
            "rollback": foreseen.get("rollback"),
            "limits": "; ".join(foreseen.get("limits", ())),
        }
    )
    out.line()
    columns = ("step", "action", "operation", "effect", "runs", "if", "how", "parameters")
    rows = [
        (
            step["layer"] + 1,
            step["name"],
            step["operation"],
            step["effect"] + (f" (asks first: {step['approval']})" if step["needs_approval"] else ""),
            {"true": "yes", "false": "no"}.get(step["runs"], step["runs"]),
            _conditions(step["conditions"]),
            "; ".join(step.get("shape", ())),
            _parameters(step),
        )
        for step in foreseen["steps"]
    ]
    out.table(columns, rows)
    for step in foreseen["steps"]:
        if step["held_by"]:
            out.line(f"{step['name']} would {step['on_guardrail']} now: {step['held_by']}")


def _conditions(conditions: list[Document]) -> str:
    return " and ".join(f"{condition['text']} ({condition['value']})" for condition in conditions)


def _parameters(step: Document) -> str:
    from automation.cli.output import shown

    text = shown(step["parameters"])
    return f"{text}; not known yet: {', '.join(step['unknown'])}" if step["unknown"] else text
