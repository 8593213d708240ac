"""The demonstration, really played: real processes, real CPU, in less than 90 seconds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.support.programs import free_port

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "automation", "demo"]


def left_over(directory: Path) -> list[str]:
    """The command lines of processes that were started for a demonstration in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "automation.demo." in line and (str(directory) in line or process.cwd().startswith(str(directory))):
                found.append(line)
    return found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], float]:
    """One performance: its folder, what it printed as JSON, and how long it took."""
    directory = tmp_path_factory.mktemp("demo") / "work"
    began = time.monotonic()
    done = subprocess.run(
        [*DEMO, "--dir", directory, "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    took = time.monotonic() - began
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log(directory)}"
    return directory, json.loads(done.stdout), took


def log(directory: Path) -> str:
    return (directory / "engine.log").read_text(encoding="utf-8") if (directory / "engine.log").exists() else ""


def test_it_takes_less_than_90_seconds(played: tuple[Path, dict[str, Any], float]) -> None:
    assert played[2] < 90


def test_all_of_it_happened(played: tuple[Path, dict[str, Any], float]) -> None:
    told = played[1]
    assert told["ok"] is True
    assert told["missing"] == []
    types = [event["type"] for event in told["events"]]
    order = [
        "demo.replica_killed",
        "service_health_check_failed",
        "service_health_check_recovered",
        "demo.load_raised",
        "alert.firing",
        "alert.resolved",
        "demo.load_report",
    ]
    assert [type for type in types if type in order] == order


def test_each_event_started_what_it_should(played: tuple[Path, dict[str, Any], float]) -> None:
    events = {event["type"]: event for event in played[1]["events"]}
    [restart] = events["service_health_check_failed"]["started"]
    assert restart["workflow"] == "service_restart_workflow"
    assert restart["why"] == "conditions: event service_health_check_failed of monitoring"
    assert [action["status"] for action in restart["actions"]] == ["succeeded"]
    killed = events["demo.replica_killed"]["data"]["replica"]
    assert killed in restart["actions"][0]["outputs"]["restarted"]
    [scaling] = events["alert.firing"]["started"]
    assert [action["name"] for action in scaling["actions"]] == ["scale_infrastructure", "notify_slack"]
    scaled = scaling["actions"][0]["outputs"]
    assert (scaled["from"], scaled["to"], scaled["replicas"]) == (2, 3, 3)


def test_the_figures_are_measured(played: tuple[Path, dict[str, Any], float]) -> None:
    figures = played[1]["figures"]
    assert 0 < figures["restart"]["detected_after"] < figures["restart"]["recovered_after"] < 60
    assert 4 < figures["scaling"]["detected_after"] < figures["scaling"]["recovered_after"]
    assert figures["scaling"]["cpu_usage_before"] > 80 >= figures["scaling"]["cpu_usage_after"]
    # Requests time out after a second: on a machine that has other things to do, some do.
    assert figures["load"]["availability_percent"] > 50
    assert figures["load"]["ok"] > 100
    assert figures["audit_rows"] > 5


def test_it_is_in_the_store(played: tuple[Path, dict[str, Any], float]) -> None:
    connection = sqlite3.connect(played[0] / "automation.db")
    rows = connection.execute("SELECT workflow, status FROM executions ORDER BY id").fetchall()
    sent = connection.execute("SELECT channel, recipient, status FROM notifications").fetchall()
    connection.close()
    assert rows == [("service_restart_workflow", "succeeded"), ("high_cpu_usage", "succeeded")]
    assert sent == [("slack", "#ops-alerts", "sent")]
    verify = subprocess.run(
        [sys.executable, "-m", "automation", "audit", "verify"],
        env={**os.environ, "AUTOMATION_DATABASE_URL": f"sqlite:///{played[0]}/automation.db"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert verify.returncode == 0, verify.stderr


def test_nothing_is_left_running(played: tuple[Path, dict[str, Any], float]) -> None:
    assert left_over(played[0]) == []
    assert (
        json.loads((played[0] / "services" / "process" / "playback-api" / "endpoints.json").read_text())["addresses"]
        == []
    )


def test_it_is_not_played_over_what_is_there(played: tuple[Path, dict[str, Any], float]) -> None:
    again = subprocess.run([*DEMO, "--dir", played[0]], capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 2
    assert again.stderr.startswith("error: --dir: ")


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*DEMO, "--keep", "--port", str(port), "--dir", tmp_path / "work"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(f"error: cannot listen on 127.0.0.1:{port}: the port is in use")
    assert left_over(tmp_path) == []


def line_with(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line of the program's output that fits."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"the program ended without {pattern!r}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_ends_every_process(tmp_path: Path, number: int, code: int) -> None:
    directory = tmp_path / "work"
    with subprocess.Popen(
        [*DEMO, "--dir", directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        line_with(demo, r"requests a second; each costs")
        assert len(left_over(directory)) >= 2
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (code, "")
    assert left_over(directory) == []


def test_kept_up_it_has_a_console(tmp_path: Path) -> None:
    directory, port = tmp_path / "work", free_port()
    with subprocess.Popen(
        [*DEMO, "--keep", "--port", str(port), "--dir", directory], stdout=subprocess.PIPE, text=True
    ) as demo:
        line_with(demo, r"The console is at ")
        line_with(demo, r"stay up until Ctrl-C")
        token = (directory / "admin.token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{port}"
        [view] = httpx2.get(f"{url}/api/v1/services", headers=headers).json()["items"]
        assert sum(replica["alive"] for replica in view["replicas"]) == 3
        assert httpx2.get(f"{url}/", headers=headers, follow_redirects=True).status_code == 200
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)
    assert demo.returncode == 0
    assert left_over(directory) == []
