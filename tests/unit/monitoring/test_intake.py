"""Samples that come in many at a time, and those that mean nothing to a rule."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, VirtualClock
from automation.errors import InputError
from automation.model.alert import AlertState
from automation.model.metric import Sample
from automation.store import alerts


@pytest.fixture
def config(tmp_path: Path) -> AutomationConfig:
    return AutomationConfig(database_url=f"sqlite:///{tmp_path}/a.db", data_dir=tmp_path)


def samples(now: float, *values: float, name: str = "heat", subject: str = "oven") -> list[Sample]:
    return [
        Sample(name=name, value=value, subject=subject, labels={"rack": "1"}, time=now + step)
        for step, value in enumerate(values)
    ]


async def states(engine: AutomationEngine) -> list[tuple[str, AlertState]]:
    found = await alerts.page(engine.store)
    return sorted((alert.subject, alert.state) for alert in found.items)


async def test_many_lead_to_what_they_would_one_by_one(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        engine.register_alert_workflow({"name": "hot", "condition": "heat > 90"})
        now = clock.now()

        taken = await engine.observe_many(
            [*samples(now, 10, 95, 20), *samples(now, 95, 96, subject="stove"), *samples(now, 1, subject="sink")]
        )

        assert taken == 6
        assert await states(engine) == [("oven", AlertState.RESOLVED), ("stove", AlertState.FIRING)]


class Measured:
    """As a number of another library."""

    def __float__(self) -> float:
        return 95.5


@pytest.mark.parametrize("value", [Decimal("95.5"), Fraction(191, 2), Measured(), True, 96])
async def test_what_stands_for_a_number_is_one(config: AutomationConfig, value: Any) -> None:
    async with AutomationEngine(config, clock=VirtualClock()) as engine:
        engine.register_alert_workflow({"name": "hot", "condition": "heat >= 1"})
        await engine.observe("heat", value, subject="oven")
        await engine.observe_many([Sample(name="heat", value=value, subject="stove", time=engine.clock.now())])
        assert await states(engine) == [("oven", AlertState.FIRING), ("stove", AlertState.FIRING)]
        assert {engine.metric_store.latest_value("heat", subject) for subject in ("oven", "stove")} == {float(value)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": "10"}, "value must be a number, not '10' (str): float(...) makes a number of a text"),
        ({"value": None}, "value must be a number, not None (NoneType)"),
        ({"value": 1j}, "value must be a number, not 1j (complex)"),
        ({"value": b"1"}, "value must be a number, not b'1' (bytes)"),
        ({"value": 10**400}, "value must be a number, not 10000"),
        ({"time": "now"}, "time must be a number, not 'now' (str): seconds since the epoch"),
        ({"time": datetime(2026, 1, 1, tzinfo=UTC)}, "time must be a number, not datetime.datetime(2026"),
        ({"labels": ["rack"]}, "labels must be a mapping, not list"),
    ],
)
async def test_what_is_no_number_is_told(config: AutomationConfig, change: dict[str, Any], said: str) -> None:
    async with AutomationEngine(config, clock=VirtualClock()) as engine:
        given = {"name": "heat", "value": 1.0, "time": engine.clock.now(), **change}
        with pytest.raises(InputError) as refused:
            await engine.observe(given["name"], **{key: given[key] for key in given if key != "name"})
        assert refused.value.message.startswith(said)

        good = samples(engine.clock.now(), 1)
        with pytest.raises(InputError) as refused:
            await engine.observe_many([*good, Sample(**given), *good])
        assert refused.value.message.startswith(f"samples[1]: {said}")
        assert engine.metric_store.latest_value("heat", "oven") == 1
        with pytest.raises(InputError, match=r"samples\[0\]: must be a Sample, such as .*, not dict"):
            await engine.observe_many([given])  # type: ignore[list-item]


async def test_what_is_refused_is_counted_by_its_reason(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        now = clock.now()

        taken = await engine.observe_many(
            [*samples(now, 1), *samples(now - 5, 1), *samples(now + 301, 1), *samples(now + 1, float("nan"), 2)]
        )

        assert taken == 2
        shown = engine.metrics.render().decode()
        for reason in ("out_of_order", "future", "not_finite"):
            assert f'automation_samples_refused_total{{reason="{reason}"}} 1.0' in shown
        assert "automation_samples_total 5.0" in shown


async def test_labels_that_explode_are_refused_and_said_once(
    config: AutomationConfig, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        now = clock.now()
        many = [Sample(name="heat", value=1, labels={"request": str(number)}, time=now) for number in range(10_005)]

        assert await engine.observe_many(many) == 10_000
        assert await engine.observe_many(samples(now, 1, name="draught")) == 1

        assert 'automation_samples_refused_total{reason="series_limit"} 5.0' in engine.metrics.render().decode()
        assert [record.message for record in caplog.records if "too many series" in record.message] == [
            "samples of heat are refused: there are too many series of it, or in all. Give it fewer labels; "
            "automation_samples_refused_total counts them"
        ]


async def test_a_sample_below_resolves_what_one_above_has_made_fire_at_the_same_moment(
    config: AutomationConfig,
) -> None:
    """The first is on its way to the disk when the second comes: it must not be taken for one that means nothing."""
    import asyncio

    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        engine.register_alert_workflow({"name": "hot", "condition": "heat > 90"})
        await engine.save()
        above, below = samples(clock.now(), 95, 20)

        await asyncio.gather(engine.observe_many([above]), engine.observe_many([below]))

        assert await states(engine) == [("oven", AlertState.RESOLVED)]


async def test_rules_of_one_subject_are_asked_of_that_alone(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        engine.register_alert_workflow({"name": "hot", "condition": "heat > 90", "subject": "stove"})
        engine.register_alert_workflow({"name": "warm", "condition": "heat > 50"})

        await engine.observe_many([*samples(clock.now(), 95), *samples(clock.now(), 95, subject="stove")])

        found = await alerts.page(engine.store)
        assert sorted((alert.name, alert.subject) for alert in found.items) == [
            ("hot", "stove"),
            ("warm", "oven"),
            ("warm", "stove"),
        ]
        engine.alerts.forget("hot")
        engine.alerts.forget("warm")
        await engine.observe_many(samples(clock.now() + 10, 1))


@pytest.mark.parametrize(
    ("name", "subject", "labels", "reason"),
    [
        ("heat", "oven\ud800", {}, "not_text"),
        ("heat", "ov\0en", {}, "not_text"),
        ("heat", "oven", {"rack": "\udfff"}, "not_text"),
        ("heat", "oven", {"ra\0ck": "1"}, "not_text"),
        ("", "oven", {}, "not_text"),
        ("h" * 201, "oven", {}, "too_long"),
        ("heat", "o" * 501, {}, "too_long"),
    ],
)
async def test_a_series_that_no_database_takes_keeps_no_other_from_its_history(
    config: AutomationConfig, name: str, subject: str, labels: dict[str, str], reason: str
) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.observe(name, 1.0, subject=subject, labels=labels)
        await engine.observe("heat", 2.0, subject="stove")

        await engine.samples.history.flush()

        assert f'automation_samples_refused_total{{reason="{reason}"}} 1.0' in engine.metrics.render().decode()
        now = clock.now()
        [kept] = await engine.samples.history.read("heat", 60, now - 600, now)
        assert kept.subject == "stove"
