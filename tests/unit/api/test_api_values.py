"""Large values over REST: a reference in the execution, the value at its own address."""

from __future__ import annotations

from typing import Any

import pytest

from automation import AutomationConfig, ExecutionContext

from .conftest import Face

TEXT = "x" * 5000
KEEP = {"name": "keep", "action_type": "test.record", "parameters": {"values": {"log": "${log}", "n": 1}}}


@pytest.fixture
def config(config: AutomationConfig) -> AutomationConfig:
    """Where large begins at a kilobyte."""
    return config.model_copy(update={"store": config.store.model_copy(update={"inline_bytes": 1024})})


async def test_an_execution_has_references_and_each_leads_to_its_value(face: Face, admin: Any) -> None:
    await face.workflow("w", KEEP)
    result = await face.engine.execute_workflow("w", ExecutionContext({"log": TEXT}))
    path = f"/api/v1/executions/{result.execution_id}"

    shown = (await admin.get(path)).json()
    reference = shown["actions"][0]["outputs"]["log"]
    assert reference == {"$ref": reference["$ref"], "size": 5002}
    assert shown["actions"][0]["outputs"]["n"] == 1
    assert shown["variables"] == {"log": reference}
    journal = (await admin.get(f"{path}/journal")).json()["items"]
    assert journal[2]["body"]["outputs"]["log"] == reference

    digest = reference["$ref"].removeprefix("sha256:")
    value = await admin.get(f"{path}/values/{digest}")
    assert value.headers["content-type"] == "application/json"
    assert value.json() == TEXT
    assert (await admin.get(path, params={"whole": "true"})).json()["actions"][0]["outputs"]["log"] == TEXT


async def test_a_value_is_had_by_way_of_its_execution_only(face: Face, admin: Any) -> None:
    await face.workflow("w", KEEP)
    one = await face.engine.execute_workflow("w", ExecutionContext({"log": TEXT}))
    other = await face.engine.execute_workflow("w", ExecutionContext({"log": "short"}))
    path = f"/api/v1/executions/{one.execution_id}"
    reference = (await admin.get(path)).json()["variables"]["log"]["$ref"]
    digest = reference.removeprefix("sha256:")

    missing = await admin.get(f"/api/v1/executions/{other.execution_id}/values/{digest}")
    assert missing.status_code == 404
    assert (await admin.get(f"{path}/values/{'0' * 64}")).status_code == 404
    assert (await admin.get(f"{path}/values/nonsense")).status_code == 400
    source = await face.as_role("automation_source")
    assert (await source.get(f"{path}/values/{digest}")).status_code == 403
    assert (await (await face.client()).get(f"{path}/values/{digest}")).status_code == 401
