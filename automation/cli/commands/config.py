"""`automation config`."""

from __future__ import annotations

import re
from typing import Any

import typer

from automation.cli.command import Session, command

MASK = "***"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    config = typer.Typer(help="The configuration.", no_args_is_help=True)
    app.add_typer(config, name="config")

    @command(config, "show")
    def show(session: Session) -> None:
        """Show every setting; secrets are masked."""
        from automation.config_sources import config_file

        settings = session.config()
        values = masked(settings)
        # Where it is may hold a password.
        values["database_url"] = _without_password(settings.database)
        if session.out.as_json:
            session.out.document(values)
            return
        file = config_file(session.config_file)
        session.out.line(f"# {file or 'no configuration file'}")
        session.out.facts(dict(_flat(values)))


def masked(model: Any) -> dict[str, Any]:
    """The values of a settings model as plain data, with `***` for each secret that is set."""
    from pydantic import BaseModel, SecretStr

    def plain(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return masked(value)
        if isinstance(value, SecretStr):
            return MASK
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value if isinstance(value, (str, int, float, bool, type(None))) else str(getattr(value, "value", value))

    return {name: plain(getattr(model, name)) for name in type(model).model_fields}


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, "(not set)" if value is None else "(none)" if value in ({}, []) else value))
    return found


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit

    password = urlsplit(url).password
    shown = url.replace(f":{password}@", f":{MASK}@") if password else url
    return re.sub(r"([?&]password=)[^&]*", rf"\1{MASK}", shown)
