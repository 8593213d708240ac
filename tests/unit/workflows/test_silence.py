"""Who is dead is told by silence, not by comparing clocks."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from automation.workflows.silence import Silence

LEASE = 15.0


@dataclass(frozen=True)
class Row:
    id: str
    lease_until: float


def looks(silence: Silence, row: Row, begin: float, end: float) -> list[frozenset[str]]:
    """Look once a second."""
    return [silence.look([row], begin + second) for second in range(int(end - begin) + 1)]


def test_a_node_is_dead_after_a_whole_lease_of_silence() -> None:
    found = looks(Silence(LEASE), Row("a", 5.0), 100, 120)

    assert found == [frozenset()] * 15 + [frozenset({"a"})] * 6


def test_a_heartbeat_brings_it_back_whatever_its_clock_says() -> None:
    silence = Silence(LEASE)
    looks(silence, Row("a", 1e9), 0, 20)

    assert silence.look([Row("a", -5.0)], 21) == frozenset()


def test_time_in_which_we_did_not_look_ourselves_does_not_count() -> None:
    silence = Silence(LEASE)
    looks(silence, Row("a", 5.0), 0, 5)

    # As after a stop of this process, or a sleep of the machine: what the others did meanwhile is on its way.
    assert silence.look([Row("a", 5.0)], 10_000) == frozenset()
    assert silence.look([Row("a", 6.0)], 10_001) == frozenset()


def test_what_signed_off_is_forgotten() -> None:
    silence = Silence(LEASE)
    looks(silence, Row("a", 5.0), 0, 20)

    assert silence.look([], 21) == frozenset()
    assert silence.look([Row("a", 5.0)], 22) == frozenset()


@given(
    st.lists(st.floats(0.1, 3.0), min_size=1, max_size=60),
    st.lists(st.floats(-1e6, 1e6), min_size=60, max_size=60, unique=True),
)
def test_who_beats_within_a_third_of_its_lease_is_never_held_to_be_dead(gaps: list[float], leases: list[float]) -> None:
    silence, now, beat_at, beats = Silence(LEASE), 0.0, 0.0, iter(leases)
    lease_until = next(beats)
    for gap in gaps:
        now += gap
        if now - beat_at >= LEASE / 3:
            beat_at, lease_until = now, next(beats)
        assert silence.look([Row("a", lease_until)], now) == frozenset()
