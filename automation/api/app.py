"""The application: every route of `routes/`, behind the middleware that holds for all of them."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from automation import __version__
from automation.api import routes
from automation.api.middleware.body import BodyLimit
from automation.api.middleware.failures import Failures
from automation.api.middleware.headers import SecurityHeaders
from automation.api.middleware.request_id import RequestId
from automation.api.openapi import document
from automation.api.operations import RawRoute
from automation.api.problems import on_error
from automation.api.routes.remote_write import PATH as REMOTE_WRITE
from automation.engine import AutomationEngine
from automation.security.signatures import Signatures
from automation.sources.normalise import Normalise

DESCRIPTION = """Operations automation: events and metrics in, durable workflows out.

Send a token as `Authorization: Bearer <token>`. Lists are paged by `limit` and `cursor`. Errors are
`application/problem+json`. What is answered with 2xx is on disk.
"""


class Api(FastAPI):
    """FastAPI with our own OpenAPI document.

    `state.engine` is the engine; the event `state.closing` is set when the server stops.
    """

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if not self.openapi_schema:
            self.openapi_schema = document(self)
        return self.openapi_schema


def create_app(engine: AutomationEngine) -> FastAPI:
    """The REST interface of an engine; the engine is started and stopped by whoever made it."""
    app = Api(
        title="automation",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # FastAPI's own, which would look for exporters in the environment with each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        # From the outside in.
        middleware=[
            Middleware(RequestId),
            Middleware(SecurityHeaders),
            Middleware(BodyLimit, max_bytes=engine.config.api.max_body_bytes, codings={REMOTE_WRITE: b"snappy"}),
            Middleware(Failures),
        ],
        exception_handlers={HTTPException: on_error, RequestValidationError: on_error},
    )
    app.state.engine = engine
    app.state.signatures = Signatures(engine.clock, engine.secrets.get)
    app.state.normalisers = {
        name: Normalise(webhook.normalise, f"webhooks.{name}.normalise")
        for name, webhook in engine.config.webhooks.items()
    }
    app.state.closing = asyncio.Event()
    found = [route for router in _routers() for route in router.routes]
    # Not `include_router`, which would wrap each route once more. Routes are tried in order: the most called go first.
    app.router.routes.extend(sorted(found, key=lambda route: not isinstance(route, RawRoute)))
    return app


def _routers() -> Iterator[APIRouter]:
    for module in pkgutil.iter_modules(routes.__path__):
        yield importlib.import_module(f"{routes.__name__}.{module.name}").router
