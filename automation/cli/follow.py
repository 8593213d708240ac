"""Watching an execution until it has ended or waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from automation.cli.client import Client, Document
from automation.cli.command import Session
from automation.cli.failures import CommandFailed
from automation.cli.output import took
from automation.model.execution import WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.1


async def follow_to_end(session: Session, client: Client, execution_id: str, timeout: float | None = None) -> Document:
    """Show how the actions come along; returns the execution when it has ended, or waits for a person.

    Raises CommandFailed after `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    with _progress(session) as show:
        while True:
            detail = await client.execution(execution_id)
            show(detail)
            status = WorkflowStatus(detail["execution"]["status"])
            if status.finished or status is WorkflowStatus.PROPOSED or waiting_for_approval(detail):
                return detail
            if deadline is not None and loop.time() >= deadline:
                raise CommandFailed(
                    f"{execution_id} is still {status.value} after {timeout:g} s",
                    hint=f"it goes on where an engine runs: automation executions show {execution_id} --follow",
                )
            await asyncio.sleep(POLL_SECONDS)


def finish(session: Session, detail: Document) -> int:
    """Print how an execution ended; returns the exit code."""
    from automation.cli.commands.executions import print_detail

    execution = detail["execution"]
    if session.out.as_json:
        session.out.document(detail)
    else:
        print_detail(session, detail)
    if execution["status"] == WorkflowStatus.SUCCEEDED.value:
        return 0
    waiting = waiting_for_approval(detail)
    if waiting is not None or execution["status"] == WorkflowStatus.PROPOSED.value:
        option = f" --action {waiting}" if waiting else ""
        raise CommandFailed(
            f"{execution['id']} waits for approval" + (f" of {waiting}" if waiting else ""),
            hint=f"automation executions approve {execution['id']}{option}",
        )
    reason = (execution["error"] or {}).get("message") or execution["status"]
    raise CommandFailed(f"{execution['workflow']} {execution['status'].replace('_', ' ')}: {reason}")


def waiting_for_approval(detail: Document) -> str | None:
    """The action that waits for a person, if one does and nothing else is under way."""
    statuses = {action["status"] for action in detail["actions"]}
    if "running" in statuses:
        return None
    for action in detail["actions"]:
        if action["waits_for"] == "approval":
            return str(action["name"])
    return None


@contextmanager
def _progress(session: Session) -> Iterator[Callable[[Document], None]]:
    """What shows the state of an execution: a live table on a terminal, else a line for each change."""
    if session.out.as_json:
        yield lambda detail: None
    elif session.out.tty:
        from rich.live import Live

        with Live(console=session.out.console, refresh_per_second=10, transient=True) as live:
            yield lambda detail: live.update(_picture(detail))
    else:
        known: dict[str, str] = {}

        def tell(detail: Document) -> None:
            for action in detail["actions"]:
                before, now = known.get(action["name"], "pending"), action["status"]
                if now != before:
                    known[action["name"]] = now
                    session.out.line(f"{action['name']}: {now}")

        yield tell


def _picture(detail: Document) -> Any:
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

    from automation.cli.output import clean, style

    grid = Table.grid(padding=(0, 2))
    for action in detail["actions"]:
        status = action["status"]
        mark: Any = Spinner("dots") if status == "running" else Text("·")
        words = Text(status, style=style(status))
        note = clean(str(action["reason"] or ""))
        grid.add_row(mark, clean(action["name"]), words, took(action["started_at"], action["finished_at"]), note)
    return grid
