"""`automation.utils` and `automation.profiling`."""

from __future__ import annotations

import pstats
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from automation.errors import ConfigurationError, Conflict
from automation.profiling import disable_profiling, enable_profiling
from automation.utils import test_db_connection as try_database


class TestDatabase:
    def test_one_that_can_be_used(self, config: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert try_database(f"sqlite:///{tmp_path}/automation.db") is True
        [line] = capsys.readouterr().out.splitlines()
        assert line.startswith(f"database: {tmp_path}/automation.db can be read and written (schema 0002; ")

    def test_the_configured_one(
        self, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copy(empty_database, "own.db")
        monkeypatch.setenv("AUTOMATION_DATABASE_URL", "sqlite:///own.db")
        assert try_database() is True
        assert "own.db can be read and written" in capsys.readouterr().out

    async def test_within_an_event_loop(self, config: object, tmp_path: Path) -> None:
        assert try_database(f"sqlite:///{tmp_path}/automation.db") is True

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("sqlite:////nosuch/folder/x.db", "the folder /nosuch/folder does not exist; create it"),
            ("sqlite:///nosuch.db", "there is no file nosuch.db; the engine makes it"),
            ("sqlite:///empty.db", "empty.db has no tables of automation"),
            ("sqlite:///text.db", "the file is not a SQLite database"),
            ("sqlite:///newer.db", "newer.db has schema 9999; this version of automation knows"),
            ("mysql://x", "mysql is not supported"),
            ("nonsense", "is not a URL"),
        ],
    )
    def test_one_that_cannot(self, url: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
        Path("text.db").write_text("this is not a database, by far " * 40, encoding="utf-8")
        Path("empty.db").touch()
        connection = sqlite3.connect("newer.db")
        connection.executescript(
            "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9999')"
        )
        connection.close()
        assert try_database(url) is False
        [line] = capsys.readouterr().out.splitlines()
        assert line.startswith("database: ")
        assert message in line
        assert not Path("nosuch.db").exists()

    def test_a_wrong_configuration(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("automation.yaml").write_text("bogus: 1\n", encoding="utf-8")
        assert try_database() is False
        assert len(capsys.readouterr().out.splitlines()) == 1

    def test_a_locked_one(
        self, config: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AUTOMATION_STORE__BUSY_TIMEOUT_SECONDS", "0.05")
        connection = sqlite3.connect(tmp_path / "automation.db", isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            assert try_database(f"sqlite:///{tmp_path}/automation.db") is False
        finally:
            connection.close()
        assert "it is locked by another process" in capsys.readouterr().out


def here() -> int:
    return sum(index for index in range(1000))


def in_a_thread() -> int:
    return sum(index for index in range(1000))


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    yield
    disable_profiling()


def functions(path: Path) -> set[str]:
    return {name for _, _, name in pstats.Stats(str(path)).stats}  # type: ignore[attr-defined]


class TestProfiling:
    def test_covers_this_thread_and_later_ones(self, tmp_path: Path) -> None:
        with enable_profiling(tmp_path / "x.prof") as profiling:
            here()
            thread = threading.Thread(target=in_a_thread)
            thread.start()
            thread.join()
        assert {"here", "in_a_thread"} <= functions(profiling.output_file)
        later = threading.Thread(target=here)
        later.start()
        later.join()
        assert sys.getprofile() is None

    def test_can_be_ended_by_name(self, tmp_path: Path) -> None:
        enable_profiling(str(tmp_path / "x.prof"))
        here()
        assert disable_profiling() == tmp_path / "x.prof"
        assert "here" in functions(tmp_path / "x.prof")
        assert disable_profiling() is None

    def test_is_on_once_only(self, tmp_path: Path) -> None:
        first = enable_profiling(tmp_path / "x.prof")
        with pytest.raises(Conflict, match="profiling is on already"):
            enable_profiling(tmp_path / "y.prof")
        first.stop()
        assert first.stop() == tmp_path / "x.prof"
        enable_profiling(tmp_path / "y.prof")

    def test_a_file_that_cannot_be_written_is_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"cannot write the profile to .*nosuch"):
            enable_profiling(tmp_path / "nosuch" / "x.prof")

    def test_the_end_of_the_process_writes_it(self, tmp_path: Path) -> None:
        code = (
            "from automation.profiling import enable_profiling\n"
            f"enable_profiling(output_file={str(tmp_path / 'x.prof')!r})\n"
            "def worked(): return sum(range(1000))\n"
            "worked()"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
        assert "worked" in functions(tmp_path / "x.prof")
