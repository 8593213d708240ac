"""Side by side with other engines for durable workflows, in the same run and in turns."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import child
from benchmarks.databases import POSTGRES, SQLITE
from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Setting

PEERS = Path(__file__).parent / "peers"
LEFT_OUT = {
    "Prefect": "3.9.1 runs from PyPI, but its own server on SQLite refused twenty flows at once (HTTP 503)",
    "Restate": "PyPI has its SDK only; its server is a program that has to come from elsewhere",
    "Temporal": "PyPI has its SDK only; its test server is downloaded from elsewhere when it is first used",
}
"""What was looked at and is not compared, and why."""


@dataclass(slots=True)
class Side:
    """One engine on one kind of database."""

    name: str
    module: str
    python: str
    turns: int
    """How often the workflows are run in one round: the slower get fewer."""
    found: list[dict[str, Any]] = field(default_factory=list)

    def rates(self) -> list[float]:
        """Actions a second, round by round."""
        return [one["actions"] / one["seconds"] for one in self.found]

    def processor(self) -> list[float]:
        """Seconds of processor time an action, round by round."""
        return [one["processor"] / one["actions"] for one in self.found]


def run(setting: Setting) -> Outcome:
    """The same workflow of three steps, many at once, each engine as it comes."""
    return asyncio.run(_run(setting))


async def _run(setting: Setting) -> Outcome:
    at_once, rounds = (20, 1) if setting.quick else (200, 3)
    python, reason = environment(setting.folder, PEERS / "dbos.txt")
    facts = {} if reason is None else {"DBOS Transact": f"left out: {reason}"}
    facts |= {kind: await setting.databases.about(kind) for kind in (SQLITE, POSTGRES)}
    figures = []
    for kind in setting.databases.kinds:
        sides = [Side("automation", "benchmarks.peers.automation_three", sys.executable, 5)]
        if reason is None:
            sides.append(Side("DBOS Transact", "benchmarks.peers.dbos_three", python, 1))
        for turn in range(rounds):
            for side in sides:
                await _once(setting, kind, side, at_once, turn)
        figures += _figures(kind, sides)
        facts |= {side.name: side.found[0]["version"] for side in sides}
    facts |= {peer: f"left out: {why}" for peer, why in LEFT_OUT.items()}
    title = f"workflows of 3 steps, {at_once} at once, {rounds} rounds in turns, each engine with its defaults"
    return Outcome("peers", title, figures, facts)


async def _once(setting: Setting, kind: str, side: Side, at_once: int, turn: int) -> None:
    folder = setting.folder / f"{kind}-{side.module.rpartition('.')[2]}-{turn}"
    await asyncio.to_thread(folder.mkdir)
    async with setting.databases.new(folder, kind) as database:
        arguments = (folder, database.url, at_once, side.turns)
        side.found.append(await asyncio.to_thread(_hear, folder, side, arguments))


def _hear(folder: Path, side: Side, arguments: tuple[object, ...]) -> dict[str, Any]:
    with child(folder, side.module, *arguments, python=side.python) as process:
        return process.hear()


def _figures(kind: str, sides: list[Side]) -> list[Figure]:
    figures = []
    for side in sides:
        rates = side.rates()
        spread = f"best {max(rates):,.0f}, worst {min(rates):,.0f}"
        note = "all threads of its process; steadier than the rate"
        figures += [
            Figure(f"{kind}: {side.name}, durable actions a second", median(rates), "/s", spread),
            Figure(f"{kind}: {side.name}, processor time an action", median(side.processor()) * 1e6, "µs", note),
        ]
    ours = sides[0]
    for side in sides[1:]:
        ratios = [one / other for one, other in zip(ours.rates(), side.rates(), strict=True)]
        spread = f"of the rates, in turns; {min(ratios):.1f} to {max(ratios):.1f}"
        figures.append(Figure(f"{kind}: ratio to {side.name}", median(ratios), "", spread))
    return figures


def environment(folder: Path, requirements: Path) -> tuple[str, str | None]:
    """The Python of a new virtual environment with these requirements, or why there is none."""
    place = folder / requirements.stem
    python = place / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    commands = ([sys.executable, "-m", "venv", str(place)], [*install, "--requirement", str(requirements)])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
        except subprocess.TimeoutExpired:
            return str(python), f"{' '.join(command[1:4])} took longer than ten minutes"
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return str(python), f"{' '.join(command[1:4])} failed: {''.join(last)}"
    return str(python), None
