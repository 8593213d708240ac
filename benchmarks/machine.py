"""What it was measured on. Figures without it mean nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Outcome, median, percentile
from benchmarks.setting import Setting


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(folder: Path) -> dict[str, Any]:
    """Cores, processor, versions, load, and how long the disk and a fixed loop of Python take."""
    disk = flush_seconds(folder)
    python = [python_seconds() for _ in range(5)]
    return {
        "cores": cores(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_1m": round(os.getloadavg()[0], 2),
        "python_loop_ms": round(min(python) * 1000, 2),
        "python_loop_ms_worst": round(max(python) * 1000, 2),
        "fdatasync_ms_median": round(median(disk) * 1000, 3),
        "fdatasync_ms_p99": round(percentile(disk, 0.99) * 1000, 3),
        "folder": str(folder),
    }


def flush_seconds(folder: Path, count: int = 100) -> list[float]:
    """How long the disk takes to take in 4 KiB for good, each time."""
    file = os.open(folder / "flush", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    taken = []
    try:
        for _ in range(count):
            begin = time.perf_counter()
            os.write(file, bytes(4096))
            os.fdatasync(file)
            taken.append(time.perf_counter() - begin)
    finally:
        os.close(file)
        (folder / "flush").unlink()
    return taken


def python_seconds() -> float:
    """How long a fixed piece of plain Python takes: attributes, dictionaries, small objects, as the engine does.

    Where it takes longer than it did, the machine is busy, and all figures are worse than they need be.
    """
    begin = time.perf_counter()
    kept: dict[int, list[int]] = {}
    for number in range(60_000):
        kept.setdefault(number % 1000, []).append(number)
    for values in kept.values():
        values.sort(reverse=True)
    return time.perf_counter() - begin


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def run(setting: Setting) -> Outcome:
    """The disk alone: what no durable write can be quicker than."""
    taken = flush_seconds(setting.folder, 100 if setting.quick else 1000)
    figures = [
        Figure("write 4 KiB and fdatasync, median", median(taken) * 1000, "ms"),
        Figure("write 4 KiB and fdatasync, p99", percentile(taken, 0.99) * 1000, "ms"),
    ]
    return Outcome("disk", "what no durable write can be quicker than", figures)
