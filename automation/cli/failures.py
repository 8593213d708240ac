"""What goes wrong, in one line with the next step, and the exit code that it gives.

0: done. 1: it was tried and failed; the same command may work later. 2: wrong usage, configuration or definition, or
something that does not exist: the command has to be changed. 130: interrupted by Ctrl-C.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any

from automation.errors import (
    AccessError,
    AuditError,
    AutomationError,
    ConfigurationError,
    DefinitionError,
    InputError,
    MissingExtra,
    NotFound,
    SchemaError,
    StoreUnavailable,
    TooManyRequests,
)

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_USAGE_ERRORS = (ConfigurationError, DefinitionError, InputError, NotFound, MissingExtra, SchemaError, AccessError)


class CommandFailed(AutomationError):
    """The command was carried out, and what it asked for failed. `hint` is the next step."""


class ServerUnreachable(AutomationError):
    """The server cannot be reached."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said of an error."""

    type: str
    message: str
    code: int
    hint: str = ""
    problems: list[Any] = field(default_factory=list)


def failure_of(error: BaseException) -> Failure:
    """What to say of an error, whether or not it was expected."""
    if isinstance(error, AutomationError):
        usage = isinstance(error, _USAGE_ERRORS) and not isinstance(error, TooManyRequests)
        problems = list(error.details.get("problems", ()))
        code = int(error.details.get("code", USAGE if usage else FAILED))
        return Failure(type(error).__name__, error.message, code, _hint(error), problems)
    if isinstance(error, OSError):
        return Failure(type(error).__name__, _os_error(error), FAILED, _os_hint(error))
    return Failure(type(error).__name__, f"{type(error).__name__}: {error}", FAILED, "this is a bug; please report it")


def expected(error: BaseException) -> bool:
    """Whether an error says all there is to say, so that nobody needs a traceback."""
    return isinstance(error, (AutomationError, OSError))


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    if debug or not expected(error):
        traceback.print_exception(error, file=sys.stderr)
    failure = failure_of(error)
    say(failure, as_json=as_json)
    return failure.code


def say(failure: Failure, *, as_json: bool) -> None:
    """Write a failure to stderr."""
    if as_json:
        content: dict[str, Any] = {"type": failure.type, "message": failure.message}
        if failure.hint:
            content["hint"] = failure.hint
        if failure.problems:
            from automation.cli.output import to_plain

            content["problems"] = to_plain(failure.problems)
        print(json.dumps({"error": content}, ensure_ascii=False), file=sys.stderr)
        return
    from automation.cli.output import clean

    print(f"error: {clean(failure.message)}", file=sys.stderr)
    if failure.hint:
        print(f"  {clean(failure.hint)}", file=sys.stderr)


def _hint(error: AutomationError) -> str:
    if "hint" in error.details:
        return str(error.details["hint"])
    if isinstance(error, AuditError):
        return "the rows named above were changed from outside; compare with a backup"
    if isinstance(error, ConfigurationError) and "the port is in use" in error.message:
        return "choose another with --port"
    if isinstance(error, StoreUnavailable) and "disk I/O error" in error.message:
        return "the disk may be full, or broken"
    if isinstance(error, StoreUnavailable) and "does not exist" in error.message:
        return "or set database_url (AUTOMATION_DATABASE_URL) to a file in a folder that exists"
    if isinstance(error, AccessError) and not isinstance(error, TooManyRequests):
        return (
            "set AUTOMATION_TOKEN or AUTOMATION_TOKEN_FILE to a token with the right role ('automation tokens issue')"
        )
    return ""


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    return f"{' -> '.join(names)}: {reason}" if names else reason


def _os_hint(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on the disk, then try again"
    if error.errno == errno.EADDRINUSE:
        return "choose another port with --port, or stop what listens there"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "check the permissions, or choose another place with --data-dir or AUTOMATION_DATA_DIR"
    return ""
