"""Secrets: files that only the engine may read, and the hiding of their values wherever text leaves the engine."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from automation.errors import ConfigurationError, InputError, NotFound

HIDDEN = "***"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,199}")
_MAX_BYTES = 65_536
_LEAST = 4


class Redactor:
    """Replaces the secret values that it was told of by `***`."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def __bool__(self) -> bool:
        """Whether it hides anything."""
        return bool(self._values)

    def add(self, value: str) -> None:
        """Hide this value from now on, and what becomes of it in JSON, a Python literal or a URL.

        A value of fewer than 4 characters is not hidden: it is found in words that have nothing to do with it, so
        that no text could be read any more, and each `***` in a known sentence would tell a part of it.
        """
        plain = value.strip()
        if len(plain) < _LEAST:
            return
        json_forms = (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
        urls = (quote(plain, safe="", errors="replace"), quote(plain, errors="replace"))
        self._values.update((value, plain, *json_forms, repr(plain)[1:-1], *urls))

    def redact(self, text: str) -> str:
        """The text with every secret value replaced, also where two of them overlap."""
        spans = []
        for value in self._values:
            start = text.find(value)
            while start >= 0:
                spans.append((start, start + len(value)))
                start = text.find(value, start + 1)
        parts: list[str] = []
        done = 0
        for start, end in sorted(spans):
            if start > done or not parts:
                parts += [text[done:start], HIDDEN]
            done = max(done, end)
        return "".join([*parts, text[done:]])

    def redact_value(self, value: Any) -> Any:
        """A copy of a JSON-like value with secrets replaced in all its texts, keys and numbers."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redact_value(key): self.redact_value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redact_value(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value if self.redact(str(value)) == str(value) else HIDDEN
        return value


class Secrets:
    """Secrets by name: the files of one folder, each read when it is needed, so that a new value holds at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.redactor = Redactor()
        """Knows every value that was handed out."""

    def get(self, name: str) -> str:
        """The value, without the line break at its end.

        Raises NotFound, InputError for a name that no secret can have, ConfigurationError for a file that others may
        read or that is not a text.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name[:50]!r} is not a name of a secret: a letter, then letters, digits and . _ -, 200 at most"
            )
        path = self._folder / name
        value = self._decoded(name, path, self._read(name, path))
        self.redactor.add(value)
        return value

    def names(self) -> tuple[str, ...]:
        """The names of all secrets, sorted."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)))

    def _read(self, name: str, path: Path) -> bytes:
        try:
            # A pipe must not make us wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise NotFound(
                f"there is no secret {name!r}; write it to {path} with mode 0600 (known: {known})",
                kind="secret",
                name=name,
            ) from None
        except OSError as error:
            raise ConfigurationError(f"the secret {name!r} cannot be read: {path}: {error.strerror}") from None
        try:
            # Asked of the open file, not of the path, which could be another file by now.
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"the secret {name!r} cannot be read: {path} is not a regular file")
            if status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise ConfigurationError(
                    f"the secret {name!r} is refused: {path} has mode {mode:04o}, so that others may read or change "
                    f"it; run: chmod 600 {path}"
                )
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(_MAX_BYTES + 1)
        finally:
            os.close(descriptor)

    def _decoded(self, name: str, path: Path, content: bytes) -> str:
        if len(content) > _MAX_BYTES:
            raise ConfigurationError(f"the secret {name!r} is refused: {path} is larger than {_MAX_BYTES} bytes")
        try:
            value = content.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(f"the secret {name!r} is refused: {path} is not UTF-8 text") from None
        value = value.removesuffix("\n").removesuffix("\r")
        if not value:
            raise ConfigurationError(f"the secret {name!r} is refused: {path} is empty")
        return value
