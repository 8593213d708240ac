"""`automation approvals`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from automation.cli.command import Session, command

if TYPE_CHECKING:
    from automation.cli.client import Document

Id = Annotated[str, typer.Argument(metavar="ID", help="The approval's id.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal and the audit chain.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    approvals = typer.Typer(help="What waits for people: list, approve, deny.", no_args_is_help=True)
    app.add_typer(approvals, name="approvals")

    @command(approvals, "list")
    async def list_(
        session: Session,
        status: Annotated[str, typer.Option(help="Only in this status; `all` for every one.")] = "pending",
        workflow: Annotated[str | None, typer.Option(help="Only of this workflow.", show_default=False)] = None,
        limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
        cursor: Annotated[
            str | None, typer.Option("--cursor", help="Where to go on: `next_cursor` of the page before.")
        ] = None,
    ) -> None:
        """List approvals, newest first."""
        from automation.cli.client import Slice, connect, one_of
        from automation.model.approval import ApprovalStatus

        one_of("--status", status, (*(known.value for known in ApprovalStatus), "all"))
        async with connect(session) as client:
            wanted = None if status == "all" else status
            page = await client.control.approvals(wanted, workflow, Slice(limit, cursor))
        _print_page(session, page)

    @command(approvals, "approve")
    async def approve(session: Session, approval_id: Id, reason: Reason = "") -> None:
        """Approve what waits for that."""
        await _answer(session, approval_id, True, reason)

    @command(approvals, "deny")
    async def deny(session: Session, approval_id: Id, reason: Reason = "") -> None:
        """Deny what waits for approval. One denial decides."""
        await _answer(session, approval_id, False, reason)


async def _answer(session: Session, approval_id: str, agreed: bool, reason: str) -> None:
    from automation.cli.client import connect

    async with connect(session) as client:
        approval = await client.control.answer(approval_id, agreed, reason)
    if session.out.as_json:
        session.out.document(approval)
        return
    what = approval["action"] or "the execution"
    lacking = f" ({_lacking(approval)})" if approval["status"] == "pending" else ""
    session.out.line(f"{what} of {approval['workflow']} is {approval['status']}{lacking}")


def _lacking(approval: Document) -> str:
    if _agreed(approval) < approval["terms"]["quorum"]:
        return f"{_count(approval)} have approved"
    # Enough have, and it is pending all the same: `not_self` asks for one more.
    return f"somebody else than {approval['started_by']}, who started it, has to approve"


def _print_page(session: Session, page: Document) -> None:
    from automation.cli.output import moment

    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (
            item["id"],
            item["workflow"],
            item["action"] or "-",
            item["effect"],
            item["status"],
            _count(item),
            moment(item["asked_at"]),
            moment(item["terms"]["expires_at"]),
            item["reason"],
        )
        for item in page["items"]
    ]
    columns = ("id", "workflow", "action", "effect", "status", "approved", "asked", "expires", "why")
    session.out.table(columns, rows, empty="nothing waits for approval")
    session.out.more(page)


def _agreed(approval: Document) -> int:
    return sum(answer["agreed"] for answer in approval["answers"])


def _count(approval: Document) -> str:
    return f"{_agreed(approval)} of {approval['terms']['quorum']}"
