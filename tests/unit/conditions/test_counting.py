"""Conditions that count events: which ones there are, and what is said of those that cannot be followed."""

from __future__ import annotations

import pytest

from automation.conditions.counting import Counting, counting
from automation.errors import ConditionError

LOGIN = "event.type == 'login_failed'"
MEANT = 'event.type == "login_failed"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"count({LOGIN}, 1m) >= 5", Counting("login_failed", MEANT, 5, 60.0)),
        (f"COUNT({LOGIN}, 90s) > 5", Counting("login_failed", MEANT, 6, 90.0)),
        (f"3 <= count({LOGIN}, 1h30m)", Counting("login_failed", MEANT, 3, 5400.0)),
        (
            f"count({LOGIN} AND event.data.user != 'root', 1d) >= 2",
            Counting("login_failed", f'{MEANT} AND event.data.user != "root"', 2, 86_400.0),
        ),
    ],
)
def test_what_it_counts(text: str, found: Counting) -> None:
    assert counting(text) == found


@pytest.mark.parametrize(
    "text",
    [
        LOGIN,
        "count(latency, 10m) > 5",
        f"count({LOGIN}, 1m) >= 5 AND cpu > 80",
        f"NOT count({LOGIN}, 1m) >= 5",
        f"3 < count({LOGIN}, 1m) < 5",
        f"avg({LOGIN}, 1m) >= 5",
        "count( >= 5",
    ],
)
def test_others_are_left_to_whoever_compiles_them(text: str) -> None:
    assert counting(text) is None


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        (f"count({LOGIN}) >= 5", 1, "count() of events takes a condition and a length of time"),
        (f"count({LOGIN}, 5) >= 5", 37, "is a duration of more than 0 seconds"),
        (f"count({LOGIN}, 0s) >= 5", 37, "is a duration of more than 0 seconds"),
        (f"count({LOGIN}, 400d) >= 5", 37, "in at most 366 days"),
        (f"count({LOGIN}, 1m) < 5", 1, "is compared with a whole number by >= or >"),
        (f"count({LOGIN}, 1m) >= 2.5", 1, "is compared with a whole number by >= or >"),
        (f"count({LOGIN}, 1m) >= event.data.most", 1, "is compared with a whole number by >= or >"),
        (f"count({LOGIN}, 1m) >= 1", 44, "up to a number from 2 to 1000"),
        (f"count({LOGIN}, 1m) > 1000", 43, "up to a number from 2 to 1000"),
        ("count(event.data.x > 5, 1m) >= 5", 7, "it must say which one event.type is counted"),
        (f"count({LOGIN} OR event.type == 'b', 1m) >= 5", 7, "it must say which one event.type is counted"),
    ],
)
def test_what_cannot_be_followed_is_said_with_its_column(text: str, column: int, reason: str) -> None:
    with pytest.raises(ConditionError) as caught:
        counting(text)
    assert reason in caught.value.message
    assert caught.value.details["column"] == column
