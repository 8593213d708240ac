"""Errors in words, and their exit codes."""

from __future__ import annotations

import errno
import inspect
import json

import pytest

from automation import errors
from automation.cli.failures import CommandFailed, failure_of, report
from automation.errors import (
    AutomationError,
    ConfigurationError,
    Conflict,
    DefinitionError,
    Forbidden,
    InputError,
    MissingExtra,
    NotFound,
    Problem,
    Refused,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (DefinitionError([Problem("a", "b")]), 2),
        (InputError("x"), 2),
        (NotFound(kind="token", name="x"), 2),
        (MissingExtra(feature="x", extra="y"), 2),
        (Unauthenticated(), 2),
        (Forbidden(permission="x"), 2),
        (TooManyRequests(retry_after=3), 1),
        (Conflict("x"), 1),
        (StoreUnavailable("x"), 1),
        (Refused("x"), 1),
        (CommandFailed("x"), 1),
        (CommandFailed("x", code=2), 2),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 1),
        (TimeoutError("too long"), 1),
        (RuntimeError("x"), 1),
    ],
)
def test_each_error_has_an_exit_code(error: Exception, code: int) -> None:
    assert failure_of(error).code == code


def test_every_error_of_the_tree_has_one() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AutomationError)]
    assert len(kinds) > 15
    for kind in kinds:
        error = kind.__new__(kind)
        AutomationError.__init__(error, "text")
        assert failure_of(error).code in (1, 2)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x: No space left on device", "make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "/data: Permission denied", "--data-dir"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "Address already in use", "--port"),
        (OSError(errno.EXDEV, "Cross-device", "/a", None, "/b"), "/a -> /b: Cross-device", ""),
        (StoreUnavailable("the folder x does not exist"), "the folder x does not exist", "database_url"),
        (Unauthenticated(), "a valid token is needed", "AUTOMATION_TOKEN"),
        (ConfigurationError("cannot listen: the port is in use"), "cannot listen", "--port"),
    ],
)
def test_an_error_says_what_to_do_next(error: Exception, message: str, hint: str) -> None:
    failure = failure_of(error)
    assert message in failure.message
    assert hint in failure.hint


def test_is_one_line_and_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(CommandFailed("it failed", hint="do that"), as_json=False, debug=False) == 1
    assert capsys.readouterr().err == "error: it failed\n  do that\n"


def test_is_json_with_all_problems(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem("actions[0]", "is wrong", file="a.yaml", line=3)
    report(DefinitionError([problem]), as_json=True, debug=False)
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["type"] == "DefinitionError"
    assert error["problems"] == [
        {"path": "actions[0]", "message": "is wrong", "file": "a.yaml", "line": 3, "severity": "error"}
    ]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_expected_one_has_a_traceback_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    error = raised(ConfigurationError("wrong"))
    report(error, as_json=False, debug=False)
    assert "Traceback" not in capsys.readouterr().err
    report(error, as_json=False, debug=True)
    assert "Traceback" in capsys.readouterr().err


def test_an_unexpected_one_always_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(raised(KeyError("x")), as_json=False, debug=False) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert printed.endswith("error: KeyError: 'x'\n  this is a bug; please report it\n")


def test_control_characters_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    report(CommandFailed("bad \x1b[31m"), as_json=False, debug=False)
    assert capsys.readouterr().err == "error: bad \\x1b[31m\n"
