from __future__ import annotations

import pytest

from automation.actions.builtin.flow import Fail, Set, Wait, fail, set_values, wait
from automation.actions.context import ActionContext, Suspend
from automation.clock import VirtualClock
from automation.errors import DefinitionError, Refused, TryLater
from automation.plugins import read_settings, registry


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(0, 0), (1.5, 1.5), ("90", 90), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1h 5s", 3605)],
)
def test_a_wait_is_a_number_of_seconds_or_a_duration(given: object, seconds: float) -> None:
    assert Wait(seconds=given).seconds == seconds


@pytest.mark.parametrize("given", [-1, "soon", "5 minutes", "5m!", "", "nan", "inf"])
def test_anything_else_is_refused(given: object) -> None:
    with pytest.raises(DefinitionError):
        read_settings(Wait, {"seconds": given})


async def test_a_wait_suspends_until_it_is_due_counted_from_the_first_attempt() -> None:
    clock = VirtualClock(1000.0)
    context = ActionContext(clock=clock, started_at=990.0)

    with pytest.raises(Suspend) as caught:
        await wait(Wait(seconds=60), context)
    assert caught.value.until == 1050.0

    await clock.advance(51)
    assert await wait(Wait(seconds=60), context) == {"waited_seconds": 61.0}


async def test_a_failure_says_whether_it_may_be_tried_again() -> None:
    with pytest.raises(Refused, match="no capacity"):
        await fail(Fail(message="no capacity"), ActionContext())
    with pytest.raises(TryLater, match="not yet"):
        await fail(Fail(message="not yet", retryable=True), ActionContext())


async def test_set_returns_the_values() -> None:
    assert await set_values(Set(values={"a": 1, "b": [2]}), ActionContext()) == {"a": 1, "b": [2]}


def test_they_only_read_and_are_idempotent() -> None:
    for name in ("flow.wait", "flow.fail", "flow.set"):
        assert registry.get("action", name).options == {"idempotent": True, "effect": "read", "cpu_bound": False}
