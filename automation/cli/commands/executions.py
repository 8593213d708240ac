"""`automation executions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from automation.cli.command import Session, command
from automation.cli.commands import control
from automation.cli.commands.execution_id import Id

if TYPE_CHECKING:
    from automation.cli.client import Document

Action = Annotated[
    str | None,
    typer.Option("--action", help="The action that waits; without it, a proposed execution.", show_default=False),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal and the audit chain.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Where to go on: `next_cursor` of the page before.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    executions = typer.Typer(help="Runs of workflows, and what may be asked of them.", no_args_is_help=True)
    app.add_typer(executions, name="executions")
    _add_looks(executions)
    _add_answers(executions)
    control.add_to(executions)


def _add_looks(executions: typer.Typer) -> None:
    @command(executions, "list")
    async def list_(
        session: Session,
        workflow: Annotated[str | None, typer.Option(help="Only of this workflow.", show_default=False)] = None,
        status: Annotated[str | None, typer.Option(help="Only in this status.", show_default=False)] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> None:
        """List executions, newest first."""
        from automation.cli.client import Slice, connect, one_of
        from automation.model.execution import WorkflowStatus

        one_of("--status", status, (known.value for known in WorkflowStatus))
        async with connect(session) as client:
            page = await client.executions(workflow, status, Slice(limit, cursor))
        _print_page(session, page)

    @command(executions, "show")
    async def show(
        session: Session,
        execution_id: Id,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
        whole: Annotated[bool, typer.Option("--whole", help="Large values too, and not only their sizes.")] = False,
    ) -> int:
        """Show an execution with its actions.

        With --follow: exit code 1 if it does not succeed.
        """
        from automation.cli.client import connect
        from automation.cli.follow import finish, follow_to_end
        from automation.cli.ids import whole_id

        execution_id = await whole_id(session, execution_id)
        async with connect(session) as client:
            if follow:
                return finish(session, await follow_to_end(session, client, execution_id))
            detail = await client.execution(execution_id, whole=whole)
        if session.out.as_json:
            session.out.document(detail)
        else:
            print_detail(session, detail)
        return 0


def _add_answers(executions: typer.Typer) -> None:
    @command(executions, "cancel")
    async def cancel(session: Session, execution_id: Id, reason: Reason = "") -> None:
        """End an execution. Its cleanup still runs."""
        from automation.cli.client import connect
        from automation.cli.ids import whole_id

        execution_id = await whole_id(session, execution_id)
        async with connect(session) as client:
            print_answer(session, "cancelled", await client.cancel(execution_id, reason))

    @command(executions, "approve")
    async def approve(session: Session, execution_id: Id, action: Action = None, reason: Reason = "") -> None:
        """Approve an action or a proposed execution."""
        from automation.cli.client import connect
        from automation.cli.ids import whole_id

        execution_id = await whole_id(session, execution_id)
        async with connect(session) as client:
            print_answer(session, "approved", await client.decide(execution_id, action, True, reason))

    @command(executions, "deny")
    async def deny(session: Session, execution_id: Id, action: Action = None, reason: Reason = "") -> None:
        """Deny an action or a proposed execution."""
        from automation.cli.client import connect
        from automation.cli.ids import whole_id

        execution_id = await whole_id(session, execution_id)
        async with connect(session) as client:
            print_answer(session, "denied", await client.decide(execution_id, action, False, reason))


def print_answer(session: Session, act: str, answer: Document) -> None:
    """What became of an execution of which something was asked."""
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.line(f"{act}: {answer['execution_id']} is {answer['status']} now")


def _print_page(session: Session, page: Document) -> None:
    from automation.cli.output import moment, took

    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (
            item["id"],
            item["workflow"],
            item["status"],
            moment(item["created_at"]),
            took(item["started_at"], item["finished_at"]),
            item["reason"],
        )
        for item in page["items"]
    ]
    columns = ("id", "workflow", "status", "created", "took", "why")
    session.out.table(columns, rows, empty="there are no executions")
    session.out.more(page)


def print_detail(session: Session, detail: Document) -> None:
    """One execution for people."""
    from automation.cli.output import moment, took

    execution = detail["execution"]
    error = execution["error"] or {}
    rollback = error.get("rollback") or {}
    session.out.facts(
        {
            "execution": execution["id"],
            "workflow": execution["workflow"],
            "status": execution["status"],
            "why": execution["reason"],
            "asked for by": execution["actor"],
            "created": moment(execution["created_at"]),
            "took": took(execution["started_at"], execution["finished_at"]),
            "concurrency key": execution["concurrency_key"],
            "rerun of": execution["rerun_of"],
            "forked from": execution["forked_from"],
            "started by": f"{execution['parent_action']} of {execution['parent']}" if execution["parent"] else None,
            "version": execution["definition_id"],
            "event": f"{execution['event_id']} of {execution['event_source']}" if execution["event_id"] else None,
            "variables": with_sizes(detail["variables"]),
            "error": error.get("message"),
            "undone": _names(rollback.get("undone")),
            "not undone": _names(rollback.get("not_undone")),
            "no undo": _names(rollback.get("without_undo")),
        }
    )
    session.out.line()
    rows = [
        (
            action["name"],
            action["status"],
            _times(action),
            took(action["started_at"], action["finished_at"]),
            _result(action),
        )
        for action in detail["actions"]
    ]
    session.out.table(("action", "status", "attempt", "took", "result"), rows)
    started = [
        (child["parent_action"], child["id"], child["workflow"], child["status"]) for child in detail["children"]
    ]
    if started:
        session.out.line()
        session.out.table(("action", "started", "workflow", "status"), started)


def _names(actions: object) -> str | None:
    """Names of actions, each with the reason where there is one."""
    if isinstance(actions, dict):
        return "; ".join(f"{name}: {why}" for name, why in actions.items())
    return ", ".join(actions) if isinstance(actions, list) else None


def _times(action: Document) -> str:
    """How often it was tried and, with a `repeat`, in which iteration."""
    tried = str(action["attempt"] or "-")
    return tried if action["iteration"] == 1 else f"{tried} of iteration {action['iteration']}"


def _result(action: Document) -> object:
    if action["error"]:
        return f"{action['error'].get('type', 'error')}: {action['error'].get('message', '')}"
    if action["outputs"] is not None:
        return with_sizes(action["outputs"])
    return action["reason"] or action.get("heartbeat") or ""


def with_sizes(value: object) -> object:
    """A value as people read it: its size stands for each large value that is not there."""
    from automation.cli.output import size

    if isinstance(value, list):
        return [with_sizes(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$ref", "size"} and str(value["$ref"]).startswith("sha256:"):
        return f"({size(value['size'])}: --whole shows it)"
    return {key: with_sizes(item) for key, item in value.items()}
