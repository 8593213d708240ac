"""Every error of the project, in one tree.

    AutomationError
    ├── ConfigurationError        a setting is wrong                      (CLI exit code 2)
    ├── DefinitionError           a definition is refused, all problems at once
    │   └── ConditionError        a condition does not parse
    ├── InputError                inputs of one start or request do not fit
    │   └── DuplicateKey          an idempotency key was used for another start
    ├── NotFound                  nothing has that name or id
    ├── Conflict                  the thing is not in a state that allows this
    ├── AccessError
    │   ├── Unauthenticated       no valid token
    │   ├── Forbidden             the token's roles lack the permission
    │   └── TooManyRequests       limited; says when to come back
    ├── MissingExtra              an optional library is not installed
    ├── StoreError                the database refused
    │   ├── StoreUnavailable      cannot be opened, locked, full          (retryable)
    │   ├── SchemaError           schema is newer than this program
    │   └── AuditError            the audit chain does not verify
    ├── ActionError               what a handler raises, and what a run records
    │   ├── Refused               will not work however often it is tried
    │   │   └── GuardrailRefused  a guardrail holds the action back
    │   ├── TryLater              may work later                          (retryable)
    │   │   └── BreakerOpen       it kept failing, and is left alone now  (retryable)
    │   ├── NotFaked              a test has no outcome for it, and it is not run for real
    │   ├── ActionTimeout         took longer than its limit              (retryable)
    │   ├── HeartbeatTimeout      gave no sign of life for too long       (retryable)
    │   ├── ActionCrashed         the handler raised something else       (retryable)
    │   ├── RepeatExhausted       its `repeat` ran it to the limit in vain
    │   ├── ChildFailed           the workflow that it has started did not succeed
    │   └── VerificationFailed    did its work, and its `verify` was not true (retryable)
    └── EngineStopped             the engine is not running

A class's docstring is its message; its constructor's keywords fill it in and stay readable as attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


class AutomationError(Exception):
    """Something went wrong."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.details = details
        if message is None:
            message = (type(self).__doc__ or "").strip().format(**details)
        message = writable(message)
        super().__init__(message)
        self.message = message

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["details"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no detail {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.details))


def writable(text: str) -> str:
    """The text with half characters written out, as names of files have that are not UTF-8: nothing stores them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _rebuild(kind: type[AutomationError], message: str, details: dict[str, Any]) -> AutomationError:
    error = kind.__new__(kind)
    AutomationError.__init__(error, message, **details)
    return error


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a definition, and where: `actions[1].parameters.url`."""

    path: str
    message: str
    file: str | None = None
    line: int | None = None
    severity: str = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class ConfigurationError(AutomationError):
    """The configuration is not valid."""


class DefinitionError(AutomationError):
    """A definition was refused. `problems` holds all that is wrong, each with its path."""

    def __init__(self, problems: Iterable[Problem], what: str = "definition") -> None:
        found = tuple(problems)
        lines = [f"{what} was refused, {len(found)} problem{'s' if len(found) != 1 else ''}:"]
        lines += [f"  {problem}" for problem in found]
        super().__init__("\n".join(lines), problems=found, what=what)


class ConditionError(DefinitionError):
    """A condition does not parse. `text`, `column` (from 1) and `expected` say where and what would fit."""

    def __init__(self, text: str, column: int, reason: str, expected: Iterable[str] = ()) -> None:
        wanted = tuple(expected)
        super().__init__([Problem(path="", message=reason)], what="condition")
        pointer = " " * (column - 1) + "^"
        hint = f"; expected {', '.join(wanted)}" if wanted else ""
        self.message = f"column {column}: {reason}{hint}\n  {text}\n  {pointer}"
        self.args = (self.message,)
        self.details |= {"text": text, "column": column, "reason": reason, "expected": wanted}


class InputError(AutomationError):
    """The inputs do not fit."""


class DuplicateKey(InputError):
    """idempotency key {key!r} was used before {where}, by execution {execution_id}"""


class NotFound(AutomationError):
    """there is no {kind} named {name!r}"""


class Conflict(AutomationError):
    """not possible in this state"""


class AccessError(AutomationError):
    """Access was refused."""


class Unauthenticated(AccessError):
    """a valid token is needed: send it as 'Authorization: Bearer <token>'"""


class Forbidden(AccessError):
    """this needs the permission {permission!r}"""


class TooManyRequests(AccessError):
    """too many requests; try again in {retry_after:.0f} s"""


class MissingExtra(AutomationError):
    """{feature} needs an optional library: pip install 'automation[{extra}]'"""


class StoreError(AutomationError):
    """The database refused."""


class StoreUnavailable(StoreError):
    """The database cannot be used now."""

    retryable = True


class SchemaError(StoreError):
    """The database was written by a newer version of automation."""


class AuditError(StoreError):
    """The audit chain does not verify."""


class ActionError(AutomationError):
    """An action failed."""


class Refused(ActionError):
    """It will not work however often it is tried."""


class GuardrailRefused(Refused):
    """guardrail {guardrail}: {reason}"""


class NotFaked(ActionError):
    """A test has no outcome for this operation, and it is not run for real."""


class TryLater(ActionError):
    """It may work later. `after` is the least number of seconds to wait, where the other side said so."""

    retryable = True

    def __init__(self, message: str | None = None, *, after: float | None = None, **details: Any) -> None:
        super().__init__(message, after=after, **details)


class BreakerOpen(TryLater):
    """{operation} on {target} has failed {failures} times in a row; it is tried again in {after:.0f} s"""


class ActionTimeout(ActionError):
    """took longer than its limit of {seconds:g} s"""

    retryable = True


class HeartbeatTimeout(ActionError):
    """gave no heartbeat for {seconds:g} s"""

    retryable = True


class ActionCrashed(ActionError):
    """The handler raised an error that is not an ActionError."""

    retryable = True


class RepeatExhausted(ActionError):
    """was run {times} times, and {until!r} is still not true"""


class ChildFailed(ActionError):
    """The workflow that it has started did not succeed. `execution_id` names the other execution."""


class VerificationFailed(ActionError):
    """It has done its work, but what had to be true afterwards was not."""

    retryable = True


class EngineStopped(AutomationError):
    """the engine is not running: call start() first, or use 'async with AutomationEngine(...)'"""
