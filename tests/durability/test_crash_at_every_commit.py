"""Engines that die before and after each of their transactions: every execution ends, and nothing is done twice.

In this process and in virtual time; `test_killed_engines` does so with processes and SIGKILL, at random.
"""

from __future__ import annotations

import pytest

from automation import WorkflowDefinition
from tests.support.crashes import live
from tests.support.side_effects import WORKFLOWS

pytestmark = [pytest.mark.durability, pytest.mark.timeout(600)]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
async def test_it_goes_on_from_every_point(workflow: WorkflowDefinition) -> None:
    undisturbed = await live(workflow)
    (writes,) = undisturbed.writes
    assert writes >= 2

    for number in range(1, writes + 1):
        for when in ("before", "after"):
            lived = await live(workflow, [(number, when)])
            assert len(lived.writes) == 2, "the engine did not die"
