"""The store: what is committed together, what is refused alone, what is read back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from automation.config import Audit
from automation.config import Store as Settings
from automation.errors import EngineStopped, InputError, SchemaError, StoreError, StoreUnavailable
from automation.model.event import Event
from automation.store import events, records, statements
from automation.store.audit import Chain, Fact, verify
from automation.store.statements import Op, Unexpected
from automation.store.store import Store

FACT = Fact(1.5, "action_execution", "ann", "test.record", "e1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = Store(f"sqlite:///{path}", Settings(busy_timeout_seconds=0.1))
    await opened.open()
    yield opened
    await opened.close()


def entry(execution: str, seq: int, at: float = 1.0) -> Op:
    return statements.JOURNAL(execution_id=execution, seq=seq, at=at, kind="k", action=None, body="{}")


async def count(store: Store, table: str) -> int:
    from sqlalchemy import text

    row = await store.first(text(f"SELECT count(*) AS n FROM {table}"))
    assert row is not None
    return int(row.n)


async def test_many_callers_share_few_transactions(store: Store) -> None:
    await asyncio.gather(*(store.commit([entry("e", seq)], [FACT]) for seq in range(500)))

    assert await count(store, "journal") == 500
    assert store.writer.batches < 50
    assert await records.verify_audit(store) == (500, [])


async def test_one_that_is_refused_does_not_harm_the_others(store: Store) -> None:
    await store.commit([entry("e", 1)])

    outcomes = await asyncio.gather(
        *(store.commit([entry("f", seq), entry("e", seq)], [FACT]) for seq in (1, 2, 3)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [StoreError, type(None), type(None)]
    assert await count(store, "journal") == 5, "nothing of the refused list is there"
    assert await records.verify_audit(store) == (2, [])


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


async def test_values_of_a_wrong_type_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="refused"):
        await store.commit([(statements.JOURNAL, ("e", 1, 1.0, object(), None, "{}"))])
    await store.commit([entry("e", 1)])


async def test_kinds_that_are_not_audited_leave_no_rows(path: Path) -> None:
    store = Store(f"sqlite:///{path}", audit=Audit(events_to_audit=("access_attempt",)))
    await store.open()
    await store.commit([entry("e", 1)], [FACT, replace(FACT, kind="access_attempt")])
    assert await records.audit_count(store) == 1
    await store.close()


async def test_a_closed_store_says_so(store: Store) -> None:
    other = Store("sqlite://")
    with pytest.raises(EngineStopped):
        await other.commit([entry("e", 1)])


async def test_a_database_in_memory_is_gone_afterwards() -> None:
    store = Store("sqlite://")
    await store.open()
    place = store.backend.path
    await store.commit([entry("e", 1)])
    assert await count(store, "journal") == 1
    await store.close()
    assert not place.exists()


async def test_a_locked_file_is_told_and_nothing_is_lost(store: Store, path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await store.commit([entry("e", 1)])
    assert store.writable is not None
    patient = asyncio.create_task(store.commit_patiently([entry("e", 2)]))
    await asyncio.sleep(0)
    blocker.execute("ROLLBACK")
    blocker.close()
    await patient

    assert store.writable is None
    assert await count(store, "journal") == 1


async def test_a_locked_file_refuses_the_start(path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("CREATE TABLE t (a)")
    blocker.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnavailable, match=r"cannot open the database .*locked"):
        await Store(f"sqlite:///{path}", Settings(busy_timeout_seconds=0.1)).open()
    blocker.close()


async def test_a_newer_schema_is_refused(path: Path) -> None:
    store = Store(f"sqlite:///{path}")
    await store.open()
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(SchemaError, match="schema 9999"):
        await Store(f"sqlite:///{path}").open()


async def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (id)")
    connection.close()

    with pytest.raises(StoreError, match="another program"):
        await Store(f"sqlite:///{path}").open()


async def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    path.write_text("hello, this is a text and not a database at all\n" * 100)

    with pytest.raises(StoreUnavailable, match="not a SQLite database"):
        await Store(f"sqlite:///{path}").open()


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


facts = st.lists(
    st.builds(
        Fact,
        at=st.floats(0, 2e9),
        kind=st.sampled_from(["access_attempt", "action_execution"]),
        actor=st.text(max_size=5),
        act=st.text(max_size=5),
        subject=st.text(max_size=5),
        detail=st.sampled_from(["{}", '{"a":1}']),
    ),
    min_size=1,
    max_size=12,
)


@given(facts, st.data())
def test_any_change_of_a_chain_is_found(some: list[Fact], data: st.DataObject) -> None:
    chain = Chain("main")
    rows = chain.seal(some)
    heads = {"main": (chain.seq, chain.hash)}
    assert verify(rows, heads) == (len(rows), [])

    place = data.draw(st.integers(0, len(rows) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "swap", "add"]))
    if how == "change":
        column = data.draw(st.sampled_from([2, 3, 4, 5, 6, 7, 8]))
        changed = list(rows[place])
        changed[column] = 3e9 if column == 2 else "changed!"
        rows[place] = tuple(changed)
    elif how == "remove":
        del rows[place]
    elif how == "swap" and place:
        first, second = list(rows[place - 1]), list(rows[place])
        first[1], second[1] = second[1], first[1]
        rows[place - 1 : place + 1] = [tuple(second), tuple(first)]
    else:
        rows += Chain("main", chain.seq, chain.hash).seal([FACT])

    assert verify(rows, heads)[1] != []
