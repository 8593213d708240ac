"""The engine's own log on stderr: one line of text or one JSON object a record, in UTC, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from automation.cli.output import clean
from automation.clock import iso

if TYPE_CHECKING:
    from automation.config import Logs

Redact = Callable[[str], str]

_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, then what else is known as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it where there is one."""
        more = "".join(f" {name}={value}" for name, value in _extra(record).items())
        text = clean(record.getMessage())
        line = f"{iso(record.created)} {record.levelname.lower():<7} {record.name}: {text}{more}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        content = {
            "time": iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Redacts the finished line: secrets may stand in messages, extras and tracebacks alike."""

    def __init__(self, redact: Redact) -> None:
        super().__init__(sys.stderr)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The line without secrets."""
        return self._redact(super().format(record))


def set_up(settings: Logs, redact: Redact) -> None:
    """Log to stderr, as the configuration says."""
    handler = _Stderr(redact)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("automation").setLevel(settings.level.upper())


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN and not name.startswith("_")}
