"""Read the parameters as the operation's model, unknown keys refused, before anything is touched."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from automation.actions.call import Call, Handler, Middleware
from automation.errors import Refused
from automation.plugins import validation_problems


def validate() -> Middleware:
    """Middleware that validates parameters; wrong ones are Refused with every problem."""

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            if call.settings is None:
                try:
                    call.settings = call.read()
                except ValidationError as error:
                    problems = "; ".join(str(problem) for problem in validation_problems(error, "parameters"))
                    raise Refused(f"the parameters do not fit {call.plugin.name}: {problems}") from None
            return await handler(call)

        return call

    return around
