"""ansible-rulebook: `python -m benchmarks.peers.rulebook_hosts FOLDER RULES EVENTS`, its own command line.

The source is a plug-in of its kind that puts events as fast as it may: the queue behind it holds one event, so that the
last but one was decided on when the last is taken. `none` is the cheapest action that there is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import hosts

WARM_UP = 2_000
LIMIT_SECONDS = 300
SOURCE = """\
import json, time
from benchmarks.peers import hosts

async def main(queue, args):
    rules, number, warm_up = args["rules"], args["events"], args["warm_up"]
    for event in hosts.events(rules, warm_up):
        await queue.put(event)
    given = list(hosts.events(rules, number, warm_up))
    begin, processor = time.perf_counter(), time.process_time()
    for event in given:
        await queue.put(event)
    found = {"seconds": time.perf_counter() - begin, "processor": time.process_time() - processor}
    with open(args["told"], "w") as file:
        json.dump(found, file)
"""


def main(folder: Path, rules: int, number: int) -> None:
    """One run."""
    (folder / "burst.py").write_text(SOURCE, encoding="utf-8")
    (folder / "inventory.yml").write_text("all: {hosts: {localhost: {}}}\n", encoding="utf-8")
    told = folder / "told.json"
    source = f"burst: {{rules: {rules}, events: {number}, warm_up: {WARM_UP}, told: {json.dumps(str(told))}}}"
    (folder / "rulebook.yml").write_text(hosts.rulebook(rules, source), encoding="utf-8")
    programs = Path(sys.executable).parent
    command = [str(programs / "ansible-rulebook"), "--rulebook", "rulebook.yml"]
    command += ["--inventory", "inventory.yml", "--source-dir", str(folder)]
    # What it prints of its actions would be waited for.
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "rulebook.log").open("wb") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=LIMIT_SECONDS, check=False)
    if not told.exists():
        raise SystemExit((folder / "rulebook.log").read_text(encoding="utf-8", errors="replace")[-2000:])
    found = {"version": version("ansible-rulebook"), "events": number, **json.loads(told.read_text(encoding="utf-8"))}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
