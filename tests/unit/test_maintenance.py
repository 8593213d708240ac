"""Looking after the database from outside: what is found, what is copied, what is put back, what is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.errors import ConfigurationError, Conflict, NotFound, SchemaError, StoreError
from automation.infrastructure.processes import machine
from automation.maintenance import Database
from automation.store import schema
from automation.store.inventory import Loss

SET = {"name": "set", "action_type": "flow.set", "parameters": {"values": {"a": 1}}}
SLOW = {"name": "wait", "action_type": "flow.wait", "parameters": {"seconds": 600}}
WORKFLOWS = (
    WorkflowDefinition.model_validate({"name": "quick", "actions": [SET, {**SET, "name": "again"}]}),
    WorkflowDefinition.model_validate({"name": "slow", "actions": [SET, SLOW]}),
)


@pytest.fixture
def path(config: AutomationConfig, tmp_path: Path) -> Path:
    """The file of the configured database."""
    return tmp_path / "automation.db"


@pytest.fixture
async def database(config: AutomationConfig, path: Path) -> Database:
    """A database with a few executions, one of which waits; no engine works on it."""
    async with AutomationEngine(config) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        for _ in range(3):
            await engine.execute_workflow("quick")
        await engine.start_workflow("slow")
        await engine.drain()
    return Database(config)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def count(path: Path, table: str = "executions") -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class TestStatus:
    async def test_says_what_is_in_it(self, database: Database) -> None:
        found = await database.status()

        rows = {stock.table: stock.rows for stock in found.tables}
        assert (rows["executions"], found.unfinished, found.schema) == (4, 1, schema.HEAD)
        assert found.bytes > 0
        assert found.nodes == ()

    async def test_says_who_works_on_it(self, config: AutomationConfig) -> None:
        async with AutomationEngine(config):
            [node] = (await Database(config).status()).nodes
        assert node.pid == os.getpid()

    async def test_there_must_be_one(self, tmp_path: Path) -> None:
        config = AutomationConfig(database_url=f"sqlite:///{tmp_path}/none.db")
        with pytest.raises(NotFound, match=r"there is no file .*none\.db; the engine makes it"):
            await Database(config).status()
        assert not (tmp_path / "none.db").exists()


class TestMigrate:
    async def test_leads_an_older_database_to_this_version(self, tmp_path: Path) -> None:
        path = tmp_path / "old.db"
        migrate_to(path, "0001")
        database = Database(AutomationConfig(database_url=f"sqlite:///{path}"))

        looked = await database.migrate(dry_run=True)
        assert (looked.found, looked.wanted, looked.done) == ("0001", schema.HEAD, False)
        assert [step.partition(":")[0] for step in looked.steps] == ["0002"]
        assert version(path) == "0001"
        [problem] = (await database.check()).problems
        assert str(problem).startswith("schema: is 0001, which `automation db migrate`")

        made = await database.migrate()
        assert (made.found, made.done) == ("0001", True)
        assert version(path) == schema.HEAD
        assert (await database.migrate()).steps == ()
        assert (await database.check()).problems == ()

    async def test_a_new_database_is_made(self, tmp_path: Path) -> None:
        database = Database(AutomationConfig(data_dir=tmp_path / "data"))
        with pytest.raises(NotFound, match=r"there is no folder .*data; the engine makes it"):
            await database.migrate(dry_run=True)
        made = await database.migrate()
        assert (made.found, len(made.steps)) == (None, 2)
        assert version(tmp_path / "data" / "automation.db") == schema.HEAD

    async def test_a_newer_one_is_refused(self, database: Database, path: Path) -> None:
        change(path, "UPDATE alembic_version SET version_num = '9999'")
        for dry_run in (True, False):
            with pytest.raises(SchemaError, match="schema 9999"):
                await database.migrate(dry_run=dry_run)
        [problem] = (await database.check()).problems
        assert "is 9999; this version of automation knows" in problem.message

    async def test_is_refused_under_an_engine(self, config: AutomationConfig, path: Path) -> None:
        async with AutomationEngine(config):
            change(path, "UPDATE alembic_version SET version_num = '0001'")
            with pytest.raises(Conflict, match="cannot migrate: an engine works on this database"):
                await Database(config).migrate()
            change(path, f"UPDATE alembic_version SET version_num = '{schema.HEAD}'")

    async def test_one_that_is_broken_off_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As `kill -9` would break it off: SQLite undoes what was not committed."""
        path = tmp_path / "old.db"
        database = Database(AutomationConfig(database_url=f"sqlite:///{path}"))
        upgrade = schema.upgrade

        def broken(connection: Connection) -> None:
            upgrade(connection)
            raise RuntimeError("the power is gone")

        monkeypatch.setattr(schema, "upgrade", broken)
        with pytest.raises(RuntimeError):
            await database.migrate()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
        monkeypatch.undo()

        await database.migrate()
        assert version(path) == schema.HEAD


def migrate_to(path: Path, number: str) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, number)
    engine.dispose()


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


FIRST = "(SELECT min(id) FROM executions)"
DAMAGE = {
    "a gap": (f"DELETE FROM journal WHERE seq = 2 AND execution_id = {FIRST}", "has entry 3 where entry 2 has to be"),
    "no start": (f"DELETE FROM journal WHERE seq = 1 AND execution_id = {FIRST}", "has entry 2 where entry 1"),
    "two starts": (
        f"UPDATE journal SET kind = 'started' WHERE seq = 2 AND execution_id = {FIRST}",
        "must begin with the one entry 'started'; it has 2 of them",
    ),
    "no journal": (f"DELETE FROM journal WHERE execution_id = {FIRST}", "it has no journal"),
    "another status": (
        f"UPDATE executions SET status = 'failed' WHERE id = {FIRST}",
        "its status is 'failed' in its row and 'succeeded' in its journal",
    ),
    "another error": (
        f"""UPDATE executions SET error = '{{"message":"x"}}' WHERE id = {FIRST}""",
        "its error is {'message': 'x'} in its row and None in its journal",
    ),
    "no end in the row": (
        f"UPDATE executions SET finished_at = NULL, status = 'running' WHERE id = {FIRST}",
        "its journal says that it has finished, its row does not",
    ),
    "no end in the journal": (
        f"DELETE FROM journal WHERE execution_id = {FIRST} "
        f"AND seq = (SELECT max(seq) FROM journal WHERE execution_id = {FIRST})",
        "its row says that it has finished, its journal does not",
    ),
    "half an end": (
        f"UPDATE executions SET finished_at = NULL WHERE id = {FIRST}",
        "its row has the status succeeded and no end",
    ),
    "not JSON": (f"UPDATE journal SET body = '{{' WHERE seq = 2 AND execution_id = {FIRST}", "cannot be read"),
    "no definition": ("DELETE FROM definitions", "its definition"),
    "a row that names what is not there": ("DELETE FROM definitions", "names a row of definitions that is not there"),
    "an audit row": ("UPDATE audit SET actor = 'x' WHERE seq = 3", "was changed: its hash does not fit its content"),
}


class TestCheck:
    async def test_finds_nothing_where_nothing_is_wrong(self, database: Database) -> None:
        told: list[str] = []
        report = await database.check(lambda what, done, total: told.append(what))

        assert report.problems == ()
        assert report.executions == 4
        assert report.audit_rows >= 10
        assert told == ["the file", "the audit chain", "journals", "large values"]

    @pytest.mark.parametrize("damage", DAMAGE)
    async def test_finds_what_is_wrong(self, database: Database, path: Path, damage: str) -> None:
        statement, message = DAMAGE[damage]
        change(path, statement)

        problems = (await database.check()).problems

        assert any(message in problem.message for problem in problems), problems
        if damage not in ("an audit row", "no definition", "a row that names what is not there"):
            assert len({problem.path for problem in problems}) == 1, "the others are well"

    async def test_finds_a_journal_without_its_execution(self, database: Database, path: Path) -> None:
        change(path, "INSERT INTO journal VALUES ('nobody', 1, 1.0, 'started', NULL, '{}')")
        [problem] = (await database.check()).problems
        assert str(problem) == "journal/nobody: is of an execution that is not there"

    async def test_looks_at_every_page(self, database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from automation.store import checks

        monkeypatch.setattr(checks, "PAGE", 2)
        assert (await database.check()).executions == 4
        change(path, "DELETE FROM journal WHERE seq = 2")
        report = await database.check()
        assert (report.executions, len(report.problems)) == (4, 4)

    async def test_finds_a_broken_page(self, database: Database, path: Path) -> None:
        content = bytearray(path.read_bytes())
        # The middle of a page of a table, not the head of the file.
        content[4096 * 8 + 100 : 4096 * 9] = b"\xff" * (4096 - 100)
        path.write_bytes(content)
        problems = (await database.check()).problems
        assert problems
        assert {problem.path for problem in problems} == {"file"}

    async def test_finds_nothing_wrong_beside_a_busy_engine(self, config: AutomationConfig) -> None:
        import asyncio

        async with AutomationEngine(config) as engine:
            await engine.register_workflow(WORKFLOWS[0])

            async def work() -> None:
                while True:
                    await engine.execute_workflow("quick")

            tasks = [asyncio.create_task(work()) for _ in range(5)]
            try:
                for _ in range(5):
                    assert (await Database(config).check()).problems == ()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


class TestCompact:
    async def test_gives_room_back_beside_an_engine(self, config: AutomationConfig, path: Path) -> None:
        async with AutomationEngine(config):
            change(path, "CREATE TABLE big (text)", "INSERT INTO big VALUES (zeroblob(8000000))", "DROP TABLE big")
            before = path.stat().st_size
            steps: list[int] = []

            def told(_what: str, _done: int, total: int) -> None:
                steps.append(total)

            found = await Database(config).compact(told=told)

        assert (found.free_bytes, found.alone) == (0, False)
        assert before - path.stat().st_size > 7_000_000
        # A megabyte at a time.
        assert 5 <= len(steps) <= 12

    async def test_does_not_wait_for_an_engine_that_frees_more(
        self, config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = iter([9, 8, 8, 7])
        monkeypatch.setattr("automation.store.sqlite_files.give_back", lambda _path: next(left))
        async with AutomationEngine(config):
            await Database(config).compact()
        assert next(left) == 7


class TestBackup:
    async def test_is_whole_and_for_its_owner_only(self, database: Database, tmp_path: Path) -> None:
        file = tmp_path / "copy.db"
        told: list[tuple[str, int, int]] = []
        made = await database.backup(file, told=lambda *line: told.append(line))

        assert (made.size, made.unfinished) == (file.stat().st_size, 1)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert count(file) == 4
        assert told[-2][1] == told[-2][2]
        assert told[-1][0] == "checking"
        assert sorted(name.name for name in tmp_path.glob("copy*")) == ["copy.db"]

    async def test_never_replaces_a_file_unless_told(self, database: Database, tmp_path: Path) -> None:
        file = tmp_path / "copy.db"
        file.write_text("mine")
        with pytest.raises(Conflict, match="is there already"):
            await database.backup(file)
        assert file.read_text() == "mine"

        await database.backup(file, force=True)
        assert count(file) == 4
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    async def test_never_replaces_a_database_in_use(self, database: Database, path: Path, tmp_path: Path) -> None:
        with pytest.raises(Conflict, match="is the database itself"):
            await database.backup(path, force=True)
        link = tmp_path / "link.db"
        link.symlink_to(path)
        with pytest.raises(Conflict, match="is the database itself"):
            await database.backup(link, force=True)
        async with AutomationEngine(AutomationConfig(database_url=f"sqlite:///{tmp_path}/other.db")):
            with pytest.raises(Conflict, match="in use"):
                await database.backup(tmp_path / "other.db", force=True)

    async def test_what_is_not_sound_is_not_kept(self, database: Database, path: Path, tmp_path: Path) -> None:
        change(path, "DELETE FROM audit WHERE seq = 3")
        with pytest.raises(StoreError, match=r"copy\.db is not sound: main/4: row 3 is missing before it"):
            await database.backup(tmp_path / "copy.db")
        assert list(tmp_path.glob("copy*")) == []

    async def test_a_folder_must_be_there(self, database: Database, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="there is no folder"):
            await database.backup(tmp_path / "none" / "copy.db")

    async def test_two_at_once_do_not_write_one_file(self, database: Database, tmp_path: Path) -> None:
        import fcntl

        with (tmp_path / "copy.db.partial").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(Conflict, match="is being written by another process"):
                await database.backup(tmp_path / "copy.db")

    async def test_what_a_killed_one_left_is_no_hindrance(self, database: Database, tmp_path: Path) -> None:
        (tmp_path / "copy.db.partial").write_bytes(b"half a page" * 1000)
        await database.backup(tmp_path / "copy.db")
        assert count(tmp_path / "copy.db") == 4

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("postgresql://ann:secret@db:5432/ops", "--dbname=postgresql://ann@db:5432/ops"),
            ("postgresql+asyncpg://db/ops", "--dbname=postgresql://db/ops"),
        ],
    )
    async def test_postgresql_has_tools_of_its_own(self, url: str, shown: str) -> None:
        database = Database(AutomationConfig(database_url=url))
        with pytest.raises(ConfigurationError, match="pg_dump --format=custom --file='a b' ") as caught:
            await database.backup(Path("a b"))
        assert shown in caught.value.message
        assert "secret" not in caught.value.message
        with pytest.raises(ConfigurationError, match=r"pg_restore .* b\.dump$"):
            await database.restore(Path("b.dump"))

    async def test_one_in_memory_has_none(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="in memory"):
            await Database(AutomationConfig(database_url="sqlite://")).backup(tmp_path / "copy.db")


class TestRestore:
    @pytest.fixture
    async def copy(self, database: Database, tmp_path: Path) -> Path:
        file = tmp_path / "copy.db"
        await database.backup(file)
        return file

    async def test_work_goes_on_from_where_the_backup_has_it(
        self, config: AutomationConfig, database: Database, copy: Path, path: Path
    ) -> None:
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(WORKFLOWS[0])
            await engine.execute_workflow("quick")

        made = await database.restore(copy)

        assert (made.schema, made.unfinished, made.lost) == (schema.HEAD, 1, Loss(executions=1))
        assert made.aside is not None
        assert (count(path), count(Path(made.aside))) == (4, 5)
        assert list(path.parent.glob("automation.db-*")) == []
        assert (await database.check()).problems == ()
        async with AutomationEngine(config) as engine:
            await engine.drain()
            [waiting] = [each for each in (await engine.queries.executions()).items if not each.status.finished]
            await engine.cancel(waiting.id)
            assert (await engine.wait_for(waiting.id)).status.value == "cancelled"

    async def test_is_refused_while_an_engine_works(self, config: AutomationConfig, copy: Path) -> None:
        async with AutomationEngine(config):
            with pytest.raises(Conflict, match=f"an engine works on this database .process {os.getpid()} "):
                await Database(config).restore(copy)

    async def test_is_refused_while_a_node_of_another_machine_has_its_lease(
        self, database: Database, copy: Path, path: Path
    ) -> None:
        change(path, "INSERT INTO nodes VALUES ('n', 'elsewhere', 7, 0.0, 0.0, 1e12)")
        with pytest.raises(Conflict, match="process 7 on elsewhere"):
            await database.restore(copy)

    async def test_a_dead_process_is_no_hindrance(self, database: Database, copy: Path, path: Path) -> None:
        change(path, f"INSERT INTO nodes VALUES ('n', '{machine()}', 99999999, 0.0, 0.0, 1e12)")
        restored = await database.restore(copy)
        assert restored.file == str(copy)

    async def test_is_refused_while_anybody_has_it_open(self, database: Database, copy: Path, path: Path) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA journal_mode=WAL")
            other.execute("SELECT * FROM nodes").fetchall()
            with pytest.raises(Conflict, match=r"another process has .* open"):
                await database.restore(copy)
        assert [file.name for file in path.parent.glob("*.replaced-*")] == []

    async def test_what_is_no_backup_is_refused(
        self, database: Database, copy: Path, path: Path, tmp_path: Path
    ) -> None:
        before = path.read_bytes()
        text = tmp_path / "text"
        text.write_text("hello, this is a text and not a database at all\n" * 100)
        with pytest.raises(StoreError, match="text is not a SQLite database"):
            await database.restore(text)
        with pytest.raises(NotFound, match="there is no file"):
            await database.restore(tmp_path / "none")
        with pytest.raises(Conflict, match="is the database itself"):
            await database.restore(path)
        other = tmp_path / "songs.db"
        change(other, "CREATE TABLE songs (id)")
        with pytest.raises(StoreError, match=r"is not sound: schema: there are no tables of automation"):
            await database.restore(other)
        change(copy, "UPDATE audit SET act = 'x' WHERE seq = 2")
        with pytest.raises(StoreError, match="is not sound: main/2: was changed"):
            await database.restore(copy)
        change(copy, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(StoreError, match="is not sound: schema: is 9999"):
            await database.restore(copy)
        assert path.read_bytes() == before
        assert list(tmp_path.glob("*.partial*")) == []

    async def test_a_broken_database_is_replaced_and_its_log_does_not_stay(
        self, database: Database, copy: Path, path: Path
    ) -> None:
        path.write_bytes(b"\0" * 8192)
        path.with_name("automation.db-wal").write_bytes(b"the log of another")

        made = await database.restore(copy)

        assert (await database.check()).problems == ()
        assert made.aside is not None
        assert made.lost is None, "nobody can say"
        assert list(path.parent.glob("automation.db-*")) == []
        assert Path(made.aside).read_bytes() == b"\0" * 8192

    async def test_on_a_new_machine(self, copy: Path, tmp_path: Path) -> None:
        place = tmp_path / "new"
        place.mkdir()
        database = Database(AutomationConfig(database_url=f"sqlite:///{place}/automation.db"))
        made = await database.restore(copy)
        assert made.aside is None
        assert (await database.check()).problems == ()

    async def test_an_older_backup_is_taken_and_migrated_later(self, database: Database, tmp_path: Path) -> None:
        old = tmp_path / "old.db"
        migrate_to(old, "0001")
        made = await database.restore(old)
        assert made.schema == "0001"
        assert (await database.migrate()).found == "0001"
        assert (await database.check()).problems == ()

    @pytest.mark.skipif(os.getuid() != 0, reason="giving files away needs the administrator")
    async def test_the_owner_stays_the_same(self, database: Database, copy: Path, path: Path) -> None:
        shutil.chown(path, 12345, 12346)
        await database.restore(copy)
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)
