"""Asking people: quorum, expiry, escalation, who may answer, and what each level asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    DefinitionError,
    Event,
    ExecutionContext,
    NotFound,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.definitions import Definitions
from automation.errors import Conflict, Forbidden
from automation.model.approval import Approval, ApprovalStatus
from automation.model.identity import Identity
from tests.support import handlers

Make = Callable[..., AbstractAsyncContextManager[AutomationEngine]]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.broken.clear()
    handlers.gates.clear()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make(config: AutomationConfig, clock: VirtualClock) -> Make:
    """Engines on the test's database, with these settings and virtual time."""

    @asynccontextmanager
    async def engine(**settings: Any) -> AsyncIterator[AutomationEngine]:
        changed = AutomationConfig(database_url=config.database_url, data_dir=config.data_dir, **settings)
        async with AutomationEngine(changed, clock=clock) as running:
            yield running

    return engine


def critical(name: str = "drop", **approval: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type="test.critical", approval=approval or None)


def workflow(*actions: ActionDefinition, name: str = "w", **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition(name=name, actions=actions or (critical(),), **further)


async def until(engine: AutomationEngine, execution_id: str, status: WorkflowStatus) -> None:
    async with asyncio.timeout(30):
        while await engine.get_workflow_status(execution_id) is not status:
            await asyncio.sleep(0.005)


async def asking(
    engine: AutomationEngine, definition: WorkflowDefinition, actor: str = "local"
) -> tuple[str, Approval]:
    """An execution of it that waits for approval, and the approval."""
    await engine.register_workflow(definition)
    execution = await engine.start_workflow(definition.name, ExecutionContext(actor=actor))
    await until(engine, execution, WorkflowStatus.WAITING)
    (approval,) = await engine.approvals.of(execution)
    return execution, approval


async def later(clock: VirtualClock, seconds: float) -> None:
    """Let virtual time pass, and the threads of the database keep up with it."""
    for _ in range(10):
        await clock.advance(seconds / 10)
        await asyncio.sleep(0.02)


async def calls(count: int) -> None:
    async with asyncio.timeout(30):
        while len(handlers.calls) < count:
            await asyncio.sleep(0.01)


async def told(engine: AutomationEngine, kind: str) -> list[dict[str, Any]]:
    return [stored.event.data for stored in reversed((await engine.queries.events(type=kind)).items)]


def person(name: str, *roles: str, critical: bool = True) -> Identity:
    needed = "actions:execute_critical" if critical else "actions:execute_standard"
    return Identity(name, roles, frozenset({needed}))


class TestAsking:
    async def test_an_approval_is_a_row_with_all_there_is_to_know(self, make: Make, clock: VirtualClock) -> None:
        asked_at = clock.now()
        async with make() as engine:
            policy = {"quorum": 2, "expires": "1h30m", "escalate_after": 600, "notify": ["ops"], "roles": ["sre"]}
            execution, approval = await asking(engine, workflow(critical(**policy)), actor="ann")

            assert approval.execution_id == execution
            assert (approval.workflow, approval.action, approval.operation) == ("w", "drop", "test.critical")
            assert (approval.effect, approval.permission) == ("critical", "actions:execute_critical")
            assert approval.reason == "test.critical needs approval at level intelligent"
            assert (approval.started_by, approval.by_hand) == ("ann", True)
            assert approval.terms.quorum == 2
            assert approval.terms.expires_at == pytest.approx(asked_at + 5400, abs=10)
            assert approval.terms.escalate_at == pytest.approx(asked_at + 600, abs=10)
            assert (approval.terms.notify, approval.terms.roles) == (("ops",), ("sre",))
            assert approval.status is ApprovalStatus.PENDING
            detail = await engine.executions.show(execution)
            assert detail.actions[0].approval == approval.id
            assert (await engine.approvals.get(approval.id)) == approval
            assert (await engine.approvals.list(status=ApprovalStatus.PENDING)).items == (approval,)
            assert (await engine.approvals.list(status=ApprovalStatus.DENIED)).items == ()
            assert (await engine.approvals.list(workflow="other")).items == ()
            assert await engine.approvals.pending_count() == 1

    async def test_what_a_definition_does_not_say_is_as_configured(self, make: Make, clock: VirtualClock) -> None:
        settings = {"quorum": 3, "expires_seconds": 60, "on_expiry": "fail", "escalate_seconds": 30, "not_self": True}
        async with make(approvals={**settings, "roles": ["sre"]}) as engine:
            definition = workflow(critical(on_expiry="approve"), approval={"quorum": 2, "roles": ["lead"]})
            _, approval = await asking(engine, definition)

        terms = approval.terms
        assert (terms.quorum, terms.on_expiry, terms.roles, terms.not_self) == (2, "approve", ("lead",), True)
        assert terms.expires_at is not None
        assert terms.escalate_at is not None
        assert terms.expires_at - terms.escalate_at == 30

    async def test_asking_and_answering_are_events_that_can_start_something(self, make: Make) -> None:
        async with make() as engine:
            tells = workflow(
                ActionDefinition(
                    name="tell",
                    action_type="test.read",
                    parameters={"value": "${item} ${action}"},
                    for_each="${notify}",
                ),
                name="tell",
                triggers=[{"type": "event", "event": "approval_requested"}],
            )
            await engine.register_workflow(tells)
            execution, approval = await asking(engine, workflow(critical(notify=["ann", "bob"])))
            await calls(2)
            assert sorted(value for _, value in handlers.calls) == ["ann drop", "bob drop"]

            await engine.approvals.answer(approval.id, True, reason="fine", by=person("ann"))
            await until(engine, execution, WorkflowStatus.SUCCEEDED)

            (asked,) = await told(engine, "approval_requested")
            assert (asked["approval"], asked["execution"], asked["status"]) == (approval.id, execution, "pending")
            (answer,) = await told(engine, "approval_answered")
            assert (answer["status"], answer["agreed"]) == ("approved", 1)
            assert answer["answer"] == {"actor": "ann", "agreed": True, "reason": "fine"}

    async def test_what_an_approval_has_started_does_not_tell_of_its_own(self, make: Make) -> None:
        """Else a workflow that tells of approvals and must itself be approved would never come to an end."""
        async with make(level="assisted") as engine:
            asks = workflow(
                ActionDefinition(name="tell", action_type="test.record"),
                name="tell",
                triggers=[{"type": "event", "event": "approval_requested"}],
            )
            await engine.register_workflow(asks)
            await asking(engine, workflow())
            async with asyncio.timeout(30):
                while await engine.approvals.pending_count() < 2:
                    await asyncio.sleep(0.01)

            assert len(await told(engine, "approval_requested")) == 1

    async def test_a_list_is_asked_for_once(self, make: Make) -> None:
        async with make() as engine:
            each = ActionDefinition(name="each", action_type="test.critical", for_each=["a", "b", "c"])
            execution, approval = await asking(engine, workflow(each))

            await engine.decide(execution, "each", True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)

            assert [name for name, _ in handlers.calls] == ["each[0]", "each[1]", "each[2]"]
            assert approval.action == "each"

    async def test_independent_actions_ask_beside_one_another(self, make: Make) -> None:
        async with make() as engine:
            actions = [
                ActionDefinition(name=name, action_type="test.critical", depends_on=[]) for name in ("left", "right")
            ]
            await engine.register_workflow(workflow(*actions))
            execution = await engine.start_workflow("w")
            await until(engine, execution, WorkflowStatus.WAITING)

            await engine.decide(execution, "right", True)
            async with asyncio.timeout(30):
                while handlers.calls != [("right", None)]:
                    await asyncio.sleep(0.01)
            await engine.decide(execution, "left", True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert handlers.calls == [("right", None), ("left", None)]

    async def test_durations_are_checked_when_it_is_registered(self, make: Make) -> None:
        async with make() as engine:
            wrong = workflow(
                critical(expires="soon"),
                critical("other", expires="5m", escalate_after="1h"),
                approval={"escalate_after": "2 moons"},
            )
            with pytest.raises(DefinitionError) as caught:
                await engine.register_workflow(wrong)

        found = {problem.path: problem.message for problem in caught.value.problems}
        assert set(found) == {
            "actions[0].approval.expires",
            "actions[1].approval.escalate_after",
            "approval.escalate_after",
        }
        assert found["actions[1].approval.escalate_after"] == "would come when it has expired already"


class TestAnswering:
    async def test_a_quorum_has_to_agree_and_no_one_counts_twice(self, make: Make) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(quorum=2)))

            first = await engine.approvals.answer(approval.id, True, reason="yes", by=person("ann"))
            again = await engine.approvals.answer(approval.id, True, reason="yes!", by=person("ann"))
            assert (first.status, first.agreed, again) == (ApprovalStatus.PENDING, 1, first)
            assert await engine.get_workflow_status(execution) is WorkflowStatus.WAITING

            second = await engine.approvals.answer(approval.id, True, by=person("bob"))
            assert second.status is ApprovalStatus.APPROVED
            await until(engine, execution, WorkflowStatus.SUCCEEDED)

            (entry,) = [e for e in (await engine.executions.show(execution)).journal if e.kind == "approved"]
            assert [answer["actor"] for answer in entry.body["answers"]] == ["ann", "bob"]
            rows = (await engine.queries.audit(kind="workflow_execution")).items
            acts = [(row.act, row.actor, row.outcome) for row in reversed(rows) if row.act in ("ask", "approve")]
            assert acts == [("ask", "local", "ok"), ("approve", "ann", "pending"), ("approve", "bob", "approved")]

    async def test_one_denial_denies(self, make: Make) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(quorum=3)))

            await engine.approvals.answer(approval.id, True, by=person("ann"))
            denied = await engine.approvals.answer(approval.id, False, reason="not on a Friday", by=person("bob"))
            assert denied.status is ApprovalStatus.DENIED
            result = await engine.wait_for(execution)

            assert result.error == "drop: Denied: denied: not on a Friday"
            assert handlers.calls == []
            with pytest.raises(Conflict, match="does not wait for approval: it was denied by bob"):
                await engine.approvals.answer(approval.id, True, by=person("cy"))

    async def test_whoever_has_approved_may_still_deny(self, make: Make) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(quorum=2)))
            await engine.approvals.answer(approval.id, True, by=person("ann"))

            await engine.approvals.answer(approval.id, False, reason="I was wrong", by=person("ann"))

            assert (await engine.wait_for(execution)).status is WorkflowStatus.FAILED
            (answer,) = (await engine.approvals.get(approval.id)).answers
            assert (answer.actor, answer.agreed) == ("ann", False)

    async def test_all_at_once_are_all_counted(self, make: Make) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(quorum=8)))

            people = [person(f"p{number}") for number in range(8)]
            await asyncio.gather(*(engine.approvals.answer(approval.id, True, by=each) for each in people))

            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert {answer.actor for answer in (await engine.approvals.get(approval.id)).answers} == {
                each.name for each in people
            }

    async def test_who_started_it_may_not_be_the_only_one(self, make: Make) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(not_self=True)), actor="ann")

            alone = await engine.approvals.answer(approval.id, True, by=person("ann"))
            assert alone.status is ApprovalStatus.PENDING
            both = await engine.approvals.answer(approval.id, True, by=person("bob"))
            assert both.status is ApprovalStatus.APPROVED
            await until(engine, execution, WorkflowStatus.SUCCEEDED)

    async def test_who_sent_the_event_did_not_start_it_by_hand(self, make: Make) -> None:
        async with make() as engine:
            triggers = [{"type": "event", "event": "x"}]
            await engine.register_workflow(workflow(critical(not_self=True), triggers=triggers))
            (execution,) = (await engine.publish(Event(type="x", source="ann"))).executions
            await until(engine, execution, WorkflowStatus.WAITING)

            await engine.approvals.decide(execution, "drop", True, by=person("ann"))
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert handlers.calls == [("drop", None)]

    async def test_critical_needs_more_than_standard_and_roles_are_asked_for(self, make: Make) -> None:
        async with make(level="assisted") as engine:
            _, asked = await asking(engine, workflow(critical(roles=["sre", "lead"])))
            low = person("low", critical=False)

            with pytest.raises(Forbidden, match="actions:execute_critical"):
                await engine.approvals.answer(asked.id, True, by=low)
            with pytest.raises(Forbidden, match="whoever has the role sre or lead"):
                await engine.approvals.answer(asked.id, True, by=person("ann", "dev"))
            with pytest.raises(Forbidden):
                await engine.approvals.answer(asked.id, False, by=Identity("nobody"))
            await engine.approvals.answer(asked.id, True, by=person("bob", "lead"))

            standard = ActionDefinition(name="a", action_type="test.record")
            _, asked = await asking(engine, workflow(standard, name="standard"))
            assert (await engine.approvals.answer(asked.id, True, by=low)).status is ApprovalStatus.APPROVED

    async def test_a_denial_needs_no_more_than_standard(self, make: Make) -> None:
        async with make() as engine:
            _, asked = await asking(engine, workflow())
            assert (await engine.approvals.answer(asked.id, False, by=person("low", critical=False))).status is (
                ApprovalStatus.DENIED
            )

    async def test_what_does_not_exist_or_is_over_is_refused(self, make: Make) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow())
            with pytest.raises(NotFound):
                await engine.approvals.answer("nothing", True)
            with pytest.raises(NotFound):
                await engine.approvals.decide("nothing", None, True)
            with pytest.raises(Conflict, match="not proposed; name the action that waits for approval: drop"):
                await engine.approvals.decide(execution, None, True)
            with pytest.raises(Conflict, match=r"'other' of execution .* does not wait for approval"):
                await engine.approvals.decide(execution, "other", True)

            await engine.cancel(execution)
            await until(engine, execution, WorkflowStatus.CANCELLED)
            assert (await engine.approvals.get(approval.id)).status is ApprovalStatus.WITHDRAWN
            with pytest.raises(Conflict, match="it was withdrawn"):
                await engine.approvals.answer(approval.id, True)

    async def test_a_retry_asks_again(self, make: Make) -> None:
        async with make() as engine:
            execution, _ = await asking(engine, workflow())
            await engine.decide(execution, "drop", False)
            await engine.wait_for(execution)

            await engine.executions.retry(execution)
            await until(engine, execution, WorkflowStatus.WAITING)
            await engine.decide(execution, "drop", True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)

            found = [approval.status.value for approval in await engine.approvals.of(execution)]
            assert found == ["denied", "approved"]

    async def test_what_waits_is_withdrawn_when_another_action_has_failed(
        self, make: Make, clock: VirtualClock
    ) -> None:
        async with make() as engine:
            waits = ActionDefinition(name="waits", action_type="test.critical", depends_on=[])
            slow = ActionDefinition(name="slow", action_type="test.wait", parameters={"seconds": 5}, depends_on=[])
            fails = ActionDefinition(name="fails", action_type="test.fail", depends_on=["slow"])
            await engine.register_workflow(workflow(waits, slow, fails))
            execution = await engine.start_workflow("w")
            await until(engine, execution, WorkflowStatus.WAITING)
            await later(clock, 20)
            await until(engine, execution, WorkflowStatus.FAILED)

            (approval,) = await engine.approvals.of(execution)
            assert approval.status is ApprovalStatus.WITHDRAWN


NOBODY = "nobody has decided within 3600 s (0 of 1 have approved)"


class TestTime:
    @pytest.mark.parametrize(
        ("on_expiry", "status", "error"),
        [
            (
                "deny",
                WorkflowStatus.FAILED,
                "drop: Denied: denied: nobody has decided within 3600 s (0 of 1 have approved)",
            ),
            (
                "fail",
                WorkflowStatus.FAILED,
                "drop: ApprovalExpired: nobody has decided within 3600 s (0 of 1 have approved)",
            ),
            ("approve", WorkflowStatus.SUCCEEDED, None),
        ],
    )
    async def test_it_expires(
        self, make: Make, clock: VirtualClock, on_expiry: str, status: WorkflowStatus, error: str | None
    ) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(expires="1h", on_expiry=on_expiry)))
            await later(clock, 3500)
            assert await engine.get_workflow_status(execution) is WorkflowStatus.WAITING

            await later(clock, 200)
            result = await engine.wait_for(execution)

            assert (result.status, result.error) == (status, error)
            assert (await engine.approvals.get(approval.id)).status is ApprovalStatus.EXPIRED
            (event,) = await told(engine, "approval_expired")
            assert event["approval"] == approval.id
            with pytest.raises(Conflict, match="it was expired"):
                await engine.approvals.answer(approval.id, True)

    async def test_an_expiry_that_came_while_no_engine_ran_is_noticed_at_the_start(
        self, make: Make, clock: VirtualClock
    ) -> None:
        async with make() as engine:
            execution, _ = await asking(engine, workflow(critical(expires="1h")))
        await clock.advance(10_000)
        async with make() as engine:
            assert (await engine.wait_for(execution)).status is WorkflowStatus.FAILED

    async def test_it_escalates_once_and_can_still_be_answered(self, make: Make, clock: VirtualClock) -> None:
        async with make() as engine:
            escalates = workflow(
                ActionDefinition(name="page", action_type="test.read", parameters={"value": "${approval}"}),
                name="escalate",
                triggers=[{"type": "event", "event": "approval_escalated", "condition": "workflow == 'w'"}],
            )
            await engine.register_workflow(escalates)
            execution, approval = await asking(engine, workflow(critical(escalate_after="10m", expires="1h")))
            await later(clock, 700)
            await calls(1)
            assert handlers.calls == [("page", approval.id)]
            found = await engine.approvals.get(approval.id)
            assert 600 <= (found.escalated_at or 0.0) - approval.asked_at <= 701
            await later(clock, 700)
            assert len(await told(engine, "approval_escalated")) == 1
            await engine.decide(execution, "drop", True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)

    async def test_what_is_paused_can_be_answered_and_goes_on_when_it_is_resumed(
        self, make: Make, clock: VirtualClock
    ) -> None:
        async with make() as engine:
            execution, approval = await asking(engine, workflow(critical(expires="1h")))
            await engine.executions.pause(execution)
            await until(engine, execution, WorkflowStatus.PAUSED)

            await engine.approvals.answer(approval.id, True, by=person("ann"))
            await later(clock, 8000)
            assert await engine.get_workflow_status(execution) is WorkflowStatus.PAUSED
            assert handlers.calls == []

            await engine.executions.resume(execution)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert handlers.calls == [("drop", None)]

    async def test_a_retry_of_a_failed_attempt_does_not_ask_again(self, make: Make, clock: VirtualClock) -> None:
        async with make(level="assisted") as engine:
            retry = {"attempts": 2, "initial_seconds": 30, "jitter": False}
            flaky = ActionDefinition(
                name="flaky", action_type="test.fail", parameters={"times": 1, "how": "later"}, retry=retry
            )
            execution, approval = await asking(engine, workflow(flaky))
            await engine.approvals.answer(approval.id, True)
            await later(clock, 60)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert len(await engine.approvals.of(execution)) == 1


STANDARD = ActionDefinition(name="standard", action_type="test.record")
READ = ActionDefinition(name="read", action_type="test.read")


class TestLevels:
    @pytest.mark.parametrize(
        ("level", "asked"),
        [("assisted", ["standard", "drop"]), ("intelligent", ["drop"]), ("autonomous", [])],
    )
    async def test_each_level_asks_what_it_says(self, make: Make, level: str, asked: list[str]) -> None:
        async with make(level=level) as engine:
            await engine.register_workflow(workflow(READ, STANDARD, critical()))
            execution = await engine.start_workflow("w")
            for name in asked:
                await until(engine, execution, WorkflowStatus.WAITING)
                await engine.decide(execution, name, True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert [approval.action for approval in await engine.approvals.of(execution)] == asked

    @pytest.mark.parametrize(
        ("configured", "own", "asked"),
        [
            ("autonomous", "assisted", ["standard"]),
            ("intelligent", "autonomous", []),
            ("assisted", "autonomous", ["standard"]),
        ],
    )
    async def test_the_stricter_of_two_levels_holds(
        self, make: Make, configured: str, own: str, asked: list[str]
    ) -> None:
        async with make(level=configured) as engine:
            await engine.register_workflow(workflow(STANDARD, level=own))
            execution = await engine.start_workflow("w")
            if asked:
                await until(engine, execution, WorkflowStatus.WAITING)
                await engine.decide(execution, "standard", True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert [approval.action for approval in await engine.approvals.of(execution)] == asked

    async def test_a_looser_level_is_told_when_it_is_checked(self, make: Make) -> None:
        async with make(level="assisted") as engine:
            loose, strict = workflow(STANDARD, level="autonomous"), workflow(STANDARD, name="s", level="manual")
            (problem,) = engine.catalogue.check(Definitions(workflows=(loose, strict)))

        assert (problem.path, problem.severity) == ("workflows[0].level", "warning")
        assert problem.message == "autonomous asks less than the configured level assisted, which holds"

    async def test_an_action_can_ask_whatever_the_level(self, make: Make) -> None:
        async with make(level="autonomous") as engine:
            read = ActionDefinition(name="read", action_type="test.read", approval={"required": True})
            _, approval = await asking(engine, workflow(read))
            assert approval.reason == "test.read needs approval by its definition"
            assert approval.effect == "standard"

    async def test_a_proposal_of_a_workflow_that_is_stricter_waits_for_its_quorum(self, make: Make) -> None:
        async with make(level="autonomous") as engine:
            triggers = [{"type": "event", "event": "x"}]
            proposed = workflow(STANDARD, level="manual", approval={"quorum": 2}, triggers=triggers)
            await engine.register_workflow(proposed)
            (execution,) = (await engine.publish(Event(type="x"))).executions
            assert await engine.get_workflow_status(execution) is WorkflowStatus.PROPOSED
            (approval,) = await engine.approvals.of(execution)
            assert (approval.action, approval.effect, approval.by_hand) == (None, "standard", False)
            assert len(await told(engine, "approval_requested")) == 1

            await engine.approvals.answer(approval.id, True, by=person("ann", critical=False))
            assert await engine.get_workflow_status(execution) is WorkflowStatus.PROPOSED
            await engine.approvals.decide(execution, None, True, by=person("bob", critical=False))
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            row = await engine.queries.execution(execution)
            assert row.started_at is not None
            by_hand = await engine.execute_workflow("w")
            assert by_hand.status is WorkflowStatus.SUCCEEDED

    @pytest.mark.parametrize(
        ("on_expiry", "status"),
        [("deny", WorkflowStatus.CANCELLED), ("fail", WorkflowStatus.FAILED), ("approve", WorkflowStatus.SUCCEEDED)],
    )
    async def test_a_proposal_expires_and_touches_nothing(
        self, make: Make, clock: VirtualClock, on_expiry: str, status: WorkflowStatus
    ) -> None:
        async with make(level="manual") as engine:
            tidy = ActionDefinition(name="tidy", action_type="test.record", always=True)
            policy = {"expires": "1h", "escalate_after": "10m", "on_expiry": on_expiry}
            definition = workflow(STANDARD, tidy, approval=policy, triggers=[{"type": "event", "event": "x"}])
            await engine.register_workflow(definition)
            (execution,) = (await engine.publish(Event(type="x"))).executions
            await later(clock, 1000)
            assert len(await told(engine, "approval_escalated")) == 1
            assert await engine.get_workflow_status(execution) is WorkflowStatus.PROPOSED

            await later(clock, 3000)
            await until(engine, execution, status)

            assert [name for name, _ in handlers.calls] == (["standard", "tidy"] if on_expiry == "approve" else [])

    async def test_the_time_of_what_is_proposed_counts_from_its_approval(self, make: Make, clock: VirtualClock) -> None:
        async with make(level="manual") as engine:
            definition = workflow(STANDARD, timeout_seconds=60, triggers=[{"type": "event", "event": "x"}])
            await engine.register_workflow(definition)
            (execution,) = (await engine.publish(Event(type="x"))).executions
            await later(clock, 3600)

            await engine.decide(execution, None, True)

            async with asyncio.timeout(30):
                assert (await engine.wait_for(execution)).status is WorkflowStatus.SUCCEEDED

    async def test_a_proposal_that_is_denied_or_cancelled_touches_nothing(self, make: Make) -> None:
        async with make(level="manual") as engine:
            tidy = ActionDefinition(name="tidy", action_type="test.record", always=True)
            definition = workflow(STANDARD, tidy, triggers=[{"type": "event", "event": "x"}])
            await engine.register_workflow(definition)
            (denied,) = (await engine.publish(Event(type="x"))).executions
            (cancelled,) = (await engine.publish(Event(type="x"))).executions

            await engine.decide(denied, None, False, reason="no", actor="ann")
            await engine.cancel(cancelled, "too late")

            assert (await engine.wait_for(denied)).error == "no"
            assert (await engine.wait_for(cancelled)).error == "too late"
            assert handlers.calls == []
            assert {action.status.value for action in (await engine.executions.show(denied)).actions} == {"skipped"}
            (approval,) = await engine.approvals.of(cancelled)
            assert approval.status is ApprovalStatus.WITHDRAWN

    async def test_the_level_is_one_of_assisted_when_a_proposal_was_approved(self, make: Make) -> None:
        """At level manual the proposal is the one question: its actions are not asked for once more."""
        async with make(level="manual") as engine:
            await engine.register_workflow(workflow(critical(), triggers=[{"type": "event", "event": "x"}]))
            (execution,) = (await engine.publish(Event(type="x"))).executions
            await engine.decide(execution, None, True)
            await until(engine, execution, WorkflowStatus.SUCCEEDED)
            assert handlers.calls == [("drop", None)]


@pytest.fixture
async def pair(config: AutomationConfig) -> AsyncIterator[tuple[AutomationEngine, AutomationEngine]]:
    async with AutomationEngine(config) as one, AutomationEngine(config) as other:
        yield one, other


async def test_an_answer_by_way_of_another_node_reaches_an_execution_that_is_busy(
    pair: tuple[AutomationEngine, AutomationEngine],
) -> None:
    one, other = pair
    slow = ActionDefinition(name="slow", action_type="test.gate", depends_on=[])
    asks = ActionDefinition(name="asks", action_type="test.critical", depends_on=[])
    for each in pair:
        await each.register_workflow(workflow(slow, asks))
    execution = await one.start_workflow("w")
    async with asyncio.timeout(30):
        while not await one.approvals.of(execution):
            await asyncio.sleep(0.01)

    await other.decide(execution, "asks", True, actor="ann")

    async with asyncio.timeout(30):
        while ("asks", None) not in handlers.calls:
            await asyncio.sleep(0.01)
    handlers.open_gate(None)
    assert (await one.wait_for(execution)).status is WorkflowStatus.SUCCEEDED
    assert one.config.level is AutomationLevel.INTELLIGENT
