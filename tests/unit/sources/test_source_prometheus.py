"""The `prometheus` source with scripted answers; the real one answers in tests/integration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from automation.clock import VirtualClock
from automation.errors import DefinitionError, InputError, TryLater
from automation.infrastructure import promql
from automation.model.event import Event
from automation.plugins import read_settings
from automation.sources.prometheus import PrometheusQuery, prometheus
from automation.sources.source import Delivery, SourceContext


def vector(**values: str) -> bytes:
    result = [{"metric": {"job": job}, "value": [0, value]} for job, value in values.items()]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


class Asked:
    """A Prometheus that answers by the time that it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[float], bytes]) -> None:
        self.times: list[float] = []
        self.answer = answer
        monkeypatch.setattr(promql, "get", self.get)

    async def get(self, settings: PrometheusQuery, parameters: Mapping[str, str], path: str) -> bytes:
        assert path == "/api/v1/query"
        at = float(parameters["time"])
        self.times.append(at - START)
        return self.answer(at - START)


START = 1_767_225_600.0


def settings(**more: Any) -> PrometheusQuery:
    values = {"url": "http://prometheus:9090", "query": "up == 0", "interval_seconds": 10, **more}
    found = read_settings(PrometheusQuery, values)
    assert isinstance(found, PrometheusQuery)
    return found


async def deliveries(clock: VirtualClock, wanted: int, position: Any = None, **more: Any) -> list[Delivery]:
    found = []
    async for delivery in prometheus(settings(**more), SourceContext("p", clock, position)):
        found.append(delivery)
        if len(found) == wanted:
            break
        clock.set_by(10)
    return found


def events(found: list[Delivery]) -> list[Event]:
    return [event for delivery in found for event in delivery.events]


async def test_what_comes_and_goes_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {0: vector(a="0"), 10: vector(a="0", b="0"), 20: vector(b="0"), 30: vector(b="0")}
    asked = Asked(monkeypatch, lambda at: answers[int(at)])
    clock = VirtualClock(START + 3)
    found = await deliveries(clock, 4)
    assert asked.times == [0, 10, 20, 30]
    told = [(one.subject, one.data["state"], one.data["value"], one.time - START) for one in events(found)]
    assert told == [("a", "began", 0.0, 0), ("b", "began", 0.0, 10), ("a", "ended", None, 20)]
    assert events(found)[0].type == "prometheus.query"
    assert len({one.id for one in events(found)}) == 3
    # After a restart, b is known still.
    asked.answer = lambda at: vector()
    clock.set_by(10)
    again = await deliveries(clock, 1, found[-1].position)
    assert [(one.subject, one.data["state"]) for one in events(again)] == [("b", "ended")]


async def test_each_series_at_each_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, lambda at: vector(a="1.5", b="NaN", c="+Inf"))
    first, second = await deliveries(VirtualClock(START), 2, emit="every", type="load", subject_label="none")
    assert [one.data["value"] for one in first.events] == [1.5, None, None]
    assert [one.data.get("not_a_number") for one in first.events] == [None, "nan", "inf"]
    assert {(one.type, one.subject) for one in first.events} == {("load", "")}
    assert {one.id for one in first.events}.isdisjoint(one.id for one in second.events)


async def test_moments_that_were_missed_are_evaluated_afterwards_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Asked(monkeypatch, lambda at: vector())
    position = {"query": "up == 0", "at": START, "active": {}}
    found = await deliveries(VirtualClock(START + 41), 4, position)
    assert asked.times == [10, 20, 30, 40]
    assert [one.lag for one in found] == [3, 2, 1, 0]
    asked.times.clear()
    await deliveries(VirtualClock(START + 1001), 2, position, catch_up=2)
    assert asked.times == [990, 1000]


async def test_a_clock_that_was_set_back_does_not_silence_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, lambda at: vector())
    position = {"query": "up == 0", "at": START + 86_400, "active": {}}
    found = await deliveries(VirtualClock(START + 3), 2, position)
    assert asked.times == [0, 10]
    assert [one.lag for one in found] == [0, 0]


async def test_another_interval_is_kept_to_its_own_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, lambda at: vector())
    position = {"query": "up == 0", "at": START + 25, "active": {}}
    await deliveries(VirtualClock(START + 41), 2, position)
    assert asked.times == [30, 40]


async def test_another_query_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, lambda at: vector())
    position = {"query": "other", "at": START, "active": {"x": {"job": "gone"}}}
    [found] = await deliveries(VirtualClock(START + 1001), 1, position)
    assert (asked.times, found.events) == ([1000], ())


async def test_a_scalar_has_no_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"status": "success", "data": {"resultType": "scalar", "result": [0, "7"]}}
    Asked(monkeypatch, lambda at: json.dumps(answer).encode())
    [found] = await deliveries(VirtualClock(START), 1, emit="every")
    assert [(one.data["value"], one.labels) for one in found.events] == [(7.0, {})]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"<html>", "http://prometheus:9090: not an answer of Prometheus: JSON is malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"data": {"resultType": "matrix", "result": []}}', "the query gives a matrix; write one that gives"),
        (
            b'{"data": {"resultType": "vector", "result": [{"metric": {}, "value": [0]}]}}',
            "`array` of length 2",
        ),
        (b'{"data": {"resultType": "vector", "result": [{"metric": {}, "histogram": []}]}}', "native histograms"),
        (vector(a="1", b="1", c="1"), "gives 3 series, more than max_series"),
    ],
)
async def test_what_is_no_answer_fails_the_source(monkeypatch: pytest.MonkeyPatch, answer: bytes, says: str) -> None:
    Asked(monkeypatch, lambda at: answer)
    with pytest.raises(InputError, match=says):
        await deliveries(VirtualClock(START), 1, max_series=2)


async def test_nobody_there_fails_the_source() -> None:
    with pytest.raises(TryLater, match=r"http://127\.0\.0\.1:9: .*refused"):
        await deliveries(VirtualClock(START), 1, url="http://me:secret@127.0.0.1:9")


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"url: must be an http:// or https:// address"):
        settings(url="prometheus:9090")
