from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

import automation
from automation.clock import RealClock, VirtualClock
from automation.config import Security
from automation.errors import ConfigurationError, StoreUnavailable, Unauthenticated
from automation.security.private_file import write_private
from automation.security.tokens import Tokens
from automation.store.store import Store

HERE = {"address": "127.0.0.1", "path": "/"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "admin-token"


async def may_all(tokens: Tokens, path: Path) -> bool:
    return (await tokens.authenticate(path.read_text().strip(), **HERE)).may("system:admin")


async def test_the_first_start_writes_a_token_that_may_do_everything(tokens, path, audited):
    assert await tokens.ensure_admin(path)

    (info,), (row,) = await tokens.list(), await audited()
    assert await may_all(tokens, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().endswith("\n")
    assert [entry.name for entry in path.parent.iterdir()] == ["admin-token"]
    assert (info.name, info.roles, info.expires_at) == ("admin", ("automation_admin",), None)
    assert (row.actor, row.act, row.subject) == ("system", "token.issue", "admin")


async def test_a_later_start_changes_nothing(tokens, path):
    await tokens.ensure_admin(path)
    before = path.read_text()

    assert not await tokens.ensure_admin(path)

    assert path.read_text() == before
    assert len(await tokens.list()) == 1


async def test_any_usable_token_is_enough(tokens, path):
    await tokens.issue("mine", ["automation_admin"], expires_in=None, actor="local")

    assert not await tokens.ensure_admin(path)
    assert not path.exists()


async def test_revoked_and_expired_tokens_and_sessions_are_not_enough(tokens, path, clock: VirtualClock):
    text = await tokens.issue("one", ["automation_admin"], expires_in=None, actor="local")
    await tokens.issue("two", ["automation_admin"], expires_in=5, actor="local")
    await tokens.open_session(text, "127.0.0.1")
    await tokens.revoke((await tokens.list())[0].id, "local")
    await clock.advance(5)

    assert await tokens.ensure_admin(path)
    assert await may_all(tokens, path)


async def test_the_file_of_a_lost_database_is_replaced(tokens, path):
    write_private(path, "aut_old\n")
    path.chmod(0o644)

    assert await tokens.ensure_admin(path)

    assert await may_all(tokens, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_link_is_replaced_and_not_followed(tokens, path, tmp_path):
    path.parent.mkdir()
    (tmp_path / "elsewhere").write_text("untouched")
    path.symlink_to(tmp_path / "elsewhere")

    await tokens.ensure_admin(path)

    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert not path.is_symlink()
    assert await may_all(tokens, path)


async def test_a_file_that_cannot_be_written_is_said_and_no_token_is_issued(tokens, path):
    path.mkdir(parents=True)

    with pytest.raises(ConfigurationError, match=f"cannot write {path}: Is a directory"):
        await tokens.ensure_admin(path)

    assert await tokens.list() == ()
    assert [entry.name for entry in path.parent.iterdir()] == ["admin-token"]


async def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"Not a directory|File exists"):
        write_private(tmp_path / "file" / "token", "x")


async def test_a_commit_that_fails_leaves_the_next_start_to_do_it(tokens, store, path, monkeypatch):
    write = store.backend.write

    async def full(units):
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store.backend, "write", full)
    with pytest.raises(StoreUnavailable):
        await tokens.ensure_admin(path)
    with pytest.raises(Unauthenticated):
        await may_all(tokens, path)
    monkeypatch.setattr(store.backend, "write", write)

    assert await tokens.ensure_admin(path)
    assert await may_all(tokens, path)


CRASH = """
import asyncio, os, sys
from pathlib import Path
from automation.clock import RealClock
from automation.config import Security
from automation.security.tokens import Tokens
from automation.store.store import Store

point, when, database, path = sys.argv[1:]

def dying(function):
    def call(*arguments, **keywords):
        if when == "before":
            os.kill(os.getpid(), 9)
        function(*arguments, **keywords)
        os.kill(os.getpid(), 9)
    return call

def dying_later(function):
    async def call(*arguments, **keywords):
        if when == "before":
            os.kill(os.getpid(), 9)
        await function(*arguments, **keywords)
        os.kill(os.getpid(), 9)
    return call

async def main():
    store = Store(database)
    await store.open()
    tokens = Tokens(store, Security(), RealClock())
    if point == "commit":
        store.commit = dying_later(store.commit)
    else:
        setattr(os, point, dying(getattr(os, point)))
    await tokens.ensure_admin(Path(path))

asyncio.run(main())
"""


@pytest.mark.durability
@pytest.mark.parametrize(
    ("point", "when", "again"),
    [
        ("fsync", "before", True),
        ("replace", "before", True),
        ("replace", "after", True),
        ("commit", "before", True),
        ("commit", "after", False),
    ],
)
async def test_dying_at_any_point_does_not_lock_the_administrator_out(tmp_path, path, point, when, again):
    database = f"sqlite:///{tmp_path / 'automation.db'}"
    root = str(Path(automation.__file__).parents[1])
    arguments = [sys.executable, "-c", CRASH, point, when, database, str(path)]
    child = await asyncio.create_subprocess_exec(*arguments, env={**os.environ, "PYTHONPATH": root})
    assert await child.wait() == -9

    store = Store(database)
    await store.open()
    tokens = Tokens(store, Security(), RealClock())

    assert await tokens.ensure_admin(path) is again
    assert await may_all(tokens, path)
    assert len(await tokens.list()) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()


async def test_the_folder_is_on_disk_before_the_row_is(tokens, path, store, monkeypatch):
    order = []
    fsync, commit = os.fsync, store.commit

    def noted_fsync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    async def noted_commit(*arguments) -> None:
        order.append("row")
        await commit(*arguments)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(store, "commit", noted_commit)
    await tokens.ensure_admin(path)

    assert order == ["file", "folder", "row"]
