"""The collector `sql` against real databases: files of SQLite, and a PostgreSQL on loopback."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationEngine
from automation.clock import RealClock
from automation.definitions import Definitions
from automation.errors import DefinitionError, InputError, TryLater
from automation.infrastructure.services import Services
from automation.model.schedule import MonitorDefinition
from automation.monitoring.collector import Observations, Probe
from automation.plugins import read_settings, registry
from tests.support.postgres import PASSWORD, Server

TABLE = (
    "CREATE TABLE jobs (queue text, state text, size numeric)",
    "INSERT INTO jobs VALUES ('mail', 'waiting', 1.5), ('mail', 'done', 2), ('video', 'waiting', 40)",
    "INSERT INTO jobs (queue) VALUES ('video')",
)
BY_QUEUE = "SELECT queue, state, sum(size) AS value FROM jobs WHERE size > 0 GROUP BY queue, state ORDER BY 1, 2"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with a table of jobs."""
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "a shop?.db")) as connection, connection:
            for statement in TABLE:
                connection.execute(statement)
        yield f"sqlite:///{tmp_path / 'a shop?.db'}"
        return
    server: Server = request.getfixturevalue("postgres_server")
    name = server.new_database()
    server.sql(*TABLE, database=name)
    yield server.url(name)
    server.drop(name)


async def collect(url: str, query: str, **settings: Any) -> Observations:
    plugin = registry.get("collector", "sql")
    probe = Probe(Services(Path(), RealClock()), RealClock(), 30)
    read = read_settings(plugin.settings, {"url": url, "query": query, "metric": "jobs", **settings})
    found: Observations = await plugin.function(read, probe)
    return found


async def test_an_answer_of_one_number_is_one_sample(url: str) -> None:
    [sample] = (await collect(url, "SELECT count(*) FROM jobs WHERE state = 'waiting'", subject="shop")).samples
    assert (sample.name, sample.value, sample.subject, sample.labels) == ("jobs", 2.0, "shop", {})


async def test_rows_have_labels_and_a_value(url: str) -> None:
    found = await collect(url, BY_QUEUE, subject_column="queue")
    assert [(sample.subject, sample.labels, sample.value) for sample in found.samples] == [
        ("mail", {"state": "done"}, 2.0),
        ("mail", {"state": "waiting"}, 1.5),
        ("video", {"state": "waiting"}, 40.0),
    ]
    assert found.problems == []
    assert (await collect(url, "SELECT size FROM jobs WHERE queue = 'none'")).samples == []


async def test_rows_that_are_no_sample_are_said_to_be_left_out(url: str) -> None:
    query = "SELECT queue, size AS value FROM jobs ORDER BY queue, size DESC"
    found = await collect(url, query)
    assert len(found.samples) == 2
    assert "row 2 is left out: has the labels of a row before it" in found.problems
    assert any("column 'value' is NULL, not a number" in problem for problem in found.problems)
    [problem] = (await collect(url, "SELECT max(queue) FROM jobs")).problems
    assert problem.endswith("is str, not a number")


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM jobs",
        "INSERT INTO jobs (queue) VALUES ('x') RETURNING 1",
        "CREATE TABLE other (x int)",
        "SELECT 1; DELETE FROM jobs",
        "COMMIT; DELETE FROM jobs",
        "DROP TABLE jobs",
    ],
)
async def test_a_query_can_only_read(url: str, query: str) -> None:
    with pytest.raises(TryLater):
        await collect(url, query)
    assert (await collect(url, "SELECT count(*) FROM jobs")).samples[0].value == 4


async def test_sqlite_makes_and_attaches_no_other_file(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="unable to open"):
        await collect(f"sqlite:///{tmp_path / 'none.db'}", "SELECT 1")
    here = tmp_path / "here.db"
    sqlite3.connect(here).close()
    here.touch()
    with pytest.raises(TryLater, match="does something else than read"):
        await collect(f"sqlite:///{here}", f"ATTACH '{tmp_path / 'other.db'}' AS other")
    with pytest.raises(TryLater, match="does something else than read"):
        await collect(f"sqlite:///{here}", "PRAGMA journal_mode = WAL")
    assert [path.name for path in tmp_path.iterdir()] == ["here.db"]


async def test_postgres_stays_read_only_from_within_a_query(postgres_server: Server) -> None:
    query = "SELECT set_config('transaction_read_only', 'off', false), 1 AS value"
    with pytest.raises(TryLater, match="read-write mode"):
        await collect(postgres_server.url(), query)


async def test_a_query_that_takes_too_long_is_ended(url: str) -> None:
    with pytest.raises(TryLater, match=r"the query took longer than 0\.3 s"):
        await collect(url, ENDLESS, timeout_seconds=0.3)


async def test_more_rows_than_allowed_and_columns_that_do_not_fit_fail_the_round(url: str) -> None:
    with pytest.raises(InputError, match=r"more than max_rows \(2\) rows"):
        await collect(url, "SELECT queue, 1 AS value FROM jobs", max_rows=2)
    with pytest.raises(InputError, match="the answer has no column 'value', but queue, n"):
        await collect(url, "SELECT queue, 1 AS n FROM jobs")
    assert (await collect(url, "SELECT 'a' AS queue, 1 AS n", value_column="n")).samples[0].labels == {"queue": "a"}
    with pytest.raises(InputError, match="two columns 'queue'"):
        await collect(url, "SELECT queue, queue, 1 AS value FROM jobs")


async def test_no_error_shows_the_password(postgres_server: Server) -> None:
    wrong = postgres_server.url(password="let me in please")
    for url in (wrong, postgres_server.url("nowhere"), "postgresql://me:hidden@127.0.0.1:9/x"):
        with pytest.raises(TryLater, match=r"postgresql://127\.0\.0\.1:\d+/") as caught:
            await collect(url, "SELECT 1")
        for secret in (PASSWORD, "let me in please", "let%20me%20in", "hidden", "@"):
            assert secret not in str(caught.value)
    with pytest.raises(DefinitionError) as refused:
        await collect("mysql://me:hidden@db/x", "SELECT 1")
    assert "must begin with postgresql:// or sqlite:///" in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_the_url_may_be_a_secret() -> None:
    settings = {"url": "${secret:shop_db}", "query": "SELECT 1", "metric": "jobs"}
    read = read_settings(registry.get("collector", "sql").settings, settings)
    assert "shop_db" not in repr(read)


async def test_an_engine_puts_secrets_in_and_hides_them(engine: AutomationEngine, tmp_path: Path) -> None:
    secret = engine.config.data_dir / "secrets" / "shop_db"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(f"sqlite:///{tmp_path / 'hunter2.db'}", encoding="utf-8")
    secret.chmod(0o600)
    settings = {"url": "${secret:shop_db}", "query": "SELECT 7", "metric": "jobs"}
    await engine.apply(Definitions(monitors=(MonitorDefinition(name="jobs", type="sql", settings=settings),)))

    with pytest.raises(TryLater):
        await engine.watching.monitor.round("jobs")
    assert engine.watching.monitor.states["jobs"].error == "TryLater: ***: unable to open database file"

    sqlite3.connect(tmp_path / "hunter2.db").close()
    (tmp_path / "hunter2.db").touch()
    await engine.watching.monitor.round("jobs")
    latest = engine.metric_store.latest("jobs")
    assert latest is not None
    assert latest.value == 7
