"""The table of routes in `docs/reference/rest.md`, made from the application: `python -m automation.api.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute

from automation.api.openapi import TAGS, access_of, marked, summary_of
from automation.api.operations import RawRoute
from automation.api.problems import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rest.md"
_BLOCK = "<!-- {name}: made by automation.api.reference -->\n"
_END = "<!-- end -->"


def routes_table(app: FastAPI) -> str:
    """Every route by its tag: method, path, who may, and what it does."""
    parts = []
    for tag in TAGS:
        rows = [row for row_tag, row in _rows(app) if row_tag == tag["name"]]
        if rows:
            head = "| | | needs | |\n|---|---|---|---|"
            parts.append(f"### {tag['name'].capitalize()}\n\n{tag['description']}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def problems_table() -> str:
    """Every kind of problem with its status."""
    rows = [f"| {kind.status} | `{kind.reason}` | {kind.title} |" for kind in sorted(KINDS)]
    return "\n".join(["| status | `type` ends in | title |", "|---|---|---|", *rows]) + "\n"


def filled(page: str, app: FastAPI) -> str:
    """The page with its made parts made anew."""
    for name, text in (("routes", routes_table(app)), ("problems", problems_table())):
        begin = _BLOCK.format(name=name)
        before, _, rest = page.partition(begin)
        after = rest.partition(_END)[2]
        page = f"{before}{begin}\n{text}\n{_END}{after}"
    return page


def _rows(app: FastAPI) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, RawRoute):
            yield route.operation.tag, _row(route, route.operation.method)
        elif isinstance(route, APIRoute) and route.include_in_schema:
            for method in sorted(route.methods or ()):
                yield str(route.tags[0]), _row(route, method)


def _row(route: APIRoute | RawRoute, method: str) -> str:
    return f"| {method} | `{route.path_format}` | {marked(access_of(route))} | {summary_of(route)[0]} |"


def main() -> None:
    """Write the page."""
    from automation.api.app import create_app
    from automation.config import AutomationConfig
    from automation.engine import AutomationEngine

    app = create_app(AutomationEngine(AutomationConfig()))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), app), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
