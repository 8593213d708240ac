"""A disk that can be filled: a small tmpfs that this process alone sees, or a limit on the size of files."""

from __future__ import annotations

import ctypes
import errno
import resource
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

CLONE_NEWNS = 0x00020000
FILES = ("automation.db", "automation.db-wal", "automation.db-shm")


class Disk(Protocol):
    """Something that has room, or has not."""

    def fill(self) -> None:
        """Leave no room."""

    def free(self) -> None:
        """Make room."""


def can_mount() -> bool:
    """Whether this user may mount a file system in a namespace of its own."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False


@asynccontextmanager
async def small(folder: str, how: str, filler: str = "") -> AsyncIterator[tuple[str, Disk]]:
    """A folder on such a disk, with an empty database; what is in it at the end is copied to `folder`.

    With `filler`, the folder itself, whose database is on a server; that file fills the server's disk.
    """
    if filler:
        yield folder, _Filler(Path(filler))
        return
    place = Path(folder, "disk")
    place.mkdir()
    disk: Disk = _mounted(place) if how == "tmpfs" else _Limit(place)
    shutil.copy(Path(folder, "automation.db"), place)
    try:
        yield str(place), disk
    finally:
        disk.free()
        for name in FILES:
            if (place / name).exists():
                shutil.copy(place / name, folder)


def fill(file: Path) -> None:
    """Write to the file until its disk has no room."""
    with file.open("wb", buffering=0) as filler:
        while True:
            try:
                filler.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


def _mounted(place: Path) -> Disk:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=10)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1536k", "none", str(place)], check=True, timeout=10)
    return _Filler(place / "filler")


class _Filler:
    def __init__(self, file: Path) -> None:
        self._file = file

    def fill(self) -> None:
        fill(self._file)

    def free(self) -> None:
        self._file.unlink(missing_ok=True)


class _Limit:
    """Writes past the largest file's present size fail: as with a quota, and with many broken disks."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def fill(self) -> None:
        limit(max(file.stat().st_size for file in self._place.iterdir() if file.is_file()))

    def free(self) -> None:
        limit(resource.RLIM_INFINITY)


def limit(size: int) -> None:
    """From here on, writes of this process past so many bytes of a file fail."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
