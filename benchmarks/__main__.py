"""`python -m benchmarks [name ...] [--json FILE] [--quick] [--folder FOLDER] [--database SERVER]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import conditions, databases, imports, machine, running, serving
from benchmarks.figures import Outcome

BENCHMARKS: dict[str, Callable[[Path, bool], Outcome]] = {
    "disk": machine.run,
    "imports": imports.run,
    "serving": serving.run,
    "one": running.one,
    "many": running.many,
    "events": running.events,
    "conditions": conditions.run,
}


def main() -> int:
    """Run the benchmarks that were asked for, one after the other, each in a folder of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast it is on this machine.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all without one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it works")
    parser.add_argument("--folder", type=Path, help="where databases are made; a real disk, not a tmpfs")
    where = "postgres starts one, a URL names one on which databases may be created; SQLite without it"
    parser.add_argument("--database", metavar="SERVER", help=f"run on PostgreSQL: {where}")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="automation-benchmarks-", dir=given.folder) as root:
        facts = machine.describe(Path(root))
        print(", ".join(f"{key} {value}" for key, value in facts.items()))
        with databases.on(given.database, Path(root).parent):
            for name in given.names or BENCHMARKS:
                folder = Path(root, name)
                folder.mkdir()
                outcomes.append(BENCHMARKS[name](folder, given.quick))
                print(f"\n{outcomes[-1].table()}", flush=True)
    if given.json is not None:
        found = {"machine": facts, "benchmarks": [outcome.as_dict() for outcome in outcomes]}
        given.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
