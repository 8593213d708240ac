"""DBOS Transact: `python -m benchmarks.peers.dbos_three FOLDER URL AT_ONCE TURNS`.

As its documentation has it and with its defaults. Of what was tried (threads with `start_workflow`, coroutines with
`start_workflow_async`, coroutines awaited directly), this is the quickest.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

from dbos import DBOS  # type: ignore[import-not-found,unused-ignore]


@DBOS.step()
def first(value: Any) -> dict[str, Any]:
    """Do nothing."""
    return {"done": "a"}


@DBOS.step()
def second(value: Any) -> dict[str, Any]:
    """Do nothing."""
    return {"done": "b"}


@DBOS.step()
def third(value: Any) -> dict[str, Any]:
    """Do nothing."""
    return {"done": "c"}


@DBOS.workflow()
def three(number: int) -> dict[str, Any]:
    """Three steps, the second with what the first has returned."""
    done = first(number)["done"]
    second(done)
    found: dict[str, Any] = third("text")
    return found


def together(number: int) -> None:
    """So many at once, until all have ended."""
    handles = [DBOS.start_workflow(three, each) for each in range(number)]
    for handle in handles:
        assert handle.get_result() == {"done": "c"}


def main(folder: str, url: str, at_once: int, turns: int) -> None:
    """Workflows of three steps, so many at once, so often."""
    DBOS(config={"name": "three", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    DBOS.launch()
    together(20)
    begin, processor = time.perf_counter(), time.process_time()
    for _ in range(turns):
        together(at_once)
    seconds, used = time.perf_counter() - begin, time.process_time() - processor
    found = {"version": version("dbos"), "actions": at_once * turns * 3, "seconds": seconds, "processor": used}
    print(json.dumps(found), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
