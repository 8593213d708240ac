"""`python -m benchmarks [name ...] [--json FILE] [--quick] [--folder FOLDER] [--rows N] [--database SERVER]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    comparison,
    conditions,
    foreach,
    history,
    imports,
    ingest,
    listing,
    machine,
    openloop,
    publish,
    recovery,
    rulebook,
    rules,
    running,
    serving,
    waiting,
)
from benchmarks.databases import Databases
from benchmarks.figures import Outcome
from benchmarks.setting import Impossible, Setting

BENCHMARKS: dict[str, Callable[[Setting], Outcome]] = {
    "disk": machine.run,
    "imports": imports.run,
    "serving": serving.run,
    "one": running.one,
    "many": running.many,
    "openloop": openloop.run,
    "events": running.events,
    "foreach": foreach.run,
    "waiting": waiting.run,
    "recovery": recovery.run,
    "history": history.run,
    "listing": listing.run,
    "peers": comparison.run,
    "conditions": conditions.run,
    "rules": rules.run,
    "publish": publish.run,
    "rulebook": rulebook.run,
    "ingest": ingest.run,
    "overload": ingest.overload,
}


def main() -> int:
    """Run the benchmarks that were asked for, one after the other, each in a folder of its own."""
    given = _arguments()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="automation-benchmarks-", dir=given.folder) as place:
        root = Path(place).absolute()
        facts = machine.describe(root)
        print(", ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
        databases = Databases(root, given.database)
        try:
            for name in given.names or BENCHMARKS:
                folder = root / name
                folder.mkdir()
                outcomes.append(_run(name, Setting(folder, root, databases, given.quick, given.rows)))
                print(f"\n{outcomes[-1].table()}", flush=True)
        finally:
            databases.close()
    if given.json is not None:
        found = {"machine": facts, "benchmarks": [outcome.as_dict() for outcome in outcomes]}
        given.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if all(outcome.figures for outcome in outcomes) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast it is on this machine.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all without one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it works")
    parser.add_argument("--folder", type=Path, help="where databases are made; a real disk, not a tmpfs")
    parser.add_argument("--rows", type=int, metavar="N", help="executions stored for `history` and `listing`")
    where = "postgres starts one, a URL names one on which databases may be created; SQLite without it"
    parser.add_argument("--database", metavar="SERVER", help=f"run on PostgreSQL: {where}")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if given.database is not None:
        folder = Path(given.folder or tempfile.gettempdir(), "new")
        if missing := Databases(folder, given.database).missing:
            parser.error(f"--database: {missing}")
    if given.rows is not None and given.rows < 1:
        parser.error(f"--rows: must be at least 1, not {given.rows}")
    return given


def _run(name: str, setting: Setting) -> Outcome:
    """One benchmark, with how fast plain Python was before and after it."""
    before = machine.python_seconds()
    try:
        outcome = BENCHMARKS[name](setting)
    except Impossible as reason:
        return Outcome(name, "not run", [], {"why": str(reason)})
    after = machine.python_seconds()
    outcome.facts["a fixed loop of plain Python"] = f"{before * 1000:.1f} ms before, {after * 1000:.1f} ms after"
    return outcome


if __name__ == "__main__":
    sys.exit(main())
