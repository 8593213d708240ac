"""What every database does for the store: what is committed together, what is refused alone, what is read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Boolean, Double, LargeBinary, select, text
from sqlalchemy.engine import Connection

from automation.config import Audit
from automation.config import Store as Settings
from automation.errors import EngineStopped, InputError, SchemaError, StoreError
from automation.model.alert import Alert, AlertState
from automation.model.event import Event
from automation.model.execution import WorkflowStatus
from automation.store import alerts, events, executions, records, statements, tables
from automation.store.alerts import Notification
from automation.store.audit import Fact
from automation.store.statement import Op, Statement, Unexpected
from automation.store.store import Store
from tests.support.databases import Database

FACT = Fact(1.5, "action_execution", "ann", "test.record", "e1")


def opened(database: Database, audit: Audit | None = None) -> Store:
    return Store(database.url, Settings(busy_timeout_seconds=5.0), audit)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    store = opened(database)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Store]:
    """A second store on the same database, as of another process."""
    store = opened(database)
    await store.open()
    yield store
    await store.close()


def entry(execution: str, seq: int, at: float = 1.0, body: str = "{}") -> Op:
    return statements.JOURNAL(execution_id=execution, seq=seq, at=at, kind="k", action=None, body=body)


def execution(id: str, statement: Statement = statements.EXECUTION, **further: Any) -> list[Op]:
    """The writes that store an execution."""
    row: dict[str, Any] = dict.fromkeys(statement.keys)
    row |= {"id": id, "workflow": "w", "status": "running", "priority": 2, "created_at": 1.0}
    digest, definition = records.definition("workflow", "w", "{}", 1.0)
    row |= {"definition_id": digest, "reason": "asked for", "actor": "ann", **further}
    return [definition, statement(**row)]


def claim(id: str, node: str, former: str | None) -> Op:
    return statements.EXECUTION_CLAIM(node=node, status="running", where_id=id, where_node=former)


async def count(store: Store, table: str) -> int:
    row = await store.first(text(f"SELECT count(*) AS n FROM {table}"))
    assert row is not None
    return int(row.n)


async def outcomes(*commits: Any) -> list[type]:
    found = await asyncio.gather(*commits, return_exceptions=True)
    return [type(each) for each in found]


async def test_many_callers_share_few_transactions(store: Store) -> None:
    await asyncio.gather(*(store.commit([entry("e", seq)], [FACT]) for seq in range(500)))

    assert await count(store, "journal") == 500
    assert store.writer.batches < 50
    assert await records.verify_audit(store) == (500, [])


async def test_long_lists_do_not_all_share_one_transaction(store: Store) -> None:
    def arrives(number: int) -> Any:
        return store.commit([entry(f"e-{number}", seq) for seq in range(10_000)])

    await asyncio.gather(*map(arrives, range(5)))

    assert store.writer.batches == 3
    assert await count(store, "journal") == 50_000


async def test_one_that_is_refused_does_not_harm_the_others(store: Store) -> None:
    await store.commit([entry("e", 1)])

    found = await outcomes(*(store.commit([entry("f", seq), entry("e", seq)], [FACT]) for seq in (1, 2, 3)))

    assert found == [StoreError, type(None), type(None)]
    assert await count(store, "journal") == 5, "nothing of the refused list is there"
    assert await records.verify_audit(store) == (2, [])


async def test_a_few_that_are_refused_among_many_are_found(store: Store) -> None:
    await store.commit([entry("e", seq) for seq in (17, 18, 400)])

    found = await outcomes(*(store.commit([entry("e", seq)], [FACT]) for seq in range(500)))

    assert [seq for seq, outcome in enumerate(found) if outcome is StoreError] == [17, 18, 400]
    assert await count(store, "journal") == 500
    assert await records.verify_audit(store) == (497, [])


async def test_a_guarded_write_undoes_all_that_belongs_to_it(store: Store) -> None:
    event = Event(type="x", id="1", source="s")
    together = [events.insert(event, 1.0, True), entry("e", 1)]
    again = [events.insert(event, 1.0, True), entry("e", 2)]

    await store.commit(together, [FACT])
    with pytest.raises(Unexpected) as caught:
        await store.commit(again, [FACT])

    assert caught.value.statement == "event"
    assert await count(store, "journal") == 1
    assert await records.audit_count(store) == 1


async def test_a_long_list_with_one_event_that_is_there_writes_nothing_and_harms_no_other(store: Store) -> None:
    def row(number: int) -> Op:
        return events.insert(Event(type="x", id=f"{number}", source="s"), 1.0, True)

    await store.commit([row(3)])
    await store.commit([row(400)])

    found = await outcomes(
        store.commit([row(1), entry("e", 1)], [FACT]),
        store.commit([*map(row, range(200, 500)), entry("e", 2)], [FACT]),
        store.commit([*map(row, range(2, 100)), entry("e", 3)], [FACT]),
        store.commit([*map(row, range(600, 900)), entry("e", 4)], [FACT]),
    )

    assert found == [type(None), Unexpected, Unexpected, type(None)]
    assert await count(store, "events") == 2 + 1 + 300
    rows = await store.fetch(select(tables.journal.c.seq).order_by(tables.journal.c.seq))
    assert [row.seq for row in rows] == [1, 4]
    assert await records.verify_audit(store) == (2, [])


async def test_one_event_each_of_many_callers_is_refused_alone(store: Store) -> None:
    def arrives(number: int) -> Any:
        return store.commit([events.insert(Event(type="x", id=f"{number}", source="s"), 1.0, False)])

    await arrives(40)

    found = await outcomes(*(arrives(number % 150) for number in range(300)))

    assert [number for number, outcome in enumerate(found) if outcome is type(None)] == [
        number for number in range(150) if number != 40
    ]
    assert set(found) == {type(None), Unexpected}
    rows = await store.fetch(select(tables.events.c.id).order_by(tables.events.c.seq))
    assert [row.id for row in rows] == ["40", *(str(number) for number in range(150) if number != 40)]


async def test_the_first_of_equal_events_wins_also_within_a_batch(store: Store) -> None:
    def arrives(number: int, id: str) -> Any:
        return store.commit([events.insert(Event(type="x", id=id, source="s"), 1.0, True), entry("e", number)], [FACT])

    found = await outcomes(*(arrives(number, str(number % 5)) for number in range(12)))

    assert found == [type(None)] * 5 + [Unexpected] * 7
    rows = await store.fetch(select(tables.journal.c.seq).order_by(tables.journal.c.seq))
    assert [row.seq for row in rows] == [0, 1, 2, 3, 4]
    assert await records.verify_audit(store) == (5, [])


async def test_what_comes_later_to_the_same_row_is_what_is_kept(store: Store) -> None:
    def ends(status: str) -> list[Op]:
        end = {"finished_at": 2.0, "error": None, "node": None, "wake_at": None, "where_id": "e"}
        return [statements.EXECUTION_END(status=status, **end)]

    def stands(status: str) -> list[Op]:
        return [statements.EXECUTION_STATUS(status=status, wake_at=9.0, node="n", where_id="e")]

    def at(place: int) -> list[Op]:
        return [records.save_position("p", place, float(place))]

    # One list: an execution that starts, waits twice and ends in one transaction. Others, in the same one: a position
    # that moves, and one that is moved and removed.
    await asyncio.gather(
        store.commit([*execution("e"), *stands("waiting"), *stands("paused"), *ends("failed"), *ends("succeeded")]),
        *(store.commit(at(place)) for place in range(1, 6)),
        store.commit([records.save_position("q", 1, 1.0), statements.POSITION_DELETE(where_name="q")]),
        store.commit(execution("f")),
    )

    row = await store.first(select(tables.executions).where(tables.executions.c.id == "e"))
    assert row is not None
    assert (row.status, row.finished_at, row.wake_at, row.node) == ("succeeded", 2.0, None, None)
    assert await records.all_positions(store, "") == {"p": 5}
    assert await count(store, "executions") == 2


async def test_an_execution_is_claimed_by_one(store: Store, other: Store) -> None:
    ids = [f"e{number}" for number in range(40)]
    await store.commit([op for id in ids for op in execution(id)])

    both = [(id, turn, each) for id in ids for turn, each in enumerate((store, other))]
    found = await outcomes(*(each.commit([claim(id, f"node-{turn}", None)]) for id, turn, each in both))

    ours = {id: f"node-{turn}" for (id, turn, _), outcome in zip(both, found, strict=True) if outcome is type(None)}
    assert set(found) == {type(None), Unexpected}
    assert found.count(type(None)) == len(ids) == len(ours)
    rows = await store.fetch(select(tables.executions.c.id, tables.executions.c.node))
    assert {row.id: row.node for row in rows} == ours


async def test_who_was_taken_for_dead_does_not_let_go_of_what_another_holds(store: Store) -> None:
    await store.commit([op for id in "ef" for op in execution(id, node="one")])
    await store.commit([claim("e", "other", "one")])

    await store.commit(
        [statements.EXECUTION_PARK(status="waiting", wake_at=9.0, where_id=id, where_node="one") for id in ("e", "f")]
    )

    rows = await store.fetch(select(tables.executions).order_by(tables.executions.c.id))
    assert [(row.node, row.status, row.wake_at) for row in rows] == [("other", "running", None), (None, "waiting", 9.0)]


def retry(id: str, node: str, finished_at: float) -> Op:
    return statements.EXECUTION_RETRY(status="running", node=node, where_id=id, where_finished_at=finished_at)


async def test_the_second_of_two_within_a_batch_is_refused(store: Store) -> None:
    await store.commit([op for id in "efg" for op in execution(id, finished_at=5.0)])

    found = await outcomes(
        store.commit([retry("e", "one", 5.0)]),
        store.commit([retry("e", "other", 5.0)]),
        store.commit([retry("f", "other", 5.0), entry("f", 1)]),
        store.commit([retry("g", "one", 6.0), entry("g", 1)]),
        store.commit([entry("g", 2), retry("g", "one", 6.0)]),
    )

    assert found == [type(None), Unexpected, type(None), Unexpected, Unexpected]
    rows = await store.fetch(select(tables.executions).order_by(tables.executions.c.id))
    assert [row.node for row in rows] == ["one", "other", None]
    assert await count(store, "journal") == 1


async def test_a_guard_sees_what_was_written_before_it_in_the_same_batch(store: Store) -> None:
    await store.commit(execution("e", node="one", finished_at=5.0))

    found = await outcomes(store.commit([finish("e", 6.0)]), store.commit([retry("e", "other", 6.0)]))

    assert found == [type(None), type(None)]


def finish(id: str, at: float) -> Op:
    return statements.EXECUTION_END(status="failed", finished_at=at, error=None, node=None, wake_at=None, where_id=id)


@pytest.mark.parametrize("statement", statements.ALL, ids=lambda statement: statement.name)
async def test_every_statement_is_understood(store: Store, statement: Statement) -> None:
    table = statement.query.table  # type: ignore[attr-defined]
    names = {"before": "changed_at", "where_held_by": "node", "where_kept": "priority", "limit": "seat"}
    if table is tables.executions:
        names |= {"where_key": "concurrency_key", "where_execution_id": "id"}
    columns = [table.c[names.get(key, key.removeprefix("where_"))] for key in statement.keys]
    # Nothing is there yet: what changes a row of its own changes none, and says so.
    changes = not statement.query.is_insert and statement.expect == 1  # type: ignore[attr-defined]
    await store.commit(records.definition("workflow", "w", "{}", 1.0)[1:])

    found = await outcomes(store.commit([(statement, tuple(value_of(column, 1) for column in columns))]))

    assert found == [Unexpected if changes else type(None)]


async def test_a_key_starts_one_execution(store: Store, other: Store) -> None:
    def start(each: Store, number: int) -> Any:
        return each.commit(execution(f"e{number}", statements.EXECUTION_KEYED, idempotency_key=f"k{number % 10}"))

    found = await outcomes(*(start(other if number % 2 else store, number) for number in range(40)))

    assert found.count(type(None)) == 10
    assert found.count(Unexpected) == 30
    assert await count(store, "executions") == 10


def value_of(column: Any, number: int) -> Any:
    if column.name == "definition_id":
        return records.definition("workflow", "w", "{}", 1.0)[0]
    if isinstance(column.type, Boolean):
        return bool(number % 2)
    if isinstance(column.type, Double):
        return number + 0.125
    if isinstance(column.type, LargeBinary):
        return bytes(range(number, 256))
    return number if column.type.python_type is int else f"{column.name} {number}"


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize(
    "statement",
    [each for each in statements.ALL if each.query.is_insert and each.name not in ("audit", "audit_head", "seat_take")],  # type: ignore[attr-defined]
    ids=lambda statement: statement.name,
)
async def test_every_row_is_read_back_as_it_was_written(store: Store, statement: Statement, together: int) -> None:
    table = statement.query.table  # type: ignore[attr-defined]
    values = [tuple(value_of(table.c[key], number) for key in statement.keys) for number in range(together)]

    await store.commit(records.definition("workflow", "w", "{}", 1.0)[1:])
    await store.commit([(statement, row) for row in values])

    found = await store.fetch(select(*(table.c[key] for key in statement.keys)))
    assert set(values) <= {tuple(row) for row in found}
    assert [type(value) for value in values[0]] == [type(value) for value in found[-1]]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(numbers, texts, st.none() | texts, texts), min_size=1, max_size=20))
async def test_texts_and_numbers_are_kept_exactly(store: Store, rows: list[tuple[float, str, str | None, str]]) -> None:
    before = await count(store, "journal")
    written = [(f"e{before}", number, *row) for number, row in enumerate(rows)]

    await store.commit([(statements.JOURNAL, row) for row in written])

    query = select(tables.journal).where(tables.journal.c.execution_id == f"e{before}").order_by(tables.journal.c.seq)
    assert [tuple(row) for row in await store.fetch(query)] == written


@pytest.mark.parametrize(
    "values",
    [
        ("e", 1, 1.0, object(), None, "{}"),
        ("e", 1, 1.0, None, None, "{}"),
        ("e", 2**80, 1.0, "k", None, "{}"),
        ("e", 1, 1.0, "\ud800", None, "{}"),
    ],
    ids=["no value of a database", "nothing where something must be", "too large a number", "half a character"],
)
async def test_values_that_do_not_fit_are_refused_and_harm_nothing(store: Store, values: tuple[Any, ...]) -> None:
    found = await outcomes(
        store.commit([entry("f", 1)], [FACT]),
        store.commit([(statements.JOURNAL, values)], [FACT]),
        store.commit([entry("f", 2)], [FACT]),
    )

    assert found == [type(None), StoreError, type(None)]
    assert await count(store, "journal") == 2
    assert await records.verify_audit(store) == (2, [])
    assert store.writable is None


async def test_large_rows_are_kept(store: Store) -> None:
    size = 3_000_000
    await asyncio.gather(*(store.commit([entry("e", number, body=str(number) * size)]) for number in range(8)))

    rows = await store.fetch(select(tables.journal).order_by(tables.journal.c.seq))
    assert [(row.body[0], len(row.body)) for row in rows] == [(str(number), size) for number in range(8)]


async def test_kinds_that_are_not_audited_leave_no_rows(database: Database) -> None:
    store = opened(database, Audit(events_to_audit=("access_attempt",)))
    await store.open()
    await store.commit([entry("e", 1)], [FACT, replace(FACT, kind="access_attempt")])
    assert await records.audit_count(store) == 1
    await store.close()


async def test_a_closed_store_says_so(database: Database) -> None:
    with pytest.raises(EngineStopped):
        await opened(database).commit([entry("e", 1)])


async def test_closing_writes_what_was_handed_in(database: Database) -> None:
    store = opened(database)
    await store.open()
    waiting = [asyncio.ensure_future(store.commit([entry("e", seq)])) for seq in range(50)]
    await asyncio.sleep(0)
    await store.close()

    assert await asyncio.gather(*waiting) == [None] * 50
    assert len(database.rows("SELECT * FROM journal")) == 50


async def test_a_newer_schema_is_refused(database: Database) -> None:
    database.run("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaError, match="schema 9999"):
        await opened(database).open()


async def test_a_database_of_another_program_is_refused(new_database: Database) -> None:
    new_database.run("CREATE TABLE songs (id INTEGER)")

    with pytest.raises(StoreError, match="another program"):
        await opened(new_database).open()
    assert new_database.rows("SELECT * FROM songs") == []


async def test_stores_that_open_a_new_database_at_once_all_succeed(new_database: Database) -> None:
    stores = [opened(new_database) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.commit([entry("e", number)], [FACT]) for number, store in enumerate(stores)))

    assert await count(stores[0], "journal") == 3
    assert await records.verify_audit(stores[0]) == (3, [])
    for store in stores:
        await store.close()


async def test_several_writers_leave_an_audit_that_verifies(store: Store, other: Store) -> None:
    for turn in range(5):
        commits = [
            each.commit([entry(name, 100 * turn + seq)], [replace(FACT, subject=name)])
            for name, each in (("one", store), ("other", other))
            for seq in range(20)
        ]
        await asyncio.gather(*commits)

    assert await records.verify_audit(store) == (200, [])
    assert await count(other, "journal") == 200


async def test_audit_pages_lead_through_all_chains(store: Store, other: Store) -> None:
    for number in range(11):
        each = other if number % 3 == 0 else store
        await each.commit([], [replace(FACT, at=float(number), subject=str(number))])

    seen: list[str] = []
    cursor = None
    while True:
        page = await records.audit_page(store, cursor=cursor, limit=4)
        seen += [row.subject for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        await each.commit([], [replace(FACT, at=99.0, subject="later")])

    assert seen == [str(number) for number in reversed(range(11))]
    assert (await records.audit_page(store, kind="access_attempt")).items == ()
    for wrong in ("nonsense", "main:", "main:1;", "main:1," + "9" * 30):
        with pytest.raises(InputError, match="not a cursor"):
            await records.audit_page(store, cursor=wrong)
    with pytest.raises(InputError, match="limit"):
        await records.audit_page(store, limit=0)


async def test_audit_pages_of_a_kind_leave_out_the_others(store: Store, other: Store) -> None:
    kinds = ("workflow_execution", "action_execution", "access_attempt", "configuration_change")
    for number in range(24):
        each = (store, other)[number % 2]
        await each.commit([], [replace(FACT, at=float(number), kind=kinds[number // 2 % 4], subject=str(number))])

    for place, kind in enumerate(kinds):
        wanted = [str(number) for number in reversed(range(24)) if number // 2 % 4 == place]
        first = await records.audit_page(store, kind=kind, limit=4)
        second = await records.audit_page(store, kind=kind, limit=4, cursor=first.next_cursor)
        assert [row.subject for row in (*first.items, *second.items)] == wanted
        assert second.next_cursor is None


async def test_writers_that_meet_on_the_same_rows_all_succeed(store: Store, other: Store) -> None:
    """Each takes the rows in another order, as a deadlock needs it."""

    def moved(each: Store, names: range, place: int) -> Any:
        return each.commit([records.save_position(f"p{name}", place, 1.0) for name in names], [FACT])

    for turn in range(6):
        await asyncio.gather(moved(store, range(300), turn), moved(other, range(299, -1, -1), turn))

    assert await records.all_positions(store, "p") == {str(name): 5 for name in range(300)}
    assert await records.verify_audit(store) == (12, [])


async def test_a_writer_goes_on_with_the_chain_of_an_earlier_one(database: Database) -> None:
    for turn in range(3):
        store = opened(database)
        await store.open()
        await store.commit([entry("e", turn)], [FACT])
        await store.close()

    assert [row["chain"] for row in database.rows("SELECT chain FROM audit ORDER BY seq")] == ["main"] * 3
    assert database.rows("SELECT chain, seq FROM audit_heads") == [{"chain": "main", "seq": 3}]


async def test_verification_is_not_confused_by_what_is_written_meanwhile(store: Store, other: Store) -> None:
    async def write() -> None:
        for seq in range(150):
            await store.commit([entry("e", seq)], [FACT])

    writing = asyncio.create_task(write())
    while not writing.done():
        _, problems = await records.verify_audit(other)
        assert problems == []
    await writing


async def test_all_that_one_reads_is_of_one_moment(store: Store, other: Store) -> None:
    loop = asyncio.get_running_loop()
    query = select(tables.journal.c.seq)

    def twice(connection: Connection) -> tuple[int, int]:
        before = len(connection.execute(query).all())
        if not postgres:
            asyncio.run_coroutine_threadsafe(other.commit([entry("e", 1)]), loop).result(10)
        return before, len(connection.execute(query).all())

    postgres = store.url.startswith("postgres")
    assert await store.read(twice) == (0, 0)


async def test_reading_changes_nothing(store: Store) -> None:
    with pytest.raises(StoreError):
        await store.fetch(text("INSERT INTO positions VALUES ('a', '{}', 1.0)"))
    assert await count(store, "positions") == 0


async def test_pages_lead_on_without_gaps_or_repetition(store: Store) -> None:
    for number in range(7):
        await store.commit([events.insert(Event(type="x", id=str(number)), 1.0, False)])

    seen: list[str] = []
    cursor = None
    while True:
        page = await events.page(store, cursor=cursor, limit=3)
        seen += [stored.event.id for stored in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    with pytest.raises(InputError, match="not a cursor"):
        await events.page(store, cursor="nonsense")
    with pytest.raises(InputError, match="limit"):
        await events.page(store, limit=0)


async def test_executions_are_found_by_the_beginning_or_the_end_of_their_ids(store: Store) -> None:
    for id in ("a1-b2", "a1-c3", "c3-a1"):
        await store.commit(execution(id))

    async def found(part: str, **further: Any) -> list[str]:
        return [each.id for each in (await executions.page(store, id=part, **further)).items]

    assert await found("a1-b") == ["a1-b2"]
    assert await found("c3") == ["c3-a1", "a1-c3"]
    assert await found("c3", cursor="b") == ["a1-c3"]
    assert await found("1-") == await found("%") == await found("a1_b") == []
    assert await found("a1", workflow="nosuch") == []


async def test_what_is_stored_of_each_kind_is_found_again(store: Store) -> None:
    alert = Alert("f", "busy", AlertState.FIRING, "high", "s", "db", 1.0, 2.0, labels={"a": "b"}, since=(1.0,))
    message = Notification("n", "slack", "#ops", "hello", "sent", 1, 3.0, sent_at=4.0)
    token = records.Token("t", "api", "ann", "0" * 64, ("automation_admin",), 1.0)
    event = Event(type="x", id="1", source="s", data={"über": [1, None, "\x00"]})
    decision = events.Decision(1.0, "cooldown", "w", "not started", "because", "s", "1")
    await store.commit([alerts.save(alert), message.op(), token.op(), events.insert(event, 1.0, True), decision.op()])
    await store.commit(execution("e", event_source="s", event_id="1"))

    assert await alerts.get(store, "f") == alert
    assert (await alerts.page(store, state=AlertState.FIRING)).items == (alert,)
    assert await alerts.counts(store) == {AlertState.FIRING: 1}
    assert await alerts.newest_notifications(store) == (message,)
    assert await records.all_tokens(store) == [token]
    assert await records.token_by_hash(store, token.hash) == token
    stored = await events.get(store, "1", "s")
    assert stored is not None
    assert stored.event.data == event.data
    assert stored.matched is True
    assert await events.decisions_of(store, "s", "1") == (decision,)
    assert [found.id for found in await executions.by_event(store, "s", "1")] == ["e"]
    await store.commit([statements.TOKEN_REVOKE(revoked_at=9.0, where_id="t")])
    with pytest.raises(Unexpected):
        await store.commit([statements.TOKEN_REVOKE(revoked_at=9.0, where_id="t")])


async def test_what_nobody_holds_and_is_due_is_found(store: Store) -> None:
    def node(id: str, lease_until: float) -> Op:
        return statements.NODE(id=id, host="h", pid=1, process_started=1.0, started_at=1.0, lease_until=lease_until)

    await store.commit([node("me", 0.0), node("alive", 200.0), node("dead", 50.0)])
    await store.commit(
        [
            *execution("a", node="dead"),
            *execution("b", node="alive"),
            *execution("c", node=None, status="waiting", wake_at=99.0),
            *execution("d", node=None, status="waiting", wake_at=101.0),
            *execution("e", node="me"),
            *execution("f", node="dead", finished_at=5.0, status="failed"),
            *execution("g", node=None, status="waiting", wake_at=None),
        ]
    )

    found = await executions.orphans(store, {"dead"}, 100.0)

    assert [(each.id, each.node) for each in found] == [("a", "dead"), ("c", None)]
    assert await executions.orphans(store, {"dead"}, 100.0, found[0]) == found[1:]
    assert await executions.orphans(store, {"dead"}, 100.0, found[1]) == ()
    assert await executions.next_wake(store) == 99.0
    assert await executions.unfinished_count(store) == 3
    assert (await executions.counts(store))[WorkflowStatus.WAITING] == 3
