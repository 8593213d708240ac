"""Numbers with units, and percents against metrics that are declared in percent."""

from __future__ import annotations

from typing import Any

import pytest

from automation.conditions import compile_condition, compile_expression


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("007", 7),
        ("5.0", 5.0),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("2.5E-1", 0.25),
        ("5m", 300),
        ("1h30m", 5400),
        ("1w2d3h4m5s6ms7us", 604800 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5.006007),
        ("1h0.5m", 3630),
        ("250ms", 0.25),
        ("10us", 0.00001),
        ("2d", 172800),
        ("1w", 604800),
        ("1.5h", 5400),
        ("0.1s", 0.1),
        ("7B", 7),
        ("5KB", 5000),
        ("10GB", 10**10),
        ("1.5MB", 1_500_000),
        ("3TB", 3 * 10**12),
        ("2PB", 2 * 10**15),
        ("1KiB", 1024),
        ("512MiB", 512 * 2**20),
        ("1GiB", 2**30),
        ("1TiB", 2**40),
        ("1PiB", 2**50),
        ("50%", 0.5),
        ("12.5%", 0.125),
        ("300%", 3),
        ("0.1%", 0.001),
    ],
)
def test_a_literal_is_worth(text: str, value: float) -> None:
    result = compile_expression(text)({})

    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # A % that is attached to a number is percent, unless an operand follows.
        ("7 % 2", 1),
        ("7%2", 1),
        ("7% 2", 1),
        ("7 %2", 1),
        ("x%2", 1),
        ("x % 2", 1),
        ("7%x", 0),
        ("7%(2)", 1),
        ("7 % -2", -1),
        ("50% + 1", 1.5),
        ("50%+1", 1.5),
        ("50% - 1", -0.5),
        ("50%-1", -0.5),
        ("50% * 4", 2.0),
        ("50%*4", 2.0),
        ("50% % 2", 0.5),
        ("50%%2", 0.5),
        ("(50%)", 0.5),
        ("[50%, 10%]", [0.5, 0.1]),
        ("-50%", -0.5),
        ("50% == 0.5", True),
        ("50%>0.4", True),
        ("50% IN [50%]", True),
        ("50%in[50%]", True),
        ("50% NOT IN [1]", True),
        ("50% IS NOT NULL", True),
        ("y > 50% AND y > 10%", True),
        ("y > 50%and y > 10%", True),
        ("y > 50% OR y > 10%", True),
        # A name that begins like a keyword is an operand.
        ("7 %android", 1),
        ("7%android", 1),
        ("7%inner", 1),
    ],
)
def test_percent_or_remainder(text: str, value: Any) -> None:
    names = {"x": 7, "y": 0.6, "android": 2, "inner": 3}

    assert compile_expression(text)(names) == value


UNITS = {"cpu": "percent", "event.data.memory": "%", "ratio": "ratio"}


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("cpu > 80%", {"cpu": 81}, True),
        ("cpu > 80%", {"cpu": 79}, False),
        ("80% < cpu", {"cpu": 79}, False),
        ("cpu > 12.5%", {"cpu": 12.4}, False),
        ("20% < cpu < 80%", {"cpu": 50}, True),
        ("20% < cpu < 80%", {"cpu": 0.5}, False),
        ("cpu > -5%", {"cpu": -4}, True),
        ("cpu > 50% + 10%", {"cpu": 55}, False),
        ("cpu + 5% > 80%", {"cpu": 76}, True),
        ("cpu - 5% > 80%", {"cpu": 86}, True),
        ("-cpu < -80%", {"cpu": 81}, True),
        ("cpu * 2 > 80%", {"cpu": 41}, True),
        ("2 * cpu > 80%", {"cpu": 39}, False),
        ("cpu / 2 > 80%", {"cpu": 81}, False),
        ("cpu % 50 > 20%", {"cpu": 71}, True),
        ("cpu IN [50%, 80%]", {"cpu": 80}, True),
        ("cpu NOT IN [50%, 80%]", {"cpu": 0.8}, True),
        ("event.data.memory > 80%", {"event": {"data": {"memory": 79}}}, False),
        # One percent by another, or a part of one, is a plain number.
        ("cpu / cpu > 80%", {"cpu": 10}, True),
        ("cpu * cpu > 80%", {"cpu": 2}, True),
        ("cpu > 50% * other", {"cpu": 50, "other": 90}, True),
        # Not declared in percent.
        ("ratio > 80%", {"ratio": 0.81}, True),
        ("other > 80%", {"other": 0.81}, True),
        ("event.data.cpu > 80%", {"event": {"data": {"cpu": 0.81}}}, True),
        ("ratio < 50% <= 60 <= cpu", {"ratio": 0.6, "cpu": 60}, False),
        ("other > 80% AND cpu > 80%", {"other": 0.81, "cpu": 81}, True),
    ],
)
def test_a_percent_against_a_metric_in_percent(text: str, names: dict[str, Any], expected: bool) -> None:
    assert compile_condition(text, units=UNITS).evaluate(names) is expected


def test_units_change_what_a_percent_is_worth_and_not_its_text() -> None:
    plain, scaled = compile_condition("cpu > 80%"), compile_condition("cpu > 80%", units={"cpu": "percent"})

    assert str(plain) == str(scaled) == "cpu > 80%"
    assert plain({"cpu": 1})
    assert not scaled({"cpu": 1})
    assert "80%  →  80" in str(scaled.explain({"cpu": 1}))


def test_an_expression_knows_units_too() -> None:
    assert compile_expression("cpu - 80%", units={"cpu": "percent"})({"cpu": 81}) == 1
