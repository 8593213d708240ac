"""Small files that are either wholly old or wholly new, whatever happens. Blocking: call these in a thread."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec


def write_json(path: Path, value: Any) -> None:
    """Durably replace `path` by `value` as JSON, making its folder where needed; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unique per writer: two threads or programs must not write into one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(value))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Durably remove a file; one that is not there is fine."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
