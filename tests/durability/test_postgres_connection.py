"""PostgreSQL refuses, breaks, or is silent: what is told, what is written again, and that nothing is written twice."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from automation.config import Store as Settings
from automation.errors import ConfigurationError, StoreError, StoreUnavailable
from automation.store import postgres as backend
from automation.store import records, statements
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store
from tests.support import postgres
from tests.support.databases import PostgresDatabase
from tests.support.proxy import Proxy

pytestmark = pytest.mark.durability

FACT = Fact(1.5, "action_execution", "ann", "test.record", "e1")


@pytest.fixture
def database(postgres_server: postgres.Server, empty_postgres: str) -> Iterator[PostgresDatabase]:
    name = postgres_server.new_database(empty_postgres)
    yield PostgresDatabase(postgres_server, name)
    postgres_server.drop(name)


@pytest.fixture
async def proxy(postgres_server: postgres.Server) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port).running() as running:
        yield running


@pytest.fixture
async def store(database: PostgresDatabase, proxy: Proxy) -> AsyncIterator[Store]:
    """A store whose network can be cut."""
    opened = Store(database.url.replace(f":{database.server.port}/", f":{proxy.port}/") + "?sslmode=disable")
    await opened.open()
    yield opened
    proxy.refusing = False
    await opened.close()


def entry(seq: int, execution: str = "e") -> Op:
    return statements.JOURNAL(execution_id=execution, seq=seq, at=1.0, kind="k", action=None, body=f"[{seq}]")


def position(place: int) -> Op:
    return records.save_position("p", place, float(place))


async def failed_start(url: str) -> str:
    """What a start on this URL says."""
    with pytest.raises(StoreError) as caught:
        await Store(url).open()
    message = caught.value.message
    assert "\n" not in message
    assert postgres.PASSWORD not in message
    assert "%" not in message, "a part of the quoted password"
    return message


class TestStart:
    async def test_no_server(self, database: PostgresDatabase) -> None:
        async with Proxy(1).running() as proxy:
            port = proxy.port
        url = database.url.replace(f":{database.server.port}/", f":{port}/")

        assert await failed_start(url) == (
            f"cannot open the database postgresql://127.0.0.1:{port}/{database.name}: nothing listens there; start the "
            "server, or correct host and port in database_url"
        )

    async def test_no_such_host(self) -> None:
        message = await failed_start("postgresql://u:open%3A%20sesame@nowhere.invalid/x")
        assert message.startswith("cannot open the database postgresql://nowhere.invalid:5432/x: ")
        assert "host" in message

    async def test_a_host_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "CONNECT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            message = await failed_start(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x")
        assert "it does not answer" in message

    async def test_a_wrong_password(self, database: PostgresDatabase) -> None:
        message = await failed_start(database.server.url(database.name, password="wrong: sesame"))
        assert 'password authentication failed for user "postgres"; correct user and password' in message
        assert "sesame" not in message

    async def test_no_such_database(self, database: PostgresDatabase) -> None:
        assert 'database "nothing" ' in (message := await failed_start(database.server.url("nothing")))
        assert message.endswith("make it with: createdb")

    async def test_a_user_without_rights(self, database: PostgresDatabase) -> None:
        name = f"guest_of_{database.name}"
        database.run(f"CREATE ROLE {name} LOGIN PASSWORD 'guest: sesame'")
        url = database.server.url(database.name, user=name, password="guest: sesame")
        message = await failed_start(url)
        database.run(f"DROP ROLE {name}")
        assert "permission denied for table alembic_version; grant it to the user" in message

    async def test_a_user_with_too_many_connections(self, database: PostgresDatabase) -> None:
        name = f"crowd_of_{database.name}"
        database.run(f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
        message = await failed_start(database.server.url(database.name, user=name, password="x"))
        database.run(f"DROP ROLE {name}")
        assert "too many connections" in message
        assert "database_connection_pool" in message

    async def test_a_database_that_is_read_only(self, database: PostgresDatabase) -> None:
        database.run(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
        assert "it is read-only: a standby, or set so" in await failed_start(database.url)

    async def test_another_encoding(self, postgres_server: postgres.Server) -> None:
        postgres_server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        assert "createdb --encoding=UTF8" in await failed_start(postgres_server.url("latin"))
        postgres_server.drop("latin")

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("postgresql://u:open%20sesame@db:5432/", "name the database"),
            ("postgres//u:open sesame@db/x", "is not a URL"),
            ("u:open sesame@db/x", "is not a URL"),
            ("postgresql+psycopg://u:open sesame@db/x", "postgresql+psycopg is not supported"),
        ],
    )
    def test_urls_that_say_too_little(self, url: str, message: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Store(url)
        assert message in caught.value.message
        assert "sesame" not in caught.value.message

    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("postgresql://u:p@db:5433/ops?sslmode=require", "postgresql://db:5433/ops"),
            ("postgres://db/ops", "postgresql://db:5432/ops"),
            ("postgresql:///ops?host=/run/postgresql", "postgresql:///run/postgresql/ops"),
            ("postgresql://u:p%40@a:1,b:2/ops?target_session_attrs=read-write", "postgresql://a:1,b:2/ops"),
            ("postgresql://u@[::1]:5432/ops", "postgresql://[::1]:5432/ops"),
            ("postgresql://u@db?dbname=ops&password=p", "postgresql://db:5432/ops"),
        ],
    )
    def test_a_place_is_named_without_the_password(self, url: str, place: str) -> None:
        assert Store(url).backend.place == place


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("guarded", [False, True], ids=["one command", "a transaction"])
async def test_a_batch_whose_connection_breaks_while_it_is_committed_is_written_once(
    store: Store, proxy: Proxy, how: str, guarded: bool
) -> None:
    await store.commit([entry(0)], [FACT])
    if guarded:
        # A count has to be looked at, so that it takes a transaction: it is cut at its end.
        token = records.Token("t", "api", "ann", "0" * 64, (), 1.0)
        await store.commit([token.op()])
        ops = [entry(1), position(1), statements.TOKEN_REVOKE(revoked_at=2.0, where_id="t")]
    else:
        ops = [entry(1), position(1)]
    proxy.plan = [(how, b"COMMIT" if guarded else b"[1]")]

    commits = [store.commit(ops, [FACT]), store.commit([entry(0)], [FACT]), store.commit([entry(2)], [FACT])]
    found = await asyncio.gather(*commits, return_exceptions=True)

    assert proxy.plan == []
    assert [type(outcome) for outcome in found] == [type(None), StoreError, type(None)]
    await written(store, {0, 1, 2}, facts=3)
    assert store.writable is None


async def written(store: Store, seqs: set[int], facts: int) -> None:
    from sqlalchemy import select

    from automation.store.tables import journal

    rows = [row.seq for row in await store.fetch(select(journal.c.seq))]
    assert sorted(rows) == sorted(seqs)
    assert await records.verify_audit(store) == (facts, [])


@pytest.mark.parametrize("how", ["before", "after"])
async def test_it_is_written_once_though_new_connections_break_as_well(store: Store, proxy: Proxy, how: str) -> None:
    """While they find out what became of it: before they have taken the writer's row, and after."""
    await store.commit([entry(0)], [FACT])
    proxy.plan = [
        (how, b"[1]"),
        ("before", b"INSERT INTO writers"),
        ("after", b"INSERT INTO writers"),
        ("after", b"DELETE"),
    ]

    await asyncio.wait_for(asyncio.gather(store.commit([entry(1)], [FACT]), store.commit([entry(2)], [FACT])), 20)

    assert proxy.plan == []
    await written(store, {0, 1, 2}, facts=3)


async def test_facts_that_cannot_be_written_harm_no_others(store: Store) -> None:
    wrong = [replace(FACT, actor="a\x00b"), replace(FACT, subject="\ud800")]

    commits = [store.commit([entry(number)], [fact]) for number, fact in enumerate([FACT, *wrong, FACT])]
    found = await asyncio.gather(*commits, return_exceptions=True)

    assert [type(outcome) for outcome in found] == [type(None), StoreError, StoreError, type(None)]
    await written(store, {0, 3}, facts=2)


async def test_what_arrives_late_on_a_dead_connection_is_void(store: Store, proxy: Proxy) -> None:
    """The network gives a batch to the server after the writer has given the connection up, and written anew."""
    await store.commit([position(1)], [FACT])
    proxy.plan = [("late", b'"p","2"')]
    await store.commit([position(2)], [FACT])
    await store.commit([position(3)], [FACT])

    await proxy.deliver()
    await asyncio.sleep(0.2)

    assert proxy.plan == []
    assert await records.all_positions(store, "") == {"p": 3}
    await written(store, set(), facts=3)


async def test_a_connection_that_broke_while_nothing_was_written_is_made_anew(
    store: Store, proxy: Proxy, database: PostgresDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    await store.commit([entry(1)], [FACT])
    proxy.cut()
    await store.commit([entry(2)], [FACT])
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database.name}' AND pid <> pg_backend_pid()"
    )
    await store.commit([entry(3)], [FACT])

    await written(store, {1, 2, 3}, facts=3)
    assert [row["chain"] for row in database.rows("SELECT DISTINCT chain FROM audit")] == ["main"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_guarded_unit_is_decided_once_though_its_commit_was_in_doubt(store: Store, proxy: Proxy) -> None:
    await store.commit([records.Token("t", "api", "ann", "0" * 64, (), 1.0).op()])
    proxy.plan = [("after", b"COMMIT")]
    revoke = statements.TOKEN_REVOKE(revoked_at=2.0, where_id="t")

    found = await asyncio.gather(
        *(store.commit([revoke, entry(number)]) for number in range(4)), return_exceptions=True
    )

    assert [outcome is None for outcome in found] == [True, False, False, False]
    await written(store, {0}, facts=0)


async def test_while_the_server_is_gone_writes_are_refused_and_facts_are_kept(store: Store, proxy: Proxy) -> None:
    await store.commit([entry(0)])
    proxy.plan = [("before", b"[1]")]
    proxy.refusing = True

    # In doubt: nobody can say what became of it, so its caller waits.
    doubtful = asyncio.create_task(store.commit([entry(1)]))
    kept = asyncio.create_task(store.commit_patiently([entry(2)]))
    await asyncio.sleep(0.4)
    with pytest.raises(StoreUnavailable, match="cannot write the database postgresql://127"):
        await store.commit([entry(3)])
    assert not doubtful.done()
    assert not kept.done()
    assert "connection" in (store.writable or "")
    proxy.cut()
    with pytest.raises(StoreUnavailable, match="cannot read the database"):
        await written(store, set(), facts=0)

    proxy.refusing = False
    await asyncio.wait_for(asyncio.gather(doubtful, kept), 10)

    await written(store, {0, 1, 2}, facts=0)
    assert store.writable is None


async def test_a_store_that_is_closed_in_doubt_says_so(store: Store, proxy: Proxy) -> None:
    await store.commit([entry(0)])
    proxy.plan, proxy.refusing = [("after", b"[1]")], True
    doubtful = asyncio.create_task(store.commit([entry(1)]))
    await asyncio.sleep(0.1)

    await asyncio.wait_for(store.close(), 10)

    with pytest.raises(StoreUnavailable):
        await doubtful


async def test_a_server_that_falls_silent_counts_as_gone(
    database: PostgresDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "SILENT_SECONDS", 0.5)
    store = Store(database.url, Settings(busy_timeout_seconds=1.0))
    await store.open()
    await store.commit([entry(0)], [FACT])
    database.run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(CASE NEW.seq WHEN 1 THEN 3600 ELSE 0 END); RETURN NEW; END'"
    )
    database.run("CREATE TRIGGER slow BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION slow()")
    writing = asyncio.create_task(store.commit([entry(1)], [FACT]))
    await asyncio.sleep(0.2)
    database.run("CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")

    await asyncio.wait_for(writing, 10)

    await written(store, {0, 1}, facts=2)
    await store.close()


async def test_a_locked_table_is_told_and_waited_out(
    database: PostgresDatabase,
) -> None:
    import asyncpg

    store = Store(database.url, Settings(busy_timeout_seconds=0.2))
    await store.open()
    blocker = await asyncpg.connect(database.url)
    await blocker.execute("BEGIN; LOCK TABLE journal")

    with pytest.raises(StoreUnavailable, match="locked by another session"):
        await store.commit([entry(1)])
    patient = asyncio.create_task(store.commit_patiently([entry(2)]))
    await asyncio.sleep(0.1)
    await blocker.execute("ROLLBACK")
    await asyncio.wait_for(patient, 10)

    await blocker.close()
    await written(store, {2}, facts=0)
    await store.close()


async def test_the_row_of_a_writer_is_gone_with_it(store: Store, database: PostgresDatabase) -> None:
    await store.commit([entry(1)])
    database.run("INSERT INTO writers VALUES ('dead for long', 's', 7, 1.0)")
    other = Store(database.url)
    await other.open()
    await other.commit([entry(2)])
    assert len(database.rows("SELECT * FROM writers")) == 2
    await other.close()

    assert [row["batch"] for row in database.rows("SELECT batch FROM writers")] == [1]


async def test_a_database_put_back_to_an_earlier_state_is_written_on(
    store: Store, database: PostgresDatabase, proxy: Proxy
) -> None:
    """As after a failover to a replica that had not heard of the last batches: there is no mark, and an older chain."""
    await store.commit([entry(1)], [FACT])
    await store.commit([entry(2)], [FACT])
    database.run("DELETE FROM writers", "DELETE FROM audit WHERE seq = 2", "DELETE FROM journal WHERE seq = 2")
    database.run("UPDATE audit_heads SET seq = 1, hash = (SELECT hash FROM audit WHERE seq = 1)")
    proxy.plan = [("before", b"[3]")]

    await store.commit([entry(3)], [FACT])

    await written(store, {1, 3}, facts=2)


@pytest.mark.parametrize(("set_to", "used"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_a_commit_waits_for_the_disk_whatever_the_database_is_set_to(
    database: PostgresDatabase, set_to: str, used: str
) -> None:
    database.run(f"ALTER DATABASE {database.name} SET synchronous_commit = {set_to}")
    store = Store(database.url)
    await store.open()
    await store.commit([entry(1)])
    assert isinstance(store.backend, backend.Postgres)
    session = store.backend._session
    assert session is not None
    assert await session.connection.fetchval("SHOW synchronous_commit") == used
    await store.close()
