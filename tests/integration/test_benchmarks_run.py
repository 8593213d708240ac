"""The benchmarks still run. What they measure is asserted nowhere: it depends on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_each_gives_its_figures(tmp_path: Path) -> None:
    names = ["one", "many", "events", "conditions"]
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *names, "--quick", "--json", str(file), "--folder", str(tmp_path)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert {"cores", "python", "sqlite"} <= set(found["machine"])
    assert [outcome["name"] for outcome in found["benchmarks"]] == names
    for outcome in found["benchmarks"]:
        assert all(figure["value"] > 0 for figure in outcome["figures"])
        for figure in outcome["figures"]:
            assert figure["name"] in done.stdout


def test_an_unknown_name_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert done.returncode == 2
    assert "there is no benchmark 'nothing'" in done.stderr
