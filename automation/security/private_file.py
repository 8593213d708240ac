"""Files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from automation.errors import ConfigurationError


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, all at once, and return when it is on disk; raises ConfigurationError.

    A file that is there is replaced: whoever has it open, or linked to somewhere else, does not see the new text.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None


def _sync_folder(folder: Path) -> None:
    # Without this, a new name may be lost in a power failure even though the file's content is on disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
