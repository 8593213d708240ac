"""Identifiers: well-formed, in the order in which they are made, and never the same twice, whatever the clock does."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import pytest

from automation.model import ids
from automation.model.ids import new_id


def test_they_are_uuids_of_version_7_with_the_time_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    # What was made before within the same millisecond may have carried it on by a little.
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 10
    assert made.version == 7
    assert made.variant == uuid.RFC_4122


@pytest.mark.parametrize(
    "clock",
    [
        repeat(1_700_000_000_000_000_000),
        chain([1_700_000_001_000_000_000], repeat(1_700_000_000_000_000_000)),
        iter(range(1_700_000_000_000_000_000, 1_700_000_000_000_000_000 + 40_000 * 137, 137)),
    ],
    ids=["standing", "set back", "running"],
)
def test_they_increase_whatever_the_clock_does(clock: Iterator[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids, "_of_millisecond", (-1, "", ""))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert {uuid.UUID(each).version for each in made} == {7}


def test_threads_make_others() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = [each for some in threads.map(lambda _: [new_id() for _ in range(20_000)], range(4)) for each in some]
    assert len(set(made)) == len(made)


def test_two_processes_make_others() -> None:
    code = "import time; time.time_ns = lambda: 1_700_000_000_000_000_000\n"
    code += "from automation.model.ids import new_id; print(new_id())"
    made = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(made) == 2
