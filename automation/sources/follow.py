"""Follows a file that others append lines to, through rotation and truncation, and knows its place after a restart.

A place is a file (its inode), a generation and an offset. Inodes are used again, and a truncated file begins again at
0, so the generation counts the files that were followed: together the three name a line once and for all.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

CHUNK = 262_144
_MARK = 64
_EXCERPT = 1000
_REMEMBERED = 16
"""How many files that were read to their end are remembered, at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next line begins. `mark` is a hash of the `marked` bytes before, to recognise the file by.

    `left` are the ends of files that were followed before: what is written to them late begins there.
    """

    inode: int | None
    generation: int
    offset: int
    marked: int = 0
    mark: str = ""
    left: tuple[Place, ...] = ()

    def as_position(self, path: Path) -> dict[str, Any]:
        """What is stored of it."""
        return {
            "path": str(path),
            "inode": self.inode,
            "generation": self.generation,
            "offset": self.offset,
            "marked": self.marked,
            "mark": self.mark,
            "left": [[one.inode, one.generation, one.offset, one.marked, one.mark] for one in self.left],
        }

    @classmethod
    def of_position(cls, position: Any, path: Path) -> Place | None:
        """What was stored, if it is a place in this file."""
        if not isinstance(position, Mapping) or position.get("path") != str(path):
            return None
        try:
            return cls(
                position["inode"],
                position["generation"],
                position["offset"],
                position["marked"],
                position["mark"],
                tuple(cls(*one) for one in position.get("left", ())),
            )
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class Line:
    """One line, without what ends it."""

    raw: bytes
    inode: int
    generation: int
    start: int
    end: int
    problem: str | None = None
    """Why it is not a line at all."""
    left: tuple[Place, ...] = ()

    @property
    def id(self) -> str:
        """What names it."""
        return f"{self.inode}:{self.generation}:{self.start}"

    @property
    def place_after(self) -> Place:
        """Where the next line begins."""
        if self.problem is not None:
            return Place(self.inode, self.generation, self.end, left=self.left)
        tail = (self.raw + b"\n")[-_MARK:] if self.end - self.start > len(self.raw) else self.raw[-_MARK:]
        return Place(self.inode, self.generation, self.end, len(tail), _hash(tail), self.left)


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


class Follower:
    """Reads the lines of a file. Its methods block; call them in a thread."""

    def __init__(self, path: Path, max_line_bytes: int, place: Place | None, from_start: bool) -> None:
        self._path = path
        self._max_line = max_line_bytes
        self._from_start = from_start
        self._wanted = place
        self._generation = place.generation if place else 0
        self._fd: int | None = None
        self._inode = 0
        self._start = 0
        """Where the line begins that is being read."""
        self._next = 0
        """Where the next chunk begins."""
        self._partial = b""
        self._overlong = False
        self._seen = b""
        """The bytes before the next chunk, to notice that the file was written anew."""
        self._left = {each.inode: each for each in place.left} if place else {}
        """The ends of files that were followed before, by their inodes."""
        self._told = (place.inode, place.generation) if place else None
        self._ending = False
        self._lock = threading.Lock()

    def begin(self) -> Place:
        """Where to begin; to be stored, so that a restart begins there too."""
        with self._lock:
            if self._wanted is None and not self._from_start and self._open(self._path):
                self._jump(_last_line_break(self._descriptor))
                self._seen = self._before(self._start, min(_MARK, self._start))
                self._told = (self._inode, self._generation)
                return self._here()
            return self._wanted or Place(None, self._generation, 0)

    def lines(self) -> list[Line]:
        """The next lines; none where there is nothing new. Raises OSError."""
        with self._lock:
            if self._fd is None:
                lost = self._resume()
                if lost is not None:
                    return [lost]
            while self._fd is not None and not self._ending:
                if self._was_replaced():
                    left = self._anew()
                else:
                    # Looked for before the read: what is appended before there is a successor is still read here.
                    successor = self._successor()
                    chunk = os.pread(self._fd, CHUNK, self._next)
                    if not chunk and successor is None:
                        successor = self._late()
                    if chunk:
                        left = self._split(chunk)
                    elif successor is None:
                        return []
                    else:
                        left = self._leave(successor)
                if left:
                    return left
            return []

    def new_place(self) -> Place | None:
        """Where it stands, once for each file that it comes to before it gives a line of it; to be stored too."""
        with self._lock:
            if self._fd is None or self._told == (self._inode, self._generation):
                return None
            self._told = (self._inode, self._generation)
            return replace(self._here(), left=self._ends())

    def close(self) -> None:
        """Close the file; ends what goes on in another thread."""
        self._ending = True
        with self._lock:
            self._close()

    @property
    def _descriptor(self) -> int:
        assert self._fd is not None
        return self._fd

    def _open(self, path: Path) -> bool:
        try:
            # Not blocking: to open a pipe without a writer would never return.
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            self._close()
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        self._inode = found.st_ino
        self._jump(0)
        return True

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _jump(self, offset: int) -> None:
        self._start = self._next = offset
        self._partial = self._seen = b""
        self._overlong = False

    def _resume(self) -> Line | None:
        """Open what is to be read now. A line that tells of a loss, where what was read last is gone."""
        wanted = self._wanted
        if wanted is None or wanted.inode is None:
            if self._open(self._path):
                self._wanted = None
            return None
        for path in (self._path, *_same_file(self._path, wanted.inode)):
            if not self._open(path):
                continue
            if self._inode == wanted.inode and _has(self._descriptor, wanted):
                self._jump(wanted.offset)
                self._seen = self._before(wanted.offset, wanted.marked)
                self._wanted = None
                return None
            self._close()
        if not self._open(self._path):
            return None
        self._wanted = None
        self._generation += 1
        problem = (
            f"the file was rotated away or written anew while it was not followed: lines after byte {wanted.offset} "
            "of the one before, if there were any, were not read"
        )
        return Line(b"", self._inode, self._generation, 0, 0, problem, self._ends())

    def _before(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset - size)

    def _here(self) -> Place:
        # Within a line, what was seen is not what stands before it.
        seen = self._seen if self._next == self._start else b""
        return Place(self._inode, self._generation, self._start, len(seen), _hash(seen))

    def _ends(self) -> tuple[Place, ...]:
        return tuple(self._left.values())

    def _was_replaced(self) -> bool:
        if os.fstat(self._descriptor).st_size < self._next:
            return True
        return self._before(self._next, len(self._seen)) != self._seen

    def _anew(self) -> list[Line]:
        left = self._rest()
        self._jump(0)
        self._generation += 1
        return left

    def _successor(self) -> Path | None:
        """The file that is to be read after this one: it has content already, so nobody writes to this one any more."""
        mine = os.fstat(self._descriptor)
        found = _stat(self._path)
        if found is not None and found.st_ino == mine.st_ino:
            return None
        # Rotated more than once since the last look: those between are read too, in the order they were written.
        between = [
            (other.st_mtime_ns, path)
            for path in _rotated(self._path)
            if (other := _stat(path)) is not None and other.st_ino != mine.st_ino and self._is_unread(path, other)
        ]
        between = [entry for entry in between if entry[0] > mine.st_mtime_ns]
        if between:
            return min(between)[1]
        return self._path if found is not None and found.st_size > 0 else None

    def _is_unread(self, path: Path, found: os.stat_result) -> bool:
        """Whether a file holds anything that was not read."""
        known = self._left.get(found.st_ino)
        return found.st_size > 0 and (known is None or found.st_size != known.offset or not _is_same(path, known))

    def _late(self) -> Path | None:
        """A file that was left, and to which somebody has written whole lines since: who has not heard of its rotation.

        Not while a line of this one waits for its end.
        """
        if not self._left or self._next > self._start:
            return None
        for path in _rotated(self._path):
            found = _stat(path)
            known = self._left.get(found.st_ino) if found is not None and found.st_ino != self._inode else None
            if (
                found is not None
                and known is not None
                and found.st_size > known.offset
                and _is_same(path, known, b"\n")
            ):
                return path
        return None

    def _leave(self, successor: Path) -> list[Line]:
        left = self._rest()
        self._left.pop(self._inode, None)
        while len(self._left) >= _REMEMBERED:
            del self._left[next(iter(self._left))]
        self._left[self._inode] = self._here()
        self._close()
        self._generation += 1
        if self._open(successor) or self._open(self._path):
            known = self._left.pop(self._inode, None)
            if known is not None and _has(self._descriptor, known):
                # Back in a file that was read before: on from there.
                self._jump(known.offset)
                self._seen = self._before(known.offset, known.marked)
        return left

    def _rest(self) -> list[Line]:
        # What was last written to a file that is no longer written to is a line, whether or not it was ended.
        return [self._line(b"", self._next)] if self._next > self._start else []

    def _split(self, chunk: bytes) -> list[Line]:
        begin = 0
        found = []
        while (end := chunk.find(b"\n", begin)) >= 0:
            found.append(self._line(chunk[begin:end], self._next + end + 1))
            begin = end + 1
        self._partial += chunk[begin:]
        if len(self._partial) > self._max_line:
            # Kept no longer, but for its beginning, to show; its end is waited for.
            self._overlong = True
            self._partial = self._partial[:_EXCERPT]
        self._next += len(chunk)
        self._seen = (self._seen + chunk)[-_MARK:]
        return found

    def _line(self, piece: bytes, end: int) -> Line:
        raw = self._partial + piece
        problem = None
        if self._overlong or len(raw) > self._max_line:
            problem = f"the line is longer than {self._max_line} bytes"
            raw = raw[:_EXCERPT]
        start = self._start
        self._start, self._partial, self._overlong = end, b"", False
        self._told = (self._inode, self._generation)
        return Line(raw, self._inode, self._generation, start, end, problem, self._ends())


def _has(descriptor: int, place: Place) -> bool:
    """Whether an open file is the one of a place, as far as its size and what stands before the place say."""
    if os.fstat(descriptor).st_size < place.offset:
        return False
    return place.marked == 0 or _hash(os.pread(descriptor, place.marked, place.offset - place.marked)) == place.mark


def _is_same(path: Path, place: Place, end: bytes = b"") -> bool:
    """Whether a file is the one of a place and ends so."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        return _has(descriptor, place) and os.pread(descriptor, len(end), size - len(end)) == end
    finally:
        os.close(descriptor)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _rotated(path: Path) -> list[Path]:
    """What `path` was renamed to by rotations: `app.jsonl.1`, `app.jsonl-20261123`."""
    pattern = re.compile(re.escape(path.name) + r"[._-]\d[\dT._-]*")
    try:
        with os.scandir(path.parent) as entries:
            return [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    except OSError:
        return []


def _same_file(path: Path, inode: int) -> list[Path]:
    """The files beside `path` with this inode: what it was renamed to."""
    try:
        with os.scandir(path.parent) as entries:
            return [Path(entry.path) for entry in entries if entry.inode() == inode and entry.is_file()]
    except OSError:
        return []


def _last_line_break(descriptor: int) -> int:
    """Where the last line begins that is not ended yet; the size, where all are."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        begin = max(0, end - CHUNK)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
