from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from automation.clock import VirtualClock
from automation.definitions import Watcher, content_hash, definition_files, read_files
from automation.errors import DefinitionError, Problem, StoreUnavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "automation.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("services: [{name: a}]")
    return folder


class Reloads:
    """Counts the calls, and raises what it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.seen = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self.seen.set()
        if self.error is not None:
            raise self.error


@pytest.fixture
def reloads() -> Reloads:
    return Reloads()


@pytest.fixture
def watcher(folder: Path, reloads: Reloads) -> Watcher:
    known = content_hash(definition_files(folder, folder.parent / "automation.yaml"))
    return Watcher(folder, folder.parent / "automation.yaml", reloads, VirtualClock(), known=known)


async def test_nothing_changed_is_no_reload(watcher, reloads):
    assert [await watcher.poll() for _ in range(3)] == [False, False, False]
    assert reloads.count == 0


def rewrite(folder: Path) -> None:
    (folder / "a.yaml").write_text("services: [{name: b}]")


def add(folder: Path) -> None:
    (folder / "b.json").write_text("{}")


def remove(folder: Path) -> None:
    (folder / "a.yaml").unlink()


def rename(folder: Path) -> None:
    (folder / "a.yaml").rename(folder / "b.yaml")


def replace_with_the_same_time(folder: Path) -> None:
    status = (folder / "a.yaml").stat()
    (folder / "new").write_text("services: [{name: c}]")
    os.utime(folder / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "new").replace(folder / "a.yaml")


def add_main(folder: Path) -> None:
    (folder.parent / "automation.yaml").write_text("level: manual")


def remove_folder(folder: Path) -> None:
    (folder / "a.yaml").unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    "change",
    [rewrite, add, remove, rename, replace_with_the_same_time, add_main, remove_folder],
    ids=lambda c: c.__name__,
)
async def test_each_change_is_one_reload(watcher, reloads, folder, change: Callable[[Path], None]):
    await watcher.poll()

    change(folder)

    assert [await watcher.poll() for _ in range(3)] == [True, False, False]
    assert reloads.count == 1


@pytest.mark.parametrize("unrelated", ["a.yaml~", ".a.yaml.swp", "notes.txt"])
async def test_other_files_are_not_watched(watcher, reloads, folder, unrelated):
    (folder / unrelated).write_text("x")

    assert not await watcher.poll()


async def test_a_file_that_was_only_touched_is_not_reloaded(watcher, reloads, folder):
    await watcher.poll()
    os.utime(folder / "a.yaml", (1, 1))
    (folder / "a.yaml").chmod(0o600)

    assert not await watcher.poll()


async def test_a_change_between_reading_and_watching_is_noticed(folder, reloads):
    definitions, _ = read_files(definition_files(folder))
    rewrite(folder)

    assert await Watcher(folder, None, reloads, VirtualClock(), known=definitions.content_hash).poll()


async def test_definitions_that_are_refused_wait_for_the_next_change(watcher, reloads, folder):
    rewrite(folder)
    reloads.error = DefinitionError([Problem("", "wrong")])
    with pytest.raises(DefinitionError):
        await watcher.poll()

    assert not await watcher.poll()
    reloads.error = None
    add(folder)
    assert await watcher.poll()


async def test_what_may_work_later_is_tried_again(watcher, reloads, folder):
    rewrite(folder)
    reloads.error = StoreUnavailable("the disk is full")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await watcher.poll()

    reloads.error = None
    assert [await watcher.poll() for _ in range(2)] == [True, False]


async def test_it_goes_on_until_cancelled_whatever_a_reload_raises(folder, reloads, caplog):
    clock = VirtualClock()
    watcher = Watcher(folder, None, reloads, clock, known="another")
    reloads.error = RuntimeError("broken")
    with caplog.at_level(logging.ERROR, "automation.definitions"):
        task = asyncio.create_task(watcher.run())
        await asyncio.wait_for(reloads.seen.wait(), 10)
        reloads.error = None
        reloads.seen.clear()
        rewrite(folder)
        async with asyncio.timeout(10):
            while not reloads.seen.is_set():
                await asyncio.sleep(0)
                await clock.advance(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert reloads.count == 2
    assert [record.message for record in caplog.records] == ["the definitions could not be reloaded"]


async def test_the_same_failure_is_logged_once(folder, reloads, caplog):
    clock = VirtualClock()
    watcher = Watcher(folder, None, reloads, clock, known="another")
    reloads.error = StoreUnavailable("the disk is full")
    task = asyncio.create_task(watcher.run())
    async with asyncio.timeout(10):
        while reloads.count < 5:
            await asyncio.sleep(0)
            await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [record.message for record in caplog.records] == ["the definitions could not be reloaded"]
