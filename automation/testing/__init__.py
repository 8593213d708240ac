"""Tests of what you automate: virtual time, stand-ins for real operations and channels, throw-away databases.

    result = await run_workflow(workflow, outcomes={"infrastructure.*": {}}, variables={"service": "encoder"})
    assert result.status is WorkflowStatus.SUCCEEDED

A wait of three days takes milliseconds: time is skipped to the next moment at which anything is due. No operation runs
for real unless the test allows it, and no message leaves.
"""

from automation.clock import VirtualClock
from automation.testing.recorder import CRASH, REAL, After, Recorded, Recorder, Sent
from automation.testing.rehearsal import Answer, Rehearsal, run_workflow
from automation.testing.stage import EngineUnderTest, crash_and_recover, engine

__all__ = [
    "CRASH",
    "REAL",
    "After",
    "Answer",
    "EngineUnderTest",
    "Recorded",
    "Recorder",
    "Rehearsal",
    "Sent",
    "VirtualClock",
    "crash_and_recover",
    "engine",
    "run_workflow",
]
