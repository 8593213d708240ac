"""A number or boolean that an expression gives in the place of a text is written as one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from automation import ActionDefinition, AutomationEngine, ExecutionContext, WorkflowDefinition, action
from automation.errors import DefinitionError


class Params(BaseModel):
    text: str | None = None
    texts: list[str] = []
    facts: dict[str, str] = {}
    number: int = 0
    either: list[str] | str = ""


@action("texts.echo")
async def echo(params: Params) -> dict[str, Any]:
    """Return what was given."""
    return params.model_dump()


async def run(engine: AutomationEngine, parameters: dict[str, Any], **variables: Any) -> Any:
    step = ActionDefinition(name="act", action_type="texts.echo", parameters=parameters, retry_attempts=1)
    await engine.register_workflow(WorkflowDefinition(name="w", actions=[step]))
    return await engine.execute_workflow("w", ExecutionContext(variables=variables))


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (1.5, "1.5"), (True, "true"), (False, "false"), (10**18, "1000000000000000000")]
)
async def test_it_is_written_as_within_a_text(engine: AutomationEngine, value: Any, text: str) -> None:
    parameters = {"text": "${v}", "texts": ["a", "${v}", "-${v}-"], "facts": {"v": "${v}"}}

    outputs = (await run(engine, parameters, v=value)).outputs["act"]

    assert outputs["text"] == outputs["texts"][1] == outputs["facts"]["v"] == text
    assert outputs["texts"][2] == f"-{text}-"


async def test_what_is_no_plain_value_is_refused(engine: AutomationEngine) -> None:
    for value in ([1], {"a": 1}):
        result = await run(engine, {"texts": ["${v}"]}, v=value)
        assert "parameters.texts[0]" in (result.error or "")
    for parameters in ({"text": "${v}", "number": "${w}"}, {"either": "${v}"}):
        assert "parameters" in ((await run(engine, parameters, v=1, w="x")).error or "")


async def test_a_number_in_the_definition_is_told_to_be_quoted(engine: AutomationEngine) -> None:
    # 1.10 is a version to whoever wrote it, and 1.1 to whoever reads it.
    with pytest.raises(DefinitionError, match=r"parameters\.texts\[1\]: must be a text; write it in quotes"):
        await run(engine, {"texts": ["${v}", 1.10]}, v=1)
