"""Whether what is stored makes what is done slower: the same load on a short and on a long history."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import engines, stored
from benchmarks.figures import Figure, Outcome, median
from benchmarks.running import AT_ONCE, Measured, measured
from benchmarks.setting import Setting

FEW = 1_000
ROWS = 1_000_000
ROWS_QUICK = 10_000


def rows_of(setting: Setting) -> int:
    """How many executions the long history has."""
    return setting.rows or (ROWS_QUICK if setting.quick else ROWS)


@dataclass(slots=True)
class Side:
    """What was measured on one of the two."""

    database: Path
    found: list[Measured] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    """Seconds until the engine was ready."""


def run(setting: Setting) -> Outcome:
    """Rounds in turns on a database with few executions and on one with many."""
    rows, rounds = rows_of(setting), 1 if setting.quick else 5
    begin = time.perf_counter()
    few, many = Side(stored.database(setting, FEW)), Side(stored.database(setting, rows))
    made = time.perf_counter() - begin
    for turn in range(rounds):
        for side in (few, many):
            folder = setting.folder / f"{side.database.stem}-{turn}"
            folder.mkdir()
            asyncio.run(_round(folder, side))
    ratios = [long.rate / short.rate for short, long in zip(few.found, many.found, strict=True)]
    figures = []
    for count, side in ((FEW, few), (rows, many)):
        rates = [one.rate for one in side.found]
        figures += [
            Figure(
                f"{count:,} stored: durable actions a second",
                median(rates),
                "/s",
                f"best {max(rates):,.0f}, worst {min(rates):,.0f}",
            ),
            Figure(
                f"{count:,} stored: processor time an action",
                median([one.processor for one in side.found]) * 1e6,
                "µs",
                "all threads; steadier than the rate",
            ),
            Figure(f"{count:,} stored: the engine is ready after", median(side.starts) * 1000, "ms"),
        ]
    processor = [long.processor / short.processor for short, long in zip(few.found, many.found, strict=True)]
    figures += [
        Figure("ratio of the rates", median(ratios), "", f"in turns; {min(ratios):.2f} to {max(ratios):.2f}"),
        Figure(
            "ratio of the processor times",
            median(processor),
            "",
            f"in turns; {min(processor):.2f} to {max(processor):.2f}",
        ),
    ]
    size = many.database.stat().st_size / 1e9
    facts = {"the long history": f"{size:.2f} GB, made in {made:.0f} s; its pages are in memory"}
    return Outcome("history", f"{AT_ONCE} workflows of 3 actions at once, {rounds} rounds in turns", figures, facts)


def _database(folder: Path, side: Side) -> Path:
    """The one to use for a round: a copy of the short history, which so stays short."""
    if not side.database.stem.endswith(f"-{FEW}"):
        return side.database
    return Path(shutil.copy(side.database, folder / "automation.db"))


async def _round(folder: Path, side: Side) -> None:
    engine = engines.engine(folder, f"sqlite:///{_database(folder, side)}")
    begin = time.perf_counter()
    async with engine:
        await engines.until_ready(engine)
        side.starts.append(time.perf_counter() - begin)
        side.found.append(await measured(engine))
