"""Side by side with ansible-rulebook and its Drools: the same events and rules, in the same run and in turns."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import psutil
import yaml

from benchmarks import publish
from benchmarks.comparison import PEERS, environment
from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Impossible, Setting

LIMIT_SECONDS = 240.0
"""How long one round of the peer may take; then it is killed."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What ansible-rulebook is run with."""

    program: Path
    java: Path
    folder: Path


def run(setting: Setting) -> Outcome:
    """Ours keeps on disk what matches and starts a workflow; the peer does nothing for it, and keeps nothing."""
    java = shutil.which("java")
    if java is None:
        raise Impossible("ansible-rulebook needs a Java runtime: apt-get install openjdk-17-jre-headless")
    python, reason = environment(setting.folder, PEERS / "rulebook.txt")
    if reason is not None:
        raise Impossible(f"ansible-rulebook: {reason}")
    peer = Peer(Path(python).parent / "ansible-rulebook", Path(java).resolve().parents[1], setting.folder)
    return asyncio.run(_run(setting, peer, *((1, 2_000) if setting.quick else (3, 10_000))))


async def _run(setting: Setting, peer: Peer, rounds: int, count: int) -> Outcome:
    ours: list[publish.Measured] = []
    theirs: list[publish.Measured] = []
    _write_rulebook(peer.folder, count)
    for number in range(rounds):
        ours += await publish.measured(setting, f"ours-{number}", "matched", 3)
        theirs.append(await asyncio.to_thread(_once, peer, count))
    ratio = median([one.rate for one in ours]) / median([one.rate for one in theirs])
    processor = median([one.processor for one in theirs]) / median([one.processor for one in ours])
    figures = [
        *publish.figures("automation", ours),
        *publish.figures("ansible-rulebook", theirs)[:2],
        Figure("ratio of the rates", ratio, "", "wanted 20"),
        Figure("ratio of the processor times", processor, ""),
    ]
    facts = {
        "ansible-rulebook": "a source that gives events as quickly as it may; what matches has the action `none`",
        "counted": "from the first event given to the one behind the last being seen by its rule",
    }
    title = f"{publish.RULES:,} rules, 1 % of the events match, {rounds} rounds in turns"
    return Outcome("rulebook", title, figures, facts)


def _write_rulebook(folder: Path, count: int) -> None:
    rules: list[dict[str, Any]] = [
        {
            "name": f"rule-{number}",
            "condition": f'event.type == "type-{number}" and event.load > 80',
            "action": {"none": {}},
        }
        for number in range(publish.RULES)
    ]
    rules.append({"name": "end", "condition": 'event.type == "end"', "action": {"print_event": {}}})
    sources = [{"name": "flood", "flood": {"count": count, "types": publish.RULES}}]
    book = [{"name": "bench", "hosts": "all", "sources": sources, "rules": rules}]
    (folder / "rules.yml").write_text(yaml.safe_dump(book))
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": None}}}))


def _once(peer: Peer, count: int) -> publish.Measured:
    arguments = ["--rulebook", "rules.yml", "-i", "inventory.yml", "-S", str(PEERS / "rulebook")]
    binaries = f"{peer.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    process = subprocess.Popen(
        [str(peer.program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "JAVA_HOME": str(peer.java), "PATH": binaries},
        cwd=peer.folder,
        text=True,
        start_new_session=True,
    )
    watchdog = Timer(LIMIT_SECONDS, process.kill)
    watchdog.start()
    begun = processor = 0.0
    said: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("begin "):
                begun, processor = float(line.split()[1]), _processor(process.pid)
            elif "'type': 'end'" in line and begun:
                seconds, used = time.perf_counter() - begun, _processor(process.pid) - processor
                return publish.Measured(count / seconds, used / count, count / seconds)
        raise Impossible(f"ansible-rulebook ended too early: {''.join(said)[-500:]}")
    finally:
        watchdog.cancel()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _processor(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)
