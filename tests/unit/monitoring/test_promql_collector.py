"""The collector `promql`, with answers of Prometheus as it gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from automation.clock import VirtualClock
from automation.errors import DefinitionError, InputError, TryLater
from automation.infrastructure import promql
from automation.infrastructure.services import Services
from automation.infrastructure.web import Web
from automation.monitoring.collector import Probe
from automation.monitoring.monitor import Monitor, Outlets, Watch
from automation.plugins import read_settings, registry

BASE = {"url": "http://prometheus:9090", "metric": "errors"}


def vector(**values: float) -> dict[str, Any]:
    rows = [{"metric": {"__name__": "e", "job": job}, "value": [0, str(value)]} for job, value in values.items()]
    return {"status": "success", "data": {"resultType": "vector", "result": rows}}


class Asked:
    """Stands for the HTTP request: gives one answer after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.answers = list(answers)
        self.queries: list[str] = []
        monkeypatch.setattr(promql, "get", self.get)

    async def get(self, web: Web, parameters: Mapping[str, str], path: str) -> bytes:
        self.queries.append(parameters["query"])
        return json.dumps(self.answers.pop(0)).encode()


async def collect(probe: Probe, **settings: Any) -> list[tuple[str, str, float]]:
    plugin = registry.get("collector", "promql")
    found = await plugin.function(read_settings(plugin.settings, {**BASE, **settings}), probe)
    return [(sample.name, sample.subject, sample.value) for sample in found.samples]


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    clock = VirtualClock()
    return Probe(Services(tmp_path, clock), clock, 30)


async def test_each_series_is_a_sample(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    asked = Asked(monkeypatch, vector(shop=7, wiki=0.5), vector(shop=7))
    assert await collect(probe, query="e") == [("errors", "shop", 7.0), ("errors", "wiki", 0.5)]
    # A series that is gone is not made up.
    assert await collect(probe, query="e", subject="all") == [("errors", "all", 7.0)]
    assert asked.queries == ["e", "e"]


async def test_active_is_one_while_a_series_is_there_and_zero_for_some_rounds_when_it_leaves(
    monkeypatch: pytest.MonkeyPatch, probe: Probe
) -> None:
    Asked(monkeypatch, vector(shop=7), vector(), vector(shop=9, wiki=1), *[vector(wiki=1)] * 6)
    active = {"query": "e > 5", "mode": "active"}
    assert await collect(probe, **active) == [("errors", "shop", 1.0)]
    assert await collect(probe, **active) == [("errors", "shop", 1.0), ("errors", "wiki", 1.0)]
    for _ in range(5):
        assert await collect(probe, **active) == [("errors", "wiki", 1.0), ("errors", "shop", 0.0)]
    assert await collect(probe, **active) == [("errors", "wiki", 1.0)]


async def test_a_series_that_comes_back_is_one_again_at_once(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    Asked(monkeypatch, vector(shop=7), vector(), vector(), vector(shop=7), vector())
    found = [await collect(probe, query="e > 5", mode="active") for _ in range(4)]
    assert [[value for _, _, value in samples] for samples in found] == [[1.0], [0.0], [1.0], [0.0]]


async def test_what_left_while_the_engine_was_away_is_zero_at_its_first_round(
    monkeypatch: pytest.MonkeyPatch, probe: Probe
) -> None:
    asked = Asked(monkeypatch, vector(wiki=1), vector(shop=1, wiki=1))
    found = await collect(probe, query="e > 5 # many", mode="active")
    assert found == [("errors", "wiki", 1.0), ("errors", "shop", 0.0)]
    assert asked.queries == ["e > 5 # many", "present_over_time((e > 5 # many\n)[86400s:15s])"]


async def test_where_it_cannot_look_back_it_says_so_and_tries_again(
    monkeypatch: pytest.MonkeyPatch, probe: Probe
) -> None:
    refused = {"status": "error", "error": "too many samples"}
    Asked(monkeypatch, vector(wiki=1), refused, vector(), vector(shop=1))
    plugin = registry.get("collector", "promql")
    settings = read_settings(plugin.settings, {**BASE, "query": "e > 5", "mode": "active"})
    first = await plugin.function(settings, probe)
    assert [sample.value for sample in first.samples] == [1.0]
    assert "while the engine was away is not known yet: http://prometheus:9090: not an answer" in first.problems[0]
    second = await plugin.function(settings, probe)
    assert sorted(sample.subject for sample in second.samples) == ["shop", "wiki"]
    assert {sample.value for sample in second.samples} == {0.0}
    assert second.problems == []


async def test_a_round_that_fails_forgets_nothing(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    broken = {"status": "success", "data": {"resultType": "matrix", "result": []}}
    Asked(monkeypatch, vector(shop=7), vector(), broken, vector())
    active = {"query": "e > 5", "mode": "active"}
    await collect(probe, **active)
    with pytest.raises(InputError, match="the query gives a matrix"):
        await collect(probe, **active)
    assert await collect(probe, **active) == [("errors", "shop", 0.0)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "prometheus:9090"}, "must be an http:// or https:// address"),
        ({"metric": "job:errors"}, "metric"),
        ({"mode": "both"}, "mode"),
        ({"subject": "a", "subject_label": "b"}, "not both"),
        ({"querry": "e"}, "unknown key"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        read_settings(registry.get("collector", "promql").settings, {**BASE, "query": "e", **changes})


async def test_a_secret_is_read_at_each_round_and_hidden_in_what_is_shown(tmp_path: Path) -> None:
    async def nowhere(*_: Any) -> Any:
        raise AssertionError

    clock = VirtualClock()
    # Port 9 of loopback: nobody listens there.
    settings = {**BASE, "url": "http://127.0.0.1:9/${secret:path}", "query": "e"}
    watch = Watch("errors", "promql", 30, settings)
    monitor = Monitor([watch], Services(tmp_path, clock), clock, Outlets(nowhere, nowhere, None))  # type: ignore[arg-type]
    asked: list[str] = []

    def secret(name: str) -> str:
        asked.append(name)
        return "hunter2"

    monitor.confide(secret, lambda text: text.replace("hunter2", "***"))
    for _ in range(2):
        with pytest.raises(TryLater, match="hunter2"):
            await monitor.round("errors")

    assert asked == ["path", "path"]
    assert "http://127.0.0.1:9/***: ConnectError" in (monitor.states["errors"].error or "")
