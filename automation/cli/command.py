"""What every command has in common: `--json`, `--config`, `--debug`, errors in one line, and an exit code."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from automation.cli.failures import DONE, INTERRUPTED, report
from automation.cli.output import Output

if TYPE_CHECKING:
    from automation.config import AutomationConfig

F = TypeVar("F", bound=Callable[..., Any])

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", show_default=False)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]

_COMMON = {"as_json": (Json, False), "config_file": (ConfigFile, None), "debug": (Debug, False)}


@dataclass(frozen=True)
class Session:
    """One call of a command: what every command is told, and where its results go."""

    out: Output
    config_file: Path | None = None
    debug: bool = False

    def config(self, **overrides: Any) -> AutomationConfig:
        """The configuration; raises ConfigurationError."""
        from automation.config import AutomationConfig

        return AutomationConfig.load(self.config_file, **overrides)


def command(app: typer.Typer, name: str) -> Callable[[F], F]:
    """Make a function a command of `app`. Its first parameter is the `Session`; it may be asynchronous, and may
    return an exit code."""

    def register(function: F) -> F:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        @wraps(function)
        def call(**values: Any) -> None:
            common = {key: values.pop(key) for key in _COMMON}
            session = Session(Output(as_json=common["as_json"]), common["config_file"], common["debug"])
            raise typer.Exit(_run(function, session, values))

        for key, (annotation, default) in _COMMON.items():
            parameters.append(
                inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )
        # Typer reads the signature; what functools.wraps copied would show it the session.
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del call.__wrapped__
        app.command(name)(call)
        return function

    return register


def _run(function: Callable[..., Any], session: Session, values: dict[str, Any]) -> int:
    try:
        result = function(session, **values)
        if inspect.iscoroutine(result):
            # Loaded late, as help needs none of it.
            import asyncio

            result = asyncio.run(result)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough; the interpreter must not try to flush the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where errors become words and an exit code
        return report(error, as_json=session.out.as_json, debug=session.debug)
    return int(result or DONE)
