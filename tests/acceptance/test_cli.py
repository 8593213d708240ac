"""The command line as people use it: real programs, their exit codes, and one clear line for what goes wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.full_disk import can_mount

AUTOMATION = [sys.executable, "-m", "automation"]

DEFINITIONS = """
workflows:
  - name: hello
    actions:
      - {name: greet, action_type: flow.set, parameters: {values: {text: "hello ${who}"}}}
  - name: slow
    actions: [{name: wait, action_type: flow.wait, parameters: {seconds: 600}}]
"""


def call(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*AUTOMATION, *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What a command that failed says: one line, and perhaps the next step; never a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: "), done.stderr
    assert all(line.startswith("  ") for line in lines[1:]), done.stderr
    return lines[0].removeprefix("error: ")


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """The working directory, with definitions and an empty database."""
    (tmp_path / "automation.yaml").write_text("level: intelligent\n", encoding="utf-8")
    (tmp_path / "automation.d").mkdir()
    (tmp_path / "automation.d" / "definitions.yaml").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "automation-data").mkdir()
    shutil.copy(empty_database, tmp_path / "automation-data" / "automation.db")
    return tmp_path


class TestStart:
    @pytest.mark.parametrize("arguments", [["--help"], ["version"]])
    def test_help_and_version_load_nothing_heavy(self, arguments: list[str]) -> None:
        program = (
            "import sys\n"
            f"sys.argv = ['automation', *{arguments}]\n"
            "from automation.cli import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
            "print('\\nLOADED', *sorted(sys.modules))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        loaded = set(done.stdout.rpartition("LOADED")[2].split())
        assert loaded & {"fastapi", "uvicorn", "sqlalchemy", "alembic", "lark", "psutil", "httpx2", "jinja2"} == set()

    def test_the_installed_program_is_the_same(self) -> None:
        program = Path(sys.executable).with_name("automation")
        if not program.exists():
            pytest.skip("the package is not installed")
        done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == call("version").stdout


class TestDatabase:
    """What is wrong with it is said in one line, whatever command meets it."""

    def test_a_missing_folder(self) -> None:
        for command in ("executions list", "audit verify", "tokens list", "events publish x"):
            line = one_line(call(*command.split(), AUTOMATION_DATABASE_URL="sqlite:////nosuch/folder/x.db"), 1)
            assert line.endswith("the folder /nosuch/folder does not exist; create it")

    def test_a_missing_folder_for_serve(self) -> None:
        line = one_line(call("serve", "--port", "0", "--database-url", "sqlite:////nosuch/folder/x.db"), 1)
        assert (
            line == "cannot open the database /nosuch/folder/x.db: the folder /nosuch/folder does not exist; create it"
        )

    def test_a_locked_file(self, folder: Path) -> None:
        with closing(sqlite3.connect("automation-data/automation.db", isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            for command in (["executions", "list"], ["run", "hello", "--var", "who=x"], ["serve", "--port", "0"]):
                line = one_line(call(*command, AUTOMATION_STORE__BUSY_TIMEOUT_SECONDS="0.1"), 1)
                assert line.endswith("it is locked by another process; stop that one, or wait")

    def test_a_file_of_something_else(self) -> None:
        Path("x.db").write_text("this is not a database, by far " * 40, encoding="utf-8")
        line = one_line(call("executions", "list", DATABASE_URL="sqlite:///x.db"), 1)
        assert line.endswith("the file is not a SQLite database")

    def test_tables_of_another_program(self) -> None:
        with closing(sqlite3.connect("x.db")) as connection:
            connection.execute("CREATE TABLE songs (id)")
        assert "tables of another program" in one_line(call("executions", "list", DATABASE_URL="sqlite:///x.db"), 1)

    def test_a_newer_schema(self, folder: Path) -> None:
        with closing(sqlite3.connect("automation-data/automation.db")) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
        assert "schema 9999" in one_line(call("executions", "list"), 2)

    @pytest.mark.parametrize("url", ["nonsense", "mysql://x", "sqlite://x.db"])
    def test_a_wrong_url(self, url: str) -> None:
        assert one_line(call("executions", "list", DATABASE_URL=url), 2).startswith("database_url: ")

    def test_a_data_folder_that_cannot_be_made(self) -> None:
        Path("taken").write_text("", encoding="utf-8")
        assert one_line(call("serve", "--port", "0", "--data-dir", "taken/data"), 1) == "taken/data: Not a directory"

    @pytest.mark.skipif(not can_mount(), reason="this user may not mount a small file system")
    @pytest.mark.parametrize(
        "command", ["run hello --var who=x", "serve --port 0", "tokens issue x --role automation_admin"]
    )
    def test_a_full_disk(self, folder: Path, command: str) -> None:
        # Only this program and what it runs see the small file system; what is left of it goes with them.
        script = (
            "mount --make-rprivate / && mount -t tmpfs -o size=1m none small && cp -r automation.yaml automation.d "
            'automation-data small && cd small && (cat /dev/zero > filler 2>/dev/null || true) && exec "$@"'
        )
        (folder / "small").mkdir()
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *AUTOMATION, *command.split()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        one_line(done, 1)
        # SQLite says the one or the other, depending on which of its files finds no room first.
        assert "the disk is full; make room" in done.stderr or "the disk may be full, or broken" in done.stderr


class TestConfiguration:
    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"AUTOMATION_LEVLE": "x"}, "levle: unknown key"),
            ({"AUTOMATION_API__PORT": "x"}, "api.port: "),
            ({"AUTOMATION_CONFIG": "nosuch.yaml"}, "nosuch.yaml: there is no such file"),
        ],
    )
    def test_what_is_wrong_is_said(self, variables: dict[str, str], message: str) -> None:
        done = call("serve", **variables)
        one_line(done, 2)
        assert message in done.stderr

    def test_wrong_definitions_are_said_with_file_and_line(self, folder: Path) -> None:
        Path("automation.d/bad.yaml").write_text("workflows:\n  - name: x\n", encoding="utf-8")
        done = call("serve", "--port", "0")
        one_line(done, 2)
        assert "automation.d/bad.yaml:2: workflows[0].actions: is required" in done.stderr

    def test_a_port_in_use(self, folder: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            line = one_line(call("serve", "--port", str(port)), 2)
        assert line.startswith(f"cannot listen on 127.0.0.1:{port}: the port is in use")

    def test_a_host_that_is_not_ours(self, folder: Path) -> None:
        assert "api.host is not an address of this machine" in one_line(call("serve", "--host", "192.0.2.1"), 2)

    def test_no_server_there(self) -> None:
        line = one_line(call("executions", "list", AUTOMATION_URL="http://127.0.0.1:1"), 1)
        assert line == "cannot reach http://127.0.0.1:1: Connection refused"


class TestRun:
    def test_output_for_programs(self, folder: Path) -> None:
        done = call("run", "hello", "--var", "who=you", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["actions"][0]["outputs"] == {"text": "hello you"}

    def test_interrupted_it_is_left_to_a_later_engine(self, folder: Path) -> None:
        with subprocess.Popen(
            [*AUTOMATION, "run", "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("started ")
            assert "wait: waiting\n" in iter(process.stdout.readline, "")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.endswith(" is left unfinished; an engine on its database goes on with it\n")
        assert len(errors.splitlines()) == 1
        assert json.loads(call("executions", "list", "--json").stdout)["items"][0]["status"] == "waiting"

    def test_on_a_terminal_its_progress_is_live(self, folder: Path) -> None:
        screen = on_terminal([*AUTOMATION, "run", "hello", "--var", "who=you"])
        assert "\x1b[?25l" in screen
        assert '{"text": "hello you"}' in screen

    def test_no_color(self, folder: Path) -> None:
        assert call("run", "hello", "--var", "who=you").returncode == 0
        assert "\x1b[32msucceeded" in on_terminal([*AUTOMATION, "executions", "list"])
        assert "\x1b[3" not in on_terminal([*AUTOMATION, "executions", "list"], NO_COLOR="1")

    def test_a_reader_that_leaves(self, folder: Path) -> None:
        with subprocess.Popen(
            [*AUTOMATION, "workflows", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait(30) == 0


def on_terminal(command: list[str], **variables: str) -> str:
    """What a program writes to a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **variables},
    ) as process:
        os.close(follower)
        written = b""
        while select.select([leader], [], [], 30)[0]:
            try:
                part = os.read(leader, 65536)
            except OSError:
                break
            if not part:
                break
            written += part
        assert process.wait(30) == 0, written
    os.close(leader)
    return written.decode()


class Service:
    """A running `automation serve`."""

    def __init__(self, process: subprocess.Popen[str], facts: dict[str, Any], log: Path) -> None:
        self.process = process
        self.facts = facts
        self.log = log
        self.token = Path(facts["admin_token_file"]).read_text(encoding="utf-8").strip()

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        return call(*arguments, AUTOMATION_URL=self.facts["url"], AUTOMATION_TOKEN=self.token)

    def until(self, holds: Callable[[], bool]) -> None:
        """Return as soon as something holds that this service must bring about; fail after a minute."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")
            time.sleep(0.05)

    def metric(self, name: str) -> float:
        """The value of one of its metrics."""
        text = httpx2.get(f"{self.facts['url']}/metrics").text
        match = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert match, text
        return float(match[1])


@contextmanager
def serving(*arguments: str) -> Iterator[Service]:
    """Start `automation serve`, and end it."""
    log = Path("serve.log")
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [*AUTOMATION, "serve", "--port", "0", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text(encoding="utf-8")
        try:
            yield Service(process, json.loads(line), log)
        finally:
            process.terminate()
            code = process.wait(30)
    assert code == 0, log.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(240)
class TestServe:
    def test_answers_commands_and_pages(self, folder: Path) -> None:
        with serving() as service:
            assert service.facts["workflows"] == 2
            assert service.facts["admin_token_new"] is True
            assert Path(service.facts["admin_token_file"]).stat().st_mode & 0o777 == 0o600
            assert service.token not in service.log.read_text(encoding="utf-8")
            done = service.call("run", "hello", "--var", "who=you", "--json")
            assert json.loads(done.stdout)["execution"]["actor"] == "admin"
            assert "succeeded" in service.call("executions", "list").stdout
            assert service.call("events", "publish", "ping").returncode == 0
            assert service.call("audit", "verify").returncode == 0
            assert one_line(call("executions", "list", AUTOMATION_URL=service.facts["url"]), 2).startswith(
                "a valid token"
            )
            page = httpx2.get(f"{service.facts['url']}/", headers={"Authorization": f"Bearer {service.token}"})
            assert page.status_code in (200, 303, 307)
            execution = json.loads(call("executions", "list", "--json").stdout)["items"][0]["id"]
            assert "set AUTOMATION_URL" in call("executions", "cancel", execution).stderr

    def test_reads_changed_definitions_and_keeps_the_old_ones_over_bad_ones(self, folder: Path) -> None:
        file = Path("automation.d/more.yaml")
        with serving() as service:
            assert service.metric("automation_config_last_reload_successful") == 1
            file.write_text("workflows:\n  - name: [\n", encoding="utf-8")
            service.until(lambda: service.metric("automation_config_last_reload_successful") == 0)
            assert "automation.d/more.yaml:" in service.log.read_text(encoding="utf-8")
            assert set(names(service)) == {"hello", "slow"}
            file.write_text(DEFINITIONS.replace("hello", "more").replace("slow", "other"), encoding="utf-8")
            service.until(lambda: set(names(service)) == {"hello", "slow", "more", "other"})
            assert service.metric("automation_config_last_reload_successful") == 1
            file.unlink()
            service.until(lambda: set(names(service)) == {"hello", "slow"})

    def test_reloads_when_asked(self, folder: Path) -> None:
        with serving() as service:
            url, headers = f"{service.facts['url']}/-/reload", {"Authorization": f"Bearer {service.token}"}
            assert httpx2.post(url).status_code == 401
            assert httpx2.post(url, headers=headers).json()["definitions"]["workflows"] == 2
            Path("automation.d/bad.yaml").write_text("bogus: 1\n", encoding="utf-8")
            refused = httpx2.post(url, headers=headers)
            assert refused.status_code == 400
            assert "unknown key" in refused.text
            Path("automation.d/bad.yaml").unlink()
            before = service.log.read_text(encoding="utf-8").count("definitions are in force")
            service.process.send_signal(signal.SIGHUP)
            service.until(lambda: service.log.read_text(encoding="utf-8").count("definitions are in force") > before)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ends_in_order(self, folder: Path, number: int) -> None:
        with serving() as service:
            service.process.send_signal(number)
            assert service.process.wait(30) == 0
        # What it held is anybody's at once.
        done = call("run", "hello", "--var", "who=you")
        assert done.returncode == 0, done.stderr

    def test_a_second_engine_on_the_port_is_refused_before_it_acts(self, folder: Path) -> None:
        with serving() as service:
            port = service.facts["url"].rpartition(":")[2]
            before = json.loads(service.call("audit", "list", "--json").stdout)["items"][0]["seq"]
            assert "the port is in use" in one_line(call("serve", "--port", port), 2)
            assert json.loads(service.call("audit", "list", "--json").stdout)["items"][0]["seq"] == before


def names(service: Service) -> list[str]:
    """The workflows that are in force."""
    url, headers = f"{service.facts['url']}/api/v1/workflows", {"Authorization": f"Bearer {service.token}"}
    return [item["name"] for item in httpx2.get(url, headers=headers).json()["items"]]
