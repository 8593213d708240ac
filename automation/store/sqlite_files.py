"""SQLite databases as files: copied while they are written, checked, and put in the place of one another.

All of it blocks: call it in a thread.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from automation.errors import Conflict, NotFound, Problem, StoreError, StoreUnavailable

STEP_PAGES = 256
"""Pages copied at a time: a megabyte, so that progress is told and whoever interrupts does not wait."""

_INCREMENTAL = 2

Told = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done, and how much there is (0 where nobody knows)."""

Judge = Callable[[Connection], list[Problem]]
"""Says what is wrong with a database."""


def backup(database: Path, target: Path, judge: Judge, told: Told, *, force: bool = False) -> int:
    """Copy a database that may be in use to `target`, check the copy, and return its size in bytes.

    The copy is of one moment. It appears under its name when it is complete, on disk and checked; until then it is
    `target.partial`, which is gone if this raises. Raises Conflict if `target` is there and not to be replaced,
    StoreError if the copy is not sound.
    """
    target = target.absolute()
    _refuse_target(database, target, force)
    with _partial(target) as partial:
        _copy(database, partial, told)
        _refuse_unsound(partial, target, judge, told)
        size = partial.stat().st_size
        _sync(partial)
        if force:
            os.replace(partial, target)
        else:
            _link_new(partial, target)
        _sync(target.parent)
    return size


def restore(copy: Path, database: Path, aside: Path | None, judge: Judge, told: Told) -> None:
    """Put a checked copy of `copy` in the place of `database`, which is kept as `aside`.

    At every moment there is one whole database under the name. Raises StoreError if `copy` is not sound, Conflict if
    somebody has the database open; then nothing is changed.
    """
    # A link is followed: it goes on naming the database.
    database = database.resolve()
    if not copy.is_file():
        raise NotFound(f"there is no file {copy}", kind="file", name=str(copy))
    if database.exists() and copy.samefile(database):
        raise Conflict(f"{copy} is the database itself", code=2)
    with _partial(database) as partial:
        _copy(copy, partial, told)
        _refuse_unsound(partial, copy, judge, told)
        _own_as(partial, database)
        _sync(partial)
        if aside is None:
            _link_new(partial, database)
        else:
            with _alone(database):
                _set_aside(database, aside)
                os.replace(partial, database)
        _sync(database.parent)


def vacuum(database: Path) -> None:
    """Write a database anew without what is free in it. Nobody writes meanwhile, and it takes as much room again."""
    with _changing(database) as connection:
        # From here on, free pages can be given back bit by bit; only a new or a rewritten file learns that.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def give_back(database: Path) -> int | None:
    """Give some free pages back to the disk, in a short transaction; how many are left, None if it cannot be done."""
    with _changing(database) as connection:
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            return None
        # A step of this statement frees a page: executescript takes all of them, execute the first.
        connection.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
        left = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
        if not left:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return left


def physical(connection: Connection) -> list[Problem]:
    """What is wrong with the file itself: pages, indexes, and rows that name others which are not there."""
    try:
        said = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(50)")]
        missing = list(connection.exec_driver_sql("PRAGMA foreign_key_check"))
    except DBAPIError as error:
        return [Problem("file", str(error.orig))]
    found = [Problem("file", line) for line in said if line != "ok"]
    return found + [Problem(f"{row[0]}/{row[1]}", f"names a row of {row[2]} that is not there") for row in missing]


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection that reads a database file and nothing else; raises StoreError."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 5.0})

    @event.listens_for(engine, "connect")
    def _read_only(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA query_only=1")

    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
    except DBAPIError as error:
        raise StoreError(f"cannot read {path}: {error.orig}") from None
    finally:
        engine.dispose()


@contextmanager
def _changing(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=30.0)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot write the database {database}: {error}") from None


def _refuse_target(database: Path, target: Path, force: bool) -> None:
    if not target.parent.is_dir():
        raise NotFound(f"cannot write {target}: there is no folder {target.parent}", kind="folder", name=str(target))
    if not target.exists():
        return
    if target.samefile(database):
        raise Conflict(f"{target} is the database itself", code=2)
    if not force:
        raise Conflict(f"{target} is there already", hint="name another file, or replace it with --force", code=2)
    if _beside(target, "-wal").exists():
        raise Conflict(f"{target} is a database in use, or left by a killed process: it is not replaced", code=2)


def _copy(source: Path, target: Path, told: Told) -> None:
    """Copy a database as it is at one moment, whoever writes to it meanwhile."""
    try:
        with closing(sqlite3.connect(source, isolation_level=None, timeout=30.0)) as reader:
            # A reader that holds its moment: without it, every write of another process would begin the copy anew.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(target, isolation_level=None)) as writer:
                writer.execute("PRAGMA synchronous=OFF")
                reader.backup(
                    writer,
                    pages=STEP_PAGES,
                    progress=lambda _status, left, total: told("copying", total - left, total),
                )
                # One file, with nothing beside it that could be forgotten.
                writer.execute("PRAGMA journal_mode=DELETE")
            reader.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise _explained(error, source, target) from None


def _explained(error: sqlite3.Error, source: Path, target: Path) -> StoreError:
    text = str(error)
    room = "make room on the disk, or name a file on another"
    what = f"cannot copy {source} to {target.with_suffix('')}"
    if "disk is full" in text:
        return StoreUnavailable(f"{what}: the disk is full", hint=room)
    if "disk I/O error" in text:
        return StoreUnavailable(f"{what}: the disk is full or broken ({text})", hint=room)
    if "not a database" in text:
        return StoreError(f"{source} is not a SQLite database")
    return StoreUnavailable(f"{what}: {text}")


def _refuse_unsound(partial: Path, name: Path, judge: Judge, told: Told) -> None:
    told("checking", 0, 0)
    with reading(partial) as connection:
        problems = judge(connection)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise StoreError(f"{name} is not sound: {problems[0]}{more}", problems=tuple(problems))


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """An empty file of mode 0600 beside the target, which nobody else writes; gone afterwards."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        descriptor = os.open(partial, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {partial}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{partial} is being written by another process") from None
        if not partial.exists() or os.fstat(descriptor).st_ino != partial.stat().st_ino:
            raise Conflict(f"{partial} was written by another process until now; try again")
        os.fchmod(descriptor, 0o600)
        # What a killed process has left there is of no use.
        os.ftruncate(descriptor, 0)
        try:
            yield partial
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                _beside(partial, suffix).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Hold a database that nobody else has open, as one file without a log beside it; raises Conflict."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=1.0)) as connection:
        try:
            # SQLite leaves the mode with a log only when no other connection is there.
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise Conflict(f"another process has {database} open", hint="stop it first") from None
        except sqlite3.DatabaseError:
            # What is replaced may be broken; that is why it is replaced.
            yield
            return
        yield
        connection.execute("ROLLBACK")


def _set_aside(database: Path, aside: Path) -> None:
    """Give a database a second name, and what is beside it only that one: a log without its database would be taken
    for the log of whatever has the name next."""
    _link_new(database, aside)
    for suffix in ("-journal", "-wal", "-shm"):
        if _beside(database, suffix).exists():
            os.replace(_beside(database, suffix), _beside(aside, suffix))


def _own_as(file: Path, database: Path) -> None:
    """Give a file the owner of the database, or of its folder: who restores need not be who runs the engine."""
    model = database if database.exists() else database.parent
    wanted, have = model.stat(), file.stat()
    if (wanted.st_uid, wanted.st_gid) != (have.st_uid, have.st_gid):
        os.chown(file, wanted.st_uid, wanted.st_gid)


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def _link_new(source: Path, target: Path) -> None:
    """Give a file a further name, which must be new: unlike a rename, it never replaces."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise Conflict(f"{target} is there already") from None
    except OSError:
        # A file system without links.
        if target.exists():
            raise Conflict(f"{target} is there already") from None
        shutil.copy2(source, target)
        _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
