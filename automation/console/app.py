"""Joins the console to an application."""

from __future__ import annotations

import asyncio
import mimetypes
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from fastapi import FastAPI
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from automation.api.app import create_app
from automation.console import pages
from automation.console.desk import HOME, STATIC, Desk
from automation.console.gate import refusal, wants_page
from automation.engine import AutomationEngine

mimetypes.add_type("text/javascript", ".js")


def application(engine: AutomationEngine) -> FastAPI:
    """The REST interface of an engine with the console."""
    app = create_app(engine)
    attach(app, engine)
    return app


def attach(app: FastAPI, engine: AutomationEngine) -> None:
    """Add the console's pages to an application."""
    app.state.console = Desk(engine)
    if not hasattr(app.state, "closing"):
        app.state.closing = asyncio.Event()
    _answer_in_pages(app)
    app.mount(STATIC, _Static(directory=HOME / "static"))
    for module in iter_modules(pages.__path__):
        # As the REST routes: joined, not wrapped once more.
        app.router.routes.extend(import_module(f"{pages.__name__}.{module.name}").router.routes)


def _answer_in_pages(app: FastAPI) -> None:
    """Answer people whom no route answers with a page; programs as before."""
    otherwise: Any = app.exception_handlers.get(HTTPException, http_exception_handler)

    async def answer(request: Request, error: Exception) -> Response:
        if wants_page(request):
            return await refusal(request, error)
        response: Response = await otherwise(request, error)
        return response

    app.add_exception_handler(HTTPException, answer)


class _Static(StaticFiles):
    """Files whose addresses carry a hash of their content: a browser that has one need never ask again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for a year if its address says which version it is."""
        response = await super().get_response(path, scope)
        versioned = response.status_code == 200 and scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response
