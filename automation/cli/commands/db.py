"""`automation db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automation.cli.command import Session, command

if TYPE_CHECKING:
    from automation.maintenance import Database, Restored
    from automation.store.inventory import Status

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup's file.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    db = typer.Typer(help="The database: status, migrate, check, compact, backup, restore.", no_args_is_help=True)
    app.add_typer(db, name="db")
    command(db, "status")(status)
    command(db, "migrate")(migrate)
    command(db, "check")(check)
    command(db, "compact")(compact)
    command(db, "backup")(backup)
    command(db, "restore")(restore)


async def status(session: Session) -> None:
    """Say how large the database is and what is in it.

    Rows and their ages, room that is free inside, executions under way, and the engines that work on it.
    """
    found = await _database(session).status()
    if session.out.as_json:
        session.out.document(found)
    else:
        _print_status(session, found)


async def migrate(
    session: Session,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--check", help="Only say what would be done; nothing is changed.")
    ] = False,
) -> None:
    """Bring the schema up to date.

    Every start does that too. It is refused while an engine works with the older schema; a newer one is refused.
    """
    made = await _database(session).migrate(dry_run=dry_run)
    if session.out.as_json:
        session.out.document(made)
        return
    for step in made.steps:
        session.out.line(step)
    found = made.found or "none"
    if not made.steps:
        session.out.line(f"the schema is {made.wanted}: up to date")
    elif made.done:
        session.out.line(f"the schema was {found} and is {made.wanted} now")
    else:
        session.out.line(f"the schema is {found}; it would be brought to {made.wanted}")


async def check(session: Session) -> int:
    """Look for all that can be wrong with the database.

    Beside a running engine as well: its pages and indexes, the schema, the audit chain, and whether the journal of
    each execution is whole and says what its row says. One line a problem: `place: what`. Exit code 1 if there are
    any.
    """
    from automation.cli.progress import progress

    with progress(session) as told:
        found = await _database(session).check(told)
    if session.out.as_json:
        session.out.document({"ok": not found.problems, **_fields(found)})
        return 1 if found.problems else 0
    for problem in found.problems:
        session.out.line(str(problem))
    verdict = f"{len(found.problems)} problems" if found.problems else "no problems"
    session.out.line(f"{found.executions} executions, {found.audit_rows} audit rows: {verdict}")
    return 1 if found.problems else 0


async def compact(session: Session) -> None:
    """Delete what is past its time, and give room back.

    What goes is said by the settings of `retention`, as for the engine's own runs. Beside a running engine it takes
    its time, so that writers do not wait for it; what is free goes back to the disk bit by bit, if the file was
    made or compacted by this version. Without one, the file is written anew, which takes as much room again
    meanwhile.
    """
    from automation.cli.output import size
    from automation.cli.progress import progress

    with progress(session) as told:
        made = await _database(session).compact(told=told)
    if session.out.as_json:
        session.out.document(made)
        return
    for table, rows in made.deleted.items():
        session.out.line(f"{table}: {rows} rows {'packed' if table == 'journal' else 'deleted'}")
    session.out.line(f"{size(made.bytes_before)} before, {size(made.bytes)} now")
    if made.free_bytes and not made.alone:
        session.out.line(
            f"{size(made.free_bytes)} are free inside, for new rows; without an engine they are given back"
        )


async def backup(
    session: Session,
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
) -> None:
    """Copy the database to a file, and check the copy.

    An engine may be running. The copy is of one moment: all that was acknowledged before it is in it. The file is
    readable by its owner only, and is there when it is complete or not at all.
    """
    from automation.cli.output import size
    from automation.cli.progress import progress

    with progress(session) as told:
        made = await _database(session).backup(file, force=force, told=told)
    if session.out.as_json:
        session.out.document(made)
    else:
        session.out.line(f"{made.file}: {size(made.size)}, checked; {made.unfinished} executions were under way")


async def restore(session: Session, file: File) -> None:
    """Put a backup in the place of the database.

    The engine must be stopped. The backup is checked first, and the database that was there is kept under another
    name.
    """
    from automation.cli.progress import progress

    with progress(session) as told:
        made = await _database(session).restore(file, told=told)
    if session.out.as_json:
        session.out.document(made)
    else:
        _print_restored(session, made)


def _database(session: Session) -> Database:
    from automation.maintenance import Database

    return Database(session.config())


def _fields(value: object) -> dict[str, object]:
    import dataclasses

    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}  # type: ignore[arg-type]


def _print_status(session: Session, found: Status) -> None:
    from automation.cli.output import moment, size
    from automation.clock import iso

    wanted = (
        "up to date"
        if found.schema == found.schema_wanted
        else f"automation db migrate brings it to {found.schema_wanted}"
    )
    session.out.facts(
        {
            "database": found.place,
            "schema": f"{found.schema or 'none'}: {wanted}",
            "size": size(found.bytes),
            "free inside": size(found.free_bytes),
            "under way": f"{found.unfinished} executions",
            "engines": [f"process {node.pid} on {node.host}" for node in found.nodes],
        }
    )
    session.out.line()
    rows = [
        (
            stock.table,
            stock.rows,
            moment(iso(stock.oldest_at) if stock.oldest_at is not None else None),
            moment(iso(stock.newest_at) if stock.newest_at is not None else None),
        )
        for stock in found.tables
    ]
    session.out.table(("table", "rows", "oldest", "newest"), rows)


def _print_restored(session: Session, made: Restored) -> None:
    session.out.line(f"{made.file} is the database now (schema {made.schema})")
    if made.aside is not None:
        session.out.line(f"the database that was there is {made.aside}")
    if made.lost is not None:
        session.out.line(
            f"it has {made.lost.executions} executions and {made.lost.events} events that came after the backup: "
            "here they never were; what their actions did stays done, and events that are sent again are new"
        )
    session.out.line(
        f"{made.unfinished} executions were under way: the next start takes them up from where the backup has them, "
        "and what they have done since then may be done again"
    )
