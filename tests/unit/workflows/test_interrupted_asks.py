"""A critical action that was under way when the engine died: a person says whether it is run again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import WorkflowDefinition, WorkflowStatus
from automation.model.approval import Approval
from automation.model.execution import ExecutionDetail
from automation.testing import CRASH, After, EngineUnderTest, crash_and_recover, engine
from automation.workflows.asking import INTERRUPTED
from automation.workflows.plan import MOST_INTERRUPTIONS
from tests.support import side_effects  # noqa: F401 - registers the operations

HOUR = 3600.0


def workflow(**critical: Any) -> WorkflowDefinition:
    """Something that can be undone, then what must not be repeated by itself, then something more."""
    actions = [
        {"name": "before", "action_type": "side.undoable"},
        {"name": "a", "action_type": "side.critical", **critical},
        {"name": "after", "action_type": "side.again"},
    ]
    strategy = {"triggers": ["action_failure"]}
    return WorkflowDefinition.model_validate({"name": "w", "actions": actions, "rollback_strategy": strategy})


class Story:
    """An execution whose engine has died in the critical action."""

    def __init__(self, running: EngineUnderTest) -> None:
        self.running = running
        self.id = ""

    async def begin(self, definition: WorkflowDefinition) -> None:
        await self.running.register_workflow(definition)
        self.id = await self.running.start_workflow("w")
        await self.die()

    async def die(self) -> None:
        """Let the engine die in the action, and the next one take over."""

        async def never() -> bool:
            return False

        assert not await self.running.pass_time(never)
        assert self.running.recorder.crashed == "a"
        await self.restart()

    async def restart(self) -> None:
        self.running = await crash_and_recover(self.running)

    async def detail(self) -> ExecutionDetail:
        return await self.running.queries.execution_detail(self.id)

    async def answer(self, agreed: bool, reason: str = "") -> None:
        await self.running.decide(self.id, "a", agreed, reason=reason, actor="ann")

    async def ending(self) -> ExecutionDetail:
        await self.running.wait_for(self.id)
        return await self.detail()

    async def asked(self) -> list[Approval]:
        return list(await self.running.approvals.of(self.id))

    def ran(self, name: str) -> list[tuple[int, str]]:
        """The runs of an action: the attempt and the idempotency key of each."""
        return [(call.attempt, call.idempotency_key) for call in self.running.recorder.of(name)]


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    outcomes = {"before": {}, "a": [After(5, CRASH), {"done": True}], "after": {}, "before.undo": None}
    # Nobody is asked before it runs: only what was interrupted is asked about.
    async with engine(outcomes=outcomes) as running:
        yield Story(running)


async def test_it_waits_for_a_person_and_says_why(story: Story) -> None:
    await story.begin(workflow())

    with pytest.raises(TimeoutError, match="approve to run it again, deny to let it fail"):
        await story.running.wait_for(story.id)
    detail = await story.detail()
    assert detail.execution.status is WorkflowStatus.WAITING
    assert detail.actions[1].waits_for == "approval"
    assert len(story.ran("a")) == 1
    assert story.ran("after") == []
    [approval] = await story.asked()
    assert (approval.id, approval.action) == (detail.actions[1].approval, "a")
    assert INTERRUPTED in approval.reason


async def test_approved_it_is_run_again_with_the_same_key(story: Story) -> None:
    await story.begin(workflow())

    await story.answer(True)
    detail = await story.ending()

    assert detail.execution.status is WorkflowStatus.SUCCEEDED
    assert detail.actions[1].outputs == {"done": True}
    assert len(story.ran("a")) == 2
    assert len({key for _, key in story.ran("a")}) == 1
    assert len(story.ran("before")) == len(story.ran("after")) == 1


async def test_denied_it_fails_and_what_was_done_is_undone(story: Story) -> None:
    await story.begin(workflow())

    await story.answer(False, "the disk is half written")
    detail = await story.ending()

    assert detail.execution.status is WorkflowStatus.ROLLED_BACK
    assert len(story.ran("a")) == 1
    assert story.ran("after") == []
    assert len(story.ran("before.undo")) == 1
    error = detail.actions[1].error or {}
    assert error["type"] == "Interrupted"
    assert error["message"] == f"{INTERRUPTED}; not to be run again: the disk is half written"
    assert (detail.execution.error or {})["rollback"]["undone"] == ["before"]


@pytest.mark.parametrize(
    ("on_expiry", "kind", "status", "runs"),
    [
        ("deny", "Interrupted", WorkflowStatus.ROLLED_BACK, 1),
        ("fail", "ApprovalExpired", WorkflowStatus.ROLLED_BACK, 1),
        ("approve", None, WorkflowStatus.SUCCEEDED, 2),
    ],
)
async def test_when_nobody_answers_the_policy_decides(
    story: Story, on_expiry: str, kind: str | None, status: WorkflowStatus, runs: int
) -> None:
    await story.begin(workflow(approval={"expires": "1h", "on_expiry": on_expiry}))
    begun = story.running.clock.now()

    detail = await story.ending()

    assert story.running.clock.now() - begun == pytest.approx(HOUR, abs=10)
    assert detail.execution.status is status
    assert len(story.ran("a")) == runs
    assert (detail.actions[1].error or {}).get("type") == kind
    if kind is not None:
        assert "nobody has decided within 3600 s" in (detail.actions[1].error or {})["message"]


async def test_it_is_asked_once_however_often_the_engine_dies_meanwhile(story: Story) -> None:
    await story.begin(workflow())
    for _ in range(3):
        await story.restart()

    assert len(await story.asked()) == 1
    await story.answer(True)
    await story.restart()
    assert (await story.ending()).execution.status is WorkflowStatus.SUCCEEDED
    assert len(story.ran("a")) == 2


async def test_each_interruption_is_a_question_of_its_own(story: Story) -> None:
    story.running.recorder.set("a", [CRASH, CRASH, {}])
    await story.begin(workflow())

    await story.answer(True)
    await story.die()
    with pytest.raises(TimeoutError, match="approve to run it again"):
        await story.running.wait_for(story.id)
    assert len(story.ran("a")) == 2
    assert len(await story.asked()) == 2
    await story.answer(False)

    assert (await story.ending()).execution.status is WorkflowStatus.ROLLED_BACK
    assert len(story.ran("a")) == 2


async def test_what_kills_every_engine_is_asked_about_in_the_end(story: Story) -> None:
    story.running.recorder.set("a", [CRASH] * (MOST_INTERRUPTIONS + 1) + [{"done": True}])
    await story.begin(workflow(on_interrupt="retry"))
    for _ in range(MOST_INTERRUPTIONS):
        assert await story.asked() == []
        await story.die()

    with pytest.raises(TimeoutError, match="approve to run it again"):
        await story.running.wait_for(story.id)
    assert len(story.ran("a")) == MOST_INTERRUPTIONS + 1
    await story.answer(True)
    assert (await story.ending()).execution.status is WorkflowStatus.SUCCEEDED


@pytest.mark.parametrize(("on_interrupt", "status", "runs"), [("retry", "succeeded", 2), ("fail", "rolled_back", 1)])
async def test_a_definition_can_decide_beforehand(story: Story, on_interrupt: str, status: str, runs: int) -> None:
    await story.begin(workflow(on_interrupt=on_interrupt))

    assert (await story.ending()).execution.status.value == status
    assert len(story.ran("a")) == runs
    assert await story.asked() == []


async def test_an_answer_about_one_item_does_not_wait_for_the_others() -> None:
    action = {"name": "a", "action_type": "side.critical", "for_each": {"items": [0, 1, 2], "concurrency": 2}}
    outcomes = {"a[0]": [After(5, CRASH), {}], "a[1]": After(1, {}), "a[2]": After(200, {})}
    async with engine(outcomes=outcomes) as running:
        await running.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [action]}))
        execution_id = await running.start_workflow("w")

        async def never() -> bool:
            return False

        assert not await running.pass_time(never)
        running = await crash_and_recover(running)

        def runs(name: str) -> list[float]:
            return [call.at for call in running.recorder.of(name)]

        async def begun(name: str) -> bool:
            return len(runs(name)) == 2

        with pytest.raises(TimeoutError, match="2 items wait"):
            await running.wait_for(execution_id)
        await running.decide(execution_id, "a[2]", True, actor="ann")
        assert await running.pass_time(lambda: begun("a[2]"))
        await running.clock.advance(10)
        await running.decide(execution_id, "a[0]", True, actor="ann")
        await running.wait_for(execution_id)
        assert runs("a[0]")[1] == pytest.approx(runs("a[2]")[1] + 10, abs=1)


async def test_an_item_that_was_answered_and_has_ended_leaves_the_others_waiting() -> None:
    action = {"name": "a", "action_type": "side.critical", "for_each": {"items": [0, 1], "concurrency": 2}}
    async with engine(outcomes={"a[0]": [After(5, CRASH), {}], "a[1]": [After(9, {}), {}]}) as running:
        await running.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [action]}))
        execution_id = await running.start_workflow("w")
        with pytest.raises(TimeoutError, match="the engine is to die"):
            await running.wait_for(execution_id)
        running = await crash_and_recover(running)

        await running.decide(execution_id, "a[0]", True, actor="ann")
        with pytest.raises(TimeoutError, match=r"a\[1\] waits"):
            await running.wait_for(execution_id)
        detail = await running.queries.execution_detail(execution_id)
        assert [entry.kind for entry in detail.journal][-2:] == ["action_completed", "action_awaits"]
        await running.decide(execution_id, "a[1]", True, actor="ann")
        assert (await running.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED
