from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from automation.monitoring.checks import CheckState, decide
from automation.monitoring.collector import CheckResult, Thresholds


def result(ok: bool, time: float) -> CheckResult:
    return CheckResult("service_health", "api", "api-1", ok, time, detail="answered 503")


def run(results: str, failures: int = 2, successes: int = 1) -> tuple[CheckState, list[tuple[int, str]]]:
    """`+` is a good and `-` a bad result, one a second; returns the last state and the changes by their place."""
    state, changes = CheckState(), []
    for place, mark in enumerate(results):
        decision = decide(Thresholds(failures, successes), state, result(mark == "+", float(place)))
        state = decision.state
        if decision.transition:
            changes.append((place, decision.transition))
    return state, changes


def test_it_fails_after_enough_bad_results_in_a_row() -> None:
    assert run("+-+--")[1] == [(4, "failed")]
    assert run("+-+-+-")[1] == []
    assert run("-", failures=1)[1] == [(0, "failed")]


def test_it_fails_once_and_recovers_once() -> None:
    assert run("+-----++++--")[1] == [(2, "failed"), (6, "recovered"), (11, "failed")]
    assert run("--+-+-++", successes=2)[1] == [(1, "failed"), (7, "recovered")]


def test_a_change_says_since_when_and_how_many_it_took() -> None:
    state, _ = run("++---", failures=3)
    assert (state.ok, state.since, state.took, state.detail) == (False, 2.0, 3, "answered 503")
    assert not state.announced

    # A good result that is not enough does not change since when it has failed.
    state, _ = run("++---+-", failures=3, successes=2)
    assert (state.since, state.streak) == (2.0, 0)


def test_each_decision_has_a_reason() -> None:
    first = decide(Thresholds(2, 1), CheckState(), result(False, 1))
    second = decide(Thresholds(2, 1), first.state, result(False, 2))
    assert first.reason == "1 of 2 bad results in a row"
    assert second.reason == "2 bad results in a row"


@given(st.text("+-", max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_changes_alternate_and_each_is_held_up_by_its_streak(results: str, failures: int, successes: int) -> None:
    state, changes = run(results, failures, successes)

    assert [kind for _, kind in changes] == ["failed", "recovered"] * (len(changes) // 2) + ["failed"] * (
        len(changes) % 2
    )
    for place, kind in changes:
        needed, mark = (failures, "-") if kind == "failed" else (successes, "+")
        assert results[: place + 1].endswith(mark * needed)
    assert state.ok is (len(changes) % 2 == 0)


def test_a_state_survives_json() -> None:
    state, _ = run("---")
    assert msgspec.json.decode(msgspec.json.encode(state), type=CheckState) == state
