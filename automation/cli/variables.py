"""Variables of the command line: `--var name=value`, and files of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from automation.errors import Forbidden, InputError

Inputs = Mapping[str, Mapping[str, Any]]
"""The declared inputs of a workflow, as JSON."""


def variables_of(pairs: list[str], files: list[Path], option: str = "--var") -> dict[str, Any]:
    """The variables of files, and those of `name=value` texts over them; raises InputError."""
    variables: dict[str, Any] = {}
    for file in files:
        variables.update(_read(file))
    for name, text in _split(pairs, option).items():
        try:
            variables[name] = json.loads(text, parse_constant=_no_constant)
        except ValueError:
            variables[name] = text
    return variables


async def as_declared(
    variables: dict[str, Any], pairs: Iterable[str], declared: Callable[[], Awaitable[Inputs | None]]
) -> dict[str, Any]:
    """The variables, of which those stay the text that was given that read as JSON and are declared as a string.

    Only where there is such a text is it asked what is declared.
    """
    texts = {name: text for name, text in _split(pairs).items() if not isinstance(variables[name], str)}
    if not texts:
        return variables
    try:
        inputs = await declared() or {}
    except Forbidden:
        # Who may start a workflow may not always see it; what does not fit is refused by the start.
        return variables
    strings = {name: text for name, text in texts.items() if inputs.get(name, {}).get("type") == "string"}
    return {**variables, **strings}


def _split(pairs: Iterable[str], option: str = "--var") -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{option}: {pair!r} is not NAME=VALUE")
        found[name.strip()] = text
    return found


def _no_constant(text: str) -> Any:
    # NaN and Infinity are no JSON, though Python reads them.
    raise ValueError(text)


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--var-file: cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--var-file: {file} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        raise InputError(f"--var-file: {place}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise InputError(f"--var-file: {file} must be a mapping of names to values")
    return content
