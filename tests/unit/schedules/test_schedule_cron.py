"""Cron expressions, above all where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.errors import DefinitionError
from automation.schedules.cron import NEVER, Cron, parse_cron

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def times(cron: Cron, begin: float, end: float) -> list[float]:
    found = []
    moment = cron.next_after(begin)
    while moment <= end:
        found.append(moment)
        moment = cron.next_after(moment)
    return found


def local(moments: list[float]) -> list[str]:
    return [datetime.fromtimestamp(moment, BERLIN).strftime("%d %H:%M %z") for moment in moments]


def test_half_past_two_comes_once_where_the_clock_goes_back() -> None:
    cron = parse_cron("30 2 * * *", "Europe/Berlin")
    found = times(cron, at("2026-10-24T12:00", BERLIN), at("2026-10-26T12:00", BERLIN))
    assert local(found) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_half_past_two_comes_once_right_after_the_gap_where_the_clock_goes_forward() -> None:
    cron = parse_cron("30 2 * * *", "Europe/Berlin")
    found = times(cron, at("2026-03-28T12:00", BERLIN), at("2026-03-30T12:00", BERLIN))
    assert local(found) == ["29 03:00 +0200", "30 02:30 +0200"]


def test_within_the_repeated_hour_the_next_time_is_ahead_and_not_behind() -> None:
    cron = parse_cron("30 2 * * *", "Europe/Berlin")
    in_the_second_hour = at("2026-10-25T01:15")
    assert cron.next_after(in_the_second_hour) == at("2026-10-26T02:30", BERLIN)
    assert cron.latest_before(in_the_second_hour) == at("2026-10-25T00:30")


def test_a_star_follows_the_real_passing_of_time() -> None:
    cron = parse_cron("*/30 * * * *", "Europe/Berlin")
    for begin, end in (("2026-10-24T22:00", "2026-10-25T04:00"), ("2026-03-28T22:00", "2026-03-29T04:00")):
        found = times(cron, at(begin), at(end))
        assert found == [at(begin) + 1800 * number for number in range(1, 13)]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01"),
        ("*/15 9-17 * * MON-FRI", "2026-01-02T17:45", "2026-01-05T09:00"),
        ("0 0 L * *", "2026-02-01T00:00", "2026-02-28T00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 12 * * MON#1", "2026-01-06T00:00", "2026-02-02T12:00"),
        ("5,35 * * JAN *", "2026-01-31T23:35", "2027-01-01T00:05"),
    ],
)
def test_next(text: str, after: str, expected: str) -> None:
    cron = parse_cron(text)
    assert cron.next_after(at(after)) == at(expected)
    assert cron.next_after(at(after) - 0.5) in (at(after), at(expected))
    assert cron.latest_before(at(expected)) == at(expected)
    assert cron.latest_before(at(expected) + 0.5) == at(expected)
    assert cron.latest_before(at(expected) - 0.5) < at(expected)


@pytest.mark.parametrize(
    ("text", "zone", "says"),
    [
        (
            "",
            "UTC",
            "cron: needs five fields (minute, hour, day of month, month, day of week), as in '30 2 * * *', not 0",
        ),
        ("* * * * * *", "UTC", "cron: needs five fields"),
        ("@daily", "UTC", "cron: @daily is not a cron expression here; write '0 0 * * *'"),
        ("61 * * * *", "UTC", "cron: minute '61' is not valid: it takes 0 to 59"),
        ("0 24 * * *", "UTC", "cron: hour '24' is not valid"),
        ("0 0 30 2 *", "UTC", "cron: day-of-month '30' is not valid"),
        ("0 0 * FOO *", "UTC", "cron: month 'FOO' is not valid: it takes 1 to 12 or JAN to DEC"),
        ("0 0 * * MON#9", "UTC", "cron: day-of-week 'MON#9' is not valid"),
        ("*/0 * * * *", "UTC", "cron: minute '*/0' is not valid"),
        ("1" * 5000 + " * * * *", "UTC", "cron: is longer than 500 characters"),
        ("0 0 * * *", "europe/berlin", "timezone: there is no time zone 'europe/berlin'; did you mean Europe/Berlin"),
        ("0 0 * * *", "Berlin", "did you mean Europe/Berlin?"),
        ("0 0 * * *", "Europe/Berlim", "did you mean Europe/Berlin"),
        ("0 0 * * *", "", "timezone: there is no time zone ''; use an IANA name such as Europe/Berlin"),
        ("0 0 * * *", "../../etc/passwd", "timezone: there is no time zone"),
        ("0 0 * * *", "Europe", "timezone: there is no time zone 'Europe'"),
        ("0 0 * * *", "x" * 5000, "timezone: there is no time zone"),
    ],
)
def test_what_is_wrong_is_said(text: str, zone: str, says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_cron(text, zone)
    assert says in caught.value.message


def test_both_problems_are_said_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_cron("nonsense", "Nowhere")
    assert [problem.path for problem in caught.value.problems] == ["cron", "timezone"]


expressions = st.tuples(
    st.sampled_from(["*", "0", "30", "*/15", "5,35", "10-20"]),
    st.sampled_from(["*", "2", "3", "1-3", "0", "*/6", "2,14"]),
    st.sampled_from(["*", "1", "L", "25-31"]),
    st.sampled_from(["*", "3", "10", "3,10"]),
    st.sampled_from(["*", "SUN", "1-5"]),
).map(" ".join)
moments = st.sampled_from(["2026-03-29T01:00", "2026-10-25T01:00", "2026-06-15T12:00"]).flatmap(
    lambda text: st.floats(-86_400 * 2, 86_400 * 2).map(lambda offset: at(text) + offset)
)


@settings(deadline=None, max_examples=100)
@given(expressions, st.sampled_from(["Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe"]), moments)
def test_next_and_latest_agree_and_time_never_stands_still(text: str, zone: str, moment: float) -> None:
    cron = parse_cron(text, zone)
    following = cron.next_after(moment)
    assert moment < following < NEVER
    latest = cron.latest_before(moment)
    assert latest <= moment
    # Nothing lies between: the one after the latest is the next.
    assert cron.next_after(latest) == following
    assert cron.latest_before(following) == following


@settings(deadline=None, max_examples=12)
@given(
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from(["Europe/Berlin", "America/New_York"]),
    st.integers(2020, 2035),
)
def test_a_daily_time_comes_once_on_each_day_of_the_year(hour: int, minute: int, zone: str, year: int) -> None:
    cron = parse_cron(f"{minute} {hour} * * *", zone)
    begin = datetime(year, 1, 1, tzinfo=ZoneInfo(zone))
    end = begin.replace(year=year + 1)
    found = times(cron, begin.timestamp() - 1, end.timestamp() - 1)
    days = {datetime.fromtimestamp(moment, ZoneInfo(zone)).date() for moment in found}
    assert len(found) == len(days) == (end.date() - begin.date()) // timedelta(days=1)


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/-,#LWMONSUJA @", max_size=25) | st.text(max_size=20), st.text(max_size=15))
def test_any_text_is_read_or_refused(text: str, zone: str) -> None:
    for name in (zone, "UTC"):
        read: Cron | DefinitionError
        try:
            read = parse_cron(text, name)
        except DefinitionError as error:
            read = error
        if isinstance(read, DefinitionError):
            assert read.problems
        else:
            assert read.next_after(at("2026-01-01")) > at("2026-01-01")
