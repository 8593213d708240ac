"""Where settings come from: the environment, a file, options; and what is said of one that is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from automation.errors import ConfigurationError, Problem

PREFIX = "AUTOMATION_"
_OTHERS = frozenset({"AUTOMATION_URL", "AUTOMATION_TOKEN", "AUTOMATION_TOKEN_FILE", "AUTOMATION_CONFIG"})
"""Variables that are no settings."""


def environment() -> dict[str, Any]:
    """What `AUTOMATION_<SECTION>__<KEY>`, `*_FILE` and `DATABASE_URL` say; raises ConfigurationError."""
    values: dict[str, Any] = {}
    if "DATABASE_URL" in os.environ:
        values["database_url"] = os.environ["DATABASE_URL"]
    for name, text in sorted(os.environ.items()):
        if not name.startswith(PREFIX) or name in _OTHERS:
            continue
        key = name.removeprefix(PREFIX).lower()
        if key.endswith("_file"):
            key = key.removesuffix("_file")
            try:
                text = Path(text).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigurationError(f"{name}: cannot read {text}: {error.strerror}") from None
        *sections, last = key.split("__")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = _plain(text)
    return values


def _plain(text: str) -> Any:
    # Lists and mappings come as JSON; everything else stays text, which pydantic reads as the field's type.
    if text[:1] in "[{":
        import json

        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def traced(
    error: ConfigurationError, file: Path | None, variables: Mapping[str, Any], options: Mapping[str, Any]
) -> ConfigurationError:
    """The same error, which says of each problem where its value has come from."""
    problems: Sequence[Problem] = error.details.get("problems", ())
    lines: list[str] = []
    of_file = False
    for problem in problems:
        if _has(options, problem.path):
            lines.append(f"  {problem} (an option of the command)")
        elif _has(variables, problem.path):
            lines.append(f"  {problem} (the variable {_variable(problem.path)})")
        else:
            of_file = file is not None
            lines.append(f"  {problem}")
    where = f"{file}: " if of_file else ""
    return ConfigurationError("\n".join((f"{where}the configuration is not valid:", *lines)), problems=problems)


def _variable(path: str) -> str:
    """The variable that has set a path: of that name, of something below it, or of what it is a part of."""
    keys = _keys(path)
    for length in range(len(keys), 0, -1):
        name = PREFIX + "__".join(keys[:length]).upper()
        for each in sorted(os.environ):
            if each in (name, f"{name}_FILE") or (length == len(keys) and each.startswith(f"{name}__")):
                return each
    return "DATABASE_URL"


def _has(values: Mapping[str, Any], path: str) -> bool:
    """Whether these values have something to say of a path."""
    found: Any = values
    for key in _keys(path):
        if not isinstance(found, Mapping):
            return True
        if key not in found:
            return False
        found = found[key]
    return found is not None


def _keys(path: str) -> list[str]:
    """The keys of a path, without the places in lists: those come in one value."""
    return [key.partition("[")[0] for key in path.split(".")]


def config_file(path: Path | str | None = None) -> Path | None:
    """The file that `load(path)` reads, or None where there is none; raises ConfigurationError if a named one is
    missing."""
    chosen = path or os.environ.get("AUTOMATION_CONFIG")
    file = Path(chosen) if chosen else Path("automation.yaml")
    if file.exists():
        return file
    if chosen:
        raise ConfigurationError(f"{file}: there is no such file")
    return None


def server_from_environment() -> tuple[str, str | None] | None:
    """The server that the command line talks to: `AUTOMATION_URL`, and the token of `AUTOMATION_TOKEN` or
    `AUTOMATION_TOKEN_FILE`. None where no server is named; raises ConfigurationError."""
    url = os.environ.get("AUTOMATION_URL")
    if not url:
        return None
    if not re.fullmatch(r"https?://[^\s/]+.*", url):
        raise ConfigurationError(f"AUTOMATION_URL: {url!r} is not an http:// or https:// address")
    token, file = os.environ.get("AUTOMATION_TOKEN"), os.environ.get("AUTOMATION_TOKEN_FILE")
    if not token and file:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigurationError(f"AUTOMATION_TOKEN_FILE: cannot read {file}: {reason}") from None
    return url.rstrip("/"), token or None


DEFINITION_KEYS = frozenset({"workflows", "alerts", "schedules", "services", "sources", "monitors"})
"""Top-level lists of definitions, which may also stand in `automation.yaml`."""

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}")


def read_yaml(file: Path) -> dict[str, Any]:
    """The settings of a file, with variables replaced; lists of definitions as they are. Raises ConfigurationError."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        raise ConfigurationError(f"{place}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: must be a mapping of settings, not {type(content).__name__}")
    lists = {key: value for key, value in content.items() if key in DEFINITION_KEYS}
    rest = {key: value for key, value in content.items() if key not in DEFINITION_KEYS}
    return {**cast(dict[str, Any], _substitute(rest, str(file))), **lists}


def _substitute(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, f"{path}: {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, path) for item in value]
    if isinstance(value, str):

        def replace(match: re.Match[str]) -> str:
            name, default = match.groups()
            text = os.environ.get(name, default)
            if text is None:
                raise ConfigurationError(f"{path}: the environment variable {name} is not set")
            return text

        return _VARIABLE.sub(replace, value)
    return value


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of both, those of `above` where both have one; None is none."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        elif value is not None:
            merged[key] = value
    return merged
