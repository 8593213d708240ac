"""The page `docs/reference/cli.md`, made from the commands: `python -m automation.cli.reference` writes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from automation.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"
DEFINITIONS = Path(__file__).parents[1] / "demo" / "automation.d" / "demo.yaml"

_COMMON = ("as_json", "config_file", "debug")

_HEAD = """# The command line

<!-- made by `python -m automation.cli.reference`; do not edit -->

`automation`, or `python -m automation`.

## Where commands work

With `AUTOMATION_URL` set, commands talk to the server there, with the token of `AUTOMATION_TOKEN` or of the file that
`AUTOMATION_TOKEN_FILE` names. Without it, they work on the configured database, in their own process:

- what only reads opens the database and nothing else; it takes up no work that another process left;
- `run`, `events publish` and what acts on executions (`executions cancel`, `approve`, `deny`, `pause`, `resume`,
  `retry`, `rerun`, `fork`) run an engine until what they began has ended, or waits. It takes up unfinished executions,
  as every engine does, and has neither monitors nor sources nor schedules;
- `serve`, `demo`, `check` and `config show` work here whatever `AUTOMATION_URL` says;
- what an engine in another process holds in memory is changed by talking to that one: what acts on executions and
  `alerts acknowledge` say so, and refuse.

An execution is named by its id, or by a part of it that no other has: at least four characters from its beginning, or
from its end, which differs sooner. One that fits several is refused, with those that it fits.

The configuration is the file of `--config` or `AUTOMATION_CONFIG`, or `automation.yaml` in the working directory.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | it was tried and failed: a workflow did not succeed, a conflict, a database that is locked, a full disk |
| 2 | the command has to be changed: wrong usage, configuration, definition or input; a token that is missing or may \
not; something that does not exist; a port that is in use |
| 130 | interrupted by Ctrl-C |
| 143 | ended by SIGTERM (`demo`; `serve` ends with 0) |

Errors are one line on stderr, with the next step below it. With `--json` they are
`{"error": {"type", "message", "hint", "problems"}}`, the last two where there are any.

## Output

Tables are for people: they fold in narrow terminals, become blocks below 60 columns or where a table would tear words
and identifiers, and have no colours with `NO_COLOR`. Where stdout is no terminal they are plain columns. For programs,
every command takes `--json`: one document on stdout, with the keys of the REST interface; with `--follow`, one line for
each thing.

## Options of every command

| option | |
|---|---|
"""

_NOTES = {
    "demo": (
        "What runs is this, from the package; the interpreter that runs the demo stands in for `python`:\n\n"
        "```yaml\n{definitions}```\n\n"
        "The load generator sends at its rate whether or not earlier requests were answered. A request that meets a "
        "connection error (the dead replica is an address for up to a second) is tried once more at the next address; "
        "such requests are counted, and the availability says how many there were."
    ),
}


def page() -> str:
    """The page's text."""
    root: Any = typer.main.get_command(app)
    common = {parameter.name: parameter for parameter in root.commands["version"].params}
    parts = [_HEAD + "\n".join(_option(common[name]) for name in _COMMON)]
    for path, command in _commands(root, ""):
        parts.append(_section(path, command))
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        path = f"{prefix} {name}".strip()
        if hasattr(command, "commands"):
            yield from _commands(command, path)
        else:
            yield path, command


def _section(path: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name not in _COMMON
    ]
    usage = " ".join(_usage(argument) for argument in arguments)
    required = " ".join(f"{option.opts[0]} {_metavar(option)}" for option in options if option.required)
    line = " ".join(part for part in ("automation", path, required, "[OPTIONS]", usage) if part)
    parts = [f"## `automation {path}`", inspect.cleandoc(command.help or ""), f"```\n{line}\n```"]
    rows = [f"| `{_usage(argument)}` | {argument.help} |" for argument in arguments]
    rows += [_option(option) for option in options]
    if rows:
        parts.append("| | |\n|---|---|\n" + "\n".join(rows))
    if path in _NOTES:
        parts.append(_NOTES[path].format(definitions=DEFINITIONS.read_text(encoding="utf-8")))
    return "\n\n".join(parts)


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" `{_metavar(option)}`"
    default = option.default
    told = f" Default: `{default}`." if default not in (None, False, "", ()) and not option.multiple else ""
    again = " May be given again." if option.multiple else ""
    return f"| {names}{value} | {option.help}{told}{again} |"


def _metavar(option: Any) -> str:
    return str(option.metavar or option.name.upper())


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
