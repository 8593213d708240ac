"""What every database does for the rows by which people steer executions: wishes, approvals, seats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation.model.approval import Answer, Approval, ApprovalStatus, Terms
from automation.model.execution import Wish, WorkflowStatus
from automation.store import approvals, executions, records, seats, statements
from automation.store.statement import Op, Unexpected
from automation.store.store import Store
from tests.support.databases import Database

TERMS = Terms(2, 100.5, "fail", 50.25, ("ops",), ("sre", "lead"), True)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    store = Store(database.url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Store]:
    """A second store on the same database, as of another process."""
    store = Store(database.url)
    await store.open()
    yield store
    await store.close()


def execution(id: str, **further: Any) -> list[Op]:
    row: dict[str, Any] = dict.fromkeys(statements.EXECUTION.keys)
    row |= {"id": id, "workflow": "w", "status": "running", "priority": 2, "created_at": 1.0}
    digest, definition = records.definition("workflow", "w", "{}", 1.0)
    row |= {"definition_id": digest, "reason": "asked for", "actor": "ann", **further}
    return [definition, statements.EXECUTION(**row)]


def take(id: str, key: str = "k", limit: int = 2) -> Op:
    return seats.TAKE(workflow="w", key=key, execution_id=id, limit=limit)


async def outcomes(*commits: Any) -> list[type]:
    return [type(each) for each in await asyncio.gather(*commits, return_exceptions=True)]


class TestSeats:
    async def test_there_are_never_more_than_the_limit_whoever_comes_when(self, store: Store, other: Store) -> None:
        found = await outcomes(*((store, other)[number % 2].commit([take(f"e{number}")]) for number in range(12)))

        assert (found.count(type(None)), found.count(Unexpected)) == (2, 10)
        assert len(await seats.holders(store, "w", "k")) == 2
        await store.commit([take("x", key="other")])

    async def test_a_seat_that_was_left_can_be_taken_again(self, store: Store) -> None:
        await store.commit([take("a"), take("b")])
        await store.commit([seats.LEAVE(where_execution_id="a")])
        await store.commit([take("c")])
        with pytest.raises(Unexpected) as refused:
            await store.commit([take("d")])
        assert refused.value.statement == "seat_take"
        assert await seats.holders(store, "w", "k") == ("b", "c")

    async def test_nobody_has_two(self, store: Store) -> None:
        await store.commit([take("a", limit=5)])
        with pytest.raises(Unexpected) as refused:
            await store.commit([*execution("b"), take("a", limit=5)])
        assert refused.value.statement == "seat_take"
        assert await executions.get(store, "b") is None

    async def test_who_comes_next_is_by_priority_and_age(self, store: Store) -> None:
        for id, priority in (("a", 1), ("b", 3), ("c", 3), ("d", 2)):
            keyed = statements.EXECUTION_KEY(concurrency_key="k", where_id=id)
            await store.commit([*execution(id, status="pending", priority=priority), keyed])
        assert await seats.first_waiting(store, "w", "k") == "b"
        assert await seats.newest_waiting(store, "w", "k") == "d"
        assert await seats.queues(store) == [("w", "k")]

        await store.commit([take("b"), seats.ADMIT(node="n", started_at=2.5, where_id="b")])
        with pytest.raises(Unexpected):
            await store.commit([seats.ADMIT(node="m", started_at=3.0, where_id="b")])
        row = await executions.get(store, "b")
        assert row is not None
        assert (row.status, row.started_at, row.concurrency_key) == (WorkflowStatus.RUNNING, 2.5, "k")
        assert await seats.first_waiting(store, "w", "k") == "c"
        assert await seats.queues(store) == [("w", "k")]

    @pytest.mark.parametrize(("kept", "cancelled"), [(0, "abc"), (1, "ab"), (2, "a"), (3, "")])
    async def test_the_newest_are_kept(self, store: Store, kept: int, cancelled: str) -> None:
        for id in "abcd":
            keyed = statements.EXECUTION_KEY(concurrency_key="k", where_id=id)
            await store.commit([*execution(id), keyed])
        await store.commit(
            [*execution("p", status="proposed"), statements.EXECUTION_KEY(concurrency_key="k", where_id="p")]
        )

        await store.commit(
            [seats.REPLACE(cancel_reason="replaced", where_workflow="w", where_key="k", where_id="d", where_kept=kept)]
        )

        found = await executions.orphans(store, frozenset(), 10.0)
        asked = {each.id for each in found if (await _stored(store, each.id)).cancel_reason == "replaced"}
        assert asked == set(cancelled)


async def _stored(store: Store, id: str) -> executions.Stored:
    stored = await executions.load(store, id)
    assert stored is not None
    return stored


class TestWishes:
    async def test_what_cannot_be_asked_is_refused(self, store: Store) -> None:
        pause = executions.write_wish(Wish("pause", "ann", "why"))
        resume = executions.write_wish(Wish("resume", "bob", ""))
        await store.commit([*execution("a", node="n"), *execution("b", status="proposed")])
        for op in (
            statements.EXECUTION_PAUSE(wish=pause, where_id="b"),
            statements.EXECUTION_RESUME(wish=resume, where_id="a"),
        ):
            with pytest.raises(Unexpected):
                await store.commit([op])

        await store.commit([statements.EXECUTION_PAUSE(wish=pause, where_id="a")])
        assert await executions.asked_of(store, "n") == [executions.Asked("a", None, Wish("pause", "ann", "why"))]
        await store.commit([statements.EXECUTION_RESUME(wish=resume, where_id="a")])
        # Only the wish that was heeded goes: another has been made since.
        await store.commit([statements.EXECUTION_HEED(where_id="a", where_wish=pause)])
        assert (await _stored(store, "a")).execution.wish == Wish("resume", "bob", "")
        await store.commit([statements.EXECUTION_HEED(where_id="a", where_wish=resume)])
        assert (await _stored(store, "a")).execution.wish is None

    async def test_one_that_has_ended_is_taken_up_once(self, store: Store, other: Store) -> None:
        await store.commit(execution("a", status="failed", finished_at=7.125, error="{}", cancel_reason="x"))

        def retry(each: Store) -> Any:
            op = statements.EXECUTION_RETRY(status="running", node="n", where_id="a", where_finished_at=7.125)
            return each.commit([op])

        assert sorted(kind.__name__ for kind in await outcomes(retry(store), retry(other))) == [
            "NoneType",
            "Unexpected",
        ]
        row = await _stored(store, "a")
        assert (row.execution.finished_at, row.execution.error, row.cancel_reason, row.node) == (None, None, None, "n")


def approval(id: str = "a", **further: Any) -> Approval:
    values: dict[str, Any] = {
        "id": id,
        "execution_id": "e",
        "workflow": "w",
        "action": "drop",
        "operation": "test.critical",
        "effect": "critical",
        "reason": "why",
        "asked_at": 1.5,
        "started_by": "ann",
        "by_hand": True,
        "terms": TERMS,
    }
    return Approval(**{**values, **further})


class TestApprovals:
    async def test_one_is_read_back_as_it_was_written(self, store: Store) -> None:
        asked = approval(answers=(Answer("ann", True, "“fine”", 2.5),), escalated_at=3.5)
        whole = approval("b", action=None, operation=None, by_hand=False)
        await store.commit([approvals.insert(asked), approvals.insert(whole)])

        assert await approvals.get(store, "a") == asked
        assert await approvals.newest(store, "e", None) == whole
        assert await approvals.of_execution(store, "e") == (asked, whole)
        assert (await approvals.page(store, status=ApprovalStatus.PENDING, workflow="w", limit=1)).items == (whole,)
        assert await approvals.pending_count(store) == 2

    async def test_a_change_is_made_to_the_revision_that_was_read(self, store: Store, other: Store) -> None:
        await store.commit([approvals.insert(approval())])

        async def answer(each: Store, actor: str) -> None:
            read = await approvals.get(each, "a")
            assert read is not None
            changed = read.changed(answers=(*read.answers, Answer(actor, True, "", 2.0)))
            await each.commit([approvals.change(changed)])

        found = await outcomes(*(answer((store, other)[number % 2], str(number)) for number in range(6)))

        now = await approvals.get(store, "a")
        assert now is not None
        assert now.revision == len(now.answers) == found.count(type(None)) > 0
        denied = now.changed(status=ApprovalStatus.DENIED, decided_at=5.0)
        await store.commit([approvals.change(denied)])
        with pytest.raises(Unexpected):
            await store.commit([approvals.change(denied.changed(status=ApprovalStatus.APPROVED))])

    async def test_what_is_decided_is_found_until_it_is_settled(self, store: Store) -> None:
        await store.commit([*execution("e", status="waiting"), approvals.insert(approval())])
        assert await approvals.answered(store) == []
        decided = approval().changed(status=ApprovalStatus.EXPIRED, decided_at=5.0)
        await store.commit([approvals.change(decided)])
        assert await approvals.answered(store) == [approvals.Answered("e", "w", None, "waiting")]
        assert await approvals.unsettled(store, "e") == (decided,)
        await store.commit([statements.APPROVAL_SETTLE(settled_at=6.0, where_id="a")])
        assert await approvals.answered(store) == []

    async def test_what_nobody_needs_any_more_is_withdrawn(self, store: Store) -> None:
        decided = approval("b").changed(status=ApprovalStatus.APPROVED, decided_at=5.0)
        await store.commit([approvals.insert(approval()), approvals.insert(approval("b")), approvals.change(decided)])
        await store.commit([statements.APPROVALS_WITHDRAW(settled_at=9.0, where_execution_id="e")])

        assert [each.status.value for each in await approvals.of_execution(store, "e")] == ["withdrawn", "approved"]
        assert await approvals.pending_count(store) == 0
