"""The outermost error handler: whatever a route raises becomes a problem+json answer."""

from __future__ import annotations

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automation.api.problems import kind_of, problem_response

log = logging.getLogger("automation.api")


class Failures:
    """Answers errors; those that are faults of ours are logged with the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except ClientDisconnect:
            log.debug("%s %s: the caller went away", scope["method"], scope["path"])
        except Exception as error:
            if kind_of(error).status == 500:
                log.exception("%s %r failed (request %s)", scope["method"], scope["path"], scope.get("request_id"))
            if begun:
                raise
            await problem_response(scope, error)(scope, receive, send)
