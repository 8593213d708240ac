"""What guardrails must not forget when the engine is killed: what was done, what is open, what is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import side_effects
from tests.support.durability import Child, Driver, audited, check, records

pytestmark = [pytest.mark.durability, pytest.mark.timeout(120)]


def _told(child: Child) -> dict[str, dict[str, Any]]:
    assert child.all("crashed") == []
    return {line["ran"]: line for line in child.said if "ran" in line}


def _begun(folder: Path, action: str) -> list[str]:
    """The executions whose action has begun, once for each time it did."""
    lines = side_effects.read(folder / "effects")
    return [line["execution"] for line in lines if line["action"] == action and line["what"] == "begin"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_whenever_it_is_killed_nothing_is_done_twice_within_the_cooldown(
    engines: Driver, folder: Path, number: int, when: str
) -> None:
    engines.start("guarded", folder, die=(number, when)).until_killed()
    before = set(_begun(folder, "act"))

    again = _told(engines.do("guarded", folder))
    third = _told(engines.do("guarded", folder))

    assert len(set(_begun(folder, "act"))) == 1, "one execution acted, and no other"
    assert third["acts"]["status"] == "failed"
    assert "guardrail cooldown: side.on acted on api" in third["acts"]["error"]
    if before:
        assert "guardrail cooldown" in again["acts"]["error"]
    for record in records(folder).values():
        check(record)
    audited(folder)


def test_an_open_circuit_stays_open(engines: Driver, folder: Path) -> None:
    first = engines.start("guarded", folder, stop="enough")
    first.hear("stopped")
    first.kill()
    assert _told(first)["breaks"]["error"] == "broken: TryLater: not yet"
    assert len(_begun(folder, "broken")) == 2

    second = _told(engines.do("guarded", folder, release=True))

    assert second["breaks"]["status"] == "failed"
    assert len(_begun(folder, "broken")) == 2, "nothing was tried"


def test_a_stop_is_not_forgotten(engines: Driver, folder: Path) -> None:
    first = engines.start("guarded", folder, stop="incident 7")
    first.hear("stopped")
    first.kill()

    second = _told(engines.do("guarded", folder))

    for line in second.values():
        assert "guardrail stop: all changes are stopped: incident 7 (by ann" in line["error"]
