"""`automation serve` with a hundred workflows: how soon it is ready, and how much it holds when idle."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import yaml

from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Setting

WORKFLOWS = 100
IDLE_SECONDS = 5.0


def run(setting: Setting) -> Outcome:
    """Spawn it, ask `/readyz` until it answers 200, look at its memory and processor time after a few idle seconds."""
    config = _write_definitions(setting.folder)
    ready, memory, idle = [], [], []
    first = 0.0
    for number in range(2 if setting.quick else 5):
        seconds, megabytes, share = _once(setting.folder, config)
        if number == 0:
            first = seconds
        else:
            ready.append(seconds)
            memory.append(megabytes)
            idle.append(share)
    figures = [
        Figure("ready, the first time", first * 1000, "ms", "makes its database"),
        Figure("ready, again", median(ready) * 1000, "ms", "from spawn to /readyz 200"),
        Figure("resident memory, idle", median(memory), "MB", f"after {IDLE_SECONDS:g} s"),
        Figure("processor time, idle", median(idle) * 100, "%", "of one core, over the next 5 s"),
    ]
    return Outcome("serving", f"automation serve with {WORKFLOWS} workflows", figures)


def _write_definitions(folder: Path) -> Path:
    """Workflows as people write them: an event with a condition, three actions, expressions in their parameters."""
    workflows = [
        {
            "name": f"workflow-{number}",
            "triggers": [
                {"type": "event", "event": f"event.{number}", "condition": "load > 80 AND region IN ['eu', 'us']"}
            ],
            "actions": [
                {
                    "name": name,
                    "action_type": "flow.set",
                    "parameters": {"values": {"host": "${event.data.host}", "text": f"step {name} of ${{load}} %"}},
                    "conditions": ["load > 10"],
                }
                for name in ("look", "act", "tell")
            ],
        }
        for number in range(WORKFLOWS)
    ]
    (folder / "automation.d").mkdir()
    (folder / "automation.d" / "workflows.yaml").write_text(yaml.safe_dump({"workflows": workflows}))
    config = folder / "automation.yaml"
    config.write_text(yaml.safe_dump({"data_dir": str(folder / "data"), "definitions": str(folder / "automation.d")}))
    return config


def _once(folder: Path, config: Path) -> tuple[float, float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "automation", "serve", "--config", str(config), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "serve.log").open("ab") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        while not _ready(port):
            if process.poll() is not None:
                raise RuntimeError((folder / "serve.log").read_text())
            time.sleep(0.005)
        seconds = time.perf_counter() - begin
        time.sleep(IDLE_SECONDS)
        server = psutil.Process(process.pid)
        before = sum(server.cpu_times()[:2])
        time.sleep(5.0)
        share = (sum(server.cpu_times()[:2]) - before) / 5.0
        return seconds, server.memory_info().rss / 1e6, share
    finally:
        process.terminate()
        process.wait(30)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
