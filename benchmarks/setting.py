"""What a benchmark is given: its folder, how thorough it is, and where its databases are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.databases import Databases


class Impossible(Exception):
    """A benchmark that cannot be run here; says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how one benchmark is run."""

    folder: Path
    """Its own."""
    shared: Path
    """Of the whole run: what takes long to make is made once, for all benchmarks that need it."""
    databases: Databases
    quick: bool = False
    rows: int | None = None
    """How many executions are stored, where that can be chosen."""

    def need_space(self, bytes_needed: float) -> None:
        """Raise Impossible if the disk has not so much room, and a fifth more."""
        free = shutil.disk_usage(self.folder).free
        if free < bytes_needed * 1.2:
            raise Impossible(
                f"{bytes_needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; "
                "choose another --folder or fewer --rows"
            )
