"""What every page has in common: the templates, the reader's theme, the headers of an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from automation import __version__
from automation.console import icons, words
from automation.engine import AutomationEngine
from automation.errors import InputError
from automation.model.identity import Identity

E = TypeVar("E", bound=Enum)

HOME = Path(__file__).parent
STATIC = "/console/static"
THEME_COOKIE = "automation_theme"
THEMES = ("auto", "dark", "light")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Not `no-referrer`: browsers would then hide the origin of forms from us as well.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_NAVIGATION = (
    ("overview", "/", "Overview", None),
    ("executions", "/executions", "Executions", "workflows:view"),
    ("approvals", "/approvals", "Approvals", "workflows:view"),
    ("workflows", "/workflows", "Workflows", "workflows:view"),
    ("events", "/events", "Events", "events:view"),
    ("alerts", "/alerts", "Alerts", "alerts:view"),
    ("guardrails", "/guardrails", "Guardrails", "workflows:view"),
)


class Desk:
    """Lays pages out for one engine."""

    def __init__(self, engine: AutomationEngine) -> None:
        self.engine = engine
        self._environment = Environment(
            loader=FileSystemLoader(HOME / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"icon": icons.icon, "static": _static_urls(), "version": __version__}
        self._environment.filters |= {
            "ago": self._ago,
            "brief": words.brief,
            "duration": words.duration,
            "event_path": event_path,
            "failure": words.failure,
            "json": words.as_json,
            "large_in": words.large_in,
            "moment": words.moment,
            "size": words.size,
            "said": lambda status: status.replace("_", " "),
            "tone": icons.tone,
        }
        self._environment.globals["parts"] = self._environment.get_template("parts.html").module

    def page(
        self, request: Request, template: str, *, identity: Identity | None, code: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page; or, where htmx asks for a refresh of one, only the part of it that changes."""
        found = self._environment.get_template(template)
        now = self.engine.clock.now()
        values = {
            "identity": identity,
            "theme": theme_of(request),
            "now": now,
            "clock": words.stamp(now),
            # Where a reader can come back to: what answers a form cannot be asked for again.
            "here": here(request) if request.method == "GET" else "/",
            "navigation": [entry for entry in _NAVIGATION if identity and (entry[3] is None or identity.may(entry[3]))],
            "section": "",
            "code": code,
            "watch": None,
            "watch_ends": False,
            **values,
        }
        if "hx-request" in request.headers and "live" in found.blocks and code == 200:
            content = "".join(found.blocks["live"](found.new_context(values)))
            # htmx takes 286 as: here is the content, and there will be no other.
            return HTMLResponse(content, 286 if values.get("settled") else 200, headers=HEADERS)
        return HTMLResponse(found.render(values), code, headers=HEADERS)

    def _ago(self, at: float | None) -> Markup:
        if at is None:
            return Markup("–")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            words.stamp(at), words.moment(at), words.ago(at, self.engine.clock.now())
        )


def desk_of(request: Request) -> Desk:
    """The desk of this application."""
    desk: Desk = request.app.state.console
    return desk


def theme_of(request: Request) -> str:
    """The theme that the reader has chosen, or `auto`."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def here(request: Request) -> str:
    """The address of a page within this site."""
    query = request.url.query
    return f"{quote(request.url.path)}?{query}" if query else quote(request.url.path)


def local(path: str | None) -> str:
    """An address within this site to go on to; anything else becomes the first page."""
    # Browsers read `//host`, `/\\host` and addresses with control characters in them as other sites.
    if not path or not path.startswith("/") or path[1:2] in ("/", "\\") or any(ord(c) < 33 or c == "\\" for c in path):
        return "/"
    return path


def choice(kind: type[E], text: str, name: str) -> E | None:
    """What a filter says, or None if it is left empty; raises InputError."""
    try:
        return kind(text) if text else None
    except ValueError:
        known = ", ".join(str(item.value) for item in kind)
        raise InputError(f"{name}: must be one of {known}, not {text[:50]!r}") from None


def address(path: str, parameters: Mapping[str, str | None]) -> str:
    """An address with those of the parameters that have a value."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{query}" if query else path


def event_path(event_id: str, source: str | None) -> str:
    """The address of an event's page. Its id may be any text."""
    return address(f"/events/{quote(event_id, safe='')}", {"source": source})


def _static_urls() -> dict[str, str]:
    """The addresses of static files by name, each with a hash of its content, so that it can be kept for good."""
    urls = {}
    for file in sorted((HOME / "static").rglob("*")):
        if file.suffix in (".css", ".js", ".svg"):
            name = file.relative_to(HOME / "static").as_posix()
            urls[name] = f"{STATIC}/{name}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    return urls
