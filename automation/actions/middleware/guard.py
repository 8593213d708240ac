"""Whatever a handler raises becomes an ActionError, told without secrets; a dead handler never is a dead engine."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.errors import ActionCrashed, ActionError, AutomationError, Refused

log = logging.getLogger("automation.actions")


def guard() -> Middleware:
    """Middleware that turns any exception of a handler into an ActionError."""

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            try:
                return await handler(call)
            except (ActionError, asyncio.CancelledError):
                raise
            except AutomationError as error:
                # A part of the engine refused what the action asked of it: trying again gives the same answer.
                if error.retryable:
                    raise
                raise Refused(error.message) from error
            except Exception as error:  # a handler may raise anything; the supervised boundary is here
                frame = traceback.extract_tb(error.__traceback__)[-1]
                log.warning("%s raised %s", call.plugin.name, type(error).__name__, exc_info=error)
                where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno} in {frame.name}"
                raise ActionCrashed(
                    f"{type(error).__name__}: {error}", where=where, kind=type(error).__name__
                ) from error

        return call

    return around
