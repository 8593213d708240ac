from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.clock import VirtualClock
from automation.security.attempts import WINDOW, FailedAttempts, network
from automation.security.refusals import Refusals


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::9", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
        ("x" * 500, "x" * 100),
    ],
)
def test_what_counts_as_one_address(address, counted):
    assert network(address) == counted


async def test_the_addresses_remembered_are_bounded_and_the_oldest_goes_first():
    attempts = FailedAttempts(1, VirtualClock(), addresses=3)
    for address in ("a", "b", "c", "a", "d"):
        attempts.add(address)

    assert [address for address in "abcd" if attempts.wait(address) > 0] == ["a", "c", "d"]


def test_an_address_that_did_nothing_wrong_is_not_held_back():
    attempts = FailedAttempts(1, VirtualClock())

    assert attempts.wait("a") == 0
    assert not attempts.first("a")


def test_the_first_refusal_of_each_burst_is_told():
    attempts = FailedAttempts(1, VirtualClock())
    attempts.add("a")
    assert [attempts.first("a") for _ in range(3)] == [True, False, False]
    attempts.add("a")
    assert [attempts.first("a") for _ in range(2)] == [True, False]


@given(st.lists(st.floats(0, 100), max_size=40), st.integers(1, 5))
async def test_never_more_than_the_limit_in_any_minute(pauses, limit):
    clock = VirtualClock()
    attempts = FailedAttempts(limit, clock)
    tried = []
    for pause in pauses:
        clock._now += pause
        wait = attempts.wait("a")
        if wait > 0:
            assert wait <= WINDOW
            clock._now += wait
            # The sum of two floats may fall short of the end of the minute by a rounding.
            clock._now += 1e-6
            assert attempts.wait("a") == 0
        attempts.add("a")
        tried.append(clock.now())

    for index, moment in enumerate(tried):
        assert sum(moment - WINDOW < other <= moment for other in tried[: index + 1]) <= limit


async def test_the_counted_actors_are_bounded(store):
    refusals = Refusals(store, VirtualClock(), rows_a_minute=0)
    for number in range(1_500):
        await refusals.record(f"address:{number}", "authenticate", "/", {})

    assert len(refusals._unwritten) == 1_001
    assert refusals._unwritten["others"] == 500


async def test_each_minute_has_its_own_rows(store, audited):
    clock = VirtualClock()
    refusals = Refusals(store, clock, rows_a_minute=1)
    for _ in range(3):
        await refusals.record("anna", "authorize", "/", {})
    await clock.advance(60)
    await refusals.record("anna", "authorize", "/", {})

    assert [row.act for row in await audited()] == ["authorize", "refusals.summary", "authorize"]
    assert (await audited())[1].detail["count"] == 2
