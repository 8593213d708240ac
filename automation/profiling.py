"""Where the time goes: cProfile for the process, written to a file that `pstats` and its viewers read.

Covered are the thread that enables it (the event loop's, as a rule) and every thread started afterwards, such as that
of the database's writer. Not covered are threads that run already, and the processes of the process pool.
"""

from __future__ import annotations

import atexit
import cProfile
import pstats
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

from automation.errors import ConfigurationError, Conflict


class Profiling:
    """Profiling that is on. Use it as a context manager, or call `stop()`, or let the process end."""

    def __init__(self, output_file: Path) -> None:
        self.output_file = output_file
        self.running = False
        self._profiles: list[cProfile.Profile] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to measure."""
        self.running = True
        atexit.register(self.stop)
        if sys.version_info < (3, 12):
            # From 3.12 on, one profile sees all threads; before, each thread needs its own.
            threading.setprofile(self._new_thread)
        self._add().enable()

    def stop(self) -> Path:
        """End it and write the file; a second call does nothing. Returns where it is."""
        global _current
        if not self.running:
            return self.output_file
        self.running = False
        if sys.version_info < (3, 12):
            threading.setprofile(None)
        atexit.unregister(self.stop)
        if _current is self:
            _current = None
        with self._lock:
            self._profiles[0].disable()
            self._write()
        return self.output_file

    def _add(self) -> cProfile.Profile:
        profile = cProfile.Profile()
        with self._lock:
            self._profiles.append(profile)
        return profile

    def _new_thread(self, frame: FrameType, event: str, arg: Any) -> None:
        # Called once in each new thread: enabling puts the profile in the place of this function.
        if self.running:
            self._add().enable()
        else:
            sys.setprofile(None)

    def _write(self) -> None:
        total: pstats.Stats | None = None
        for profile in self._profiles:
            profile.snapshot_stats()
            if not profile.stats:
                continue
            if total is None:
                total = pstats.Stats(profile)
            else:
                total.add(profile)
        if total is not None:
            total.dump_stats(self.output_file)


_current: Profiling | None = None


def enable_profiling(output_file: str | Path = "/tmp/automation_profile.prof") -> Profiling:  # noqa: S108
    """Begin to profile; the figures are written at the end of the process or on `disable_profiling()`.

    Raises Conflict if it is on already, ConfigurationError if the file cannot be written.
    """
    global _current
    if _current is not None:
        raise Conflict(f"profiling is on already, and writes to {_current.output_file}")
    path = Path(output_file)
    try:
        # Told now, not at the end when the figures would be lost.
        path.touch()
    except OSError as error:
        raise ConfigurationError(f"cannot write the profile to {path}: {error.strerror}") from None
    _current = Profiling(path)
    _current.start()
    return _current


def disable_profiling() -> Path | None:
    """End it and write the file; returns where it is, or None if profiling was not on."""
    return _current.stop() if _current is not None else None
