"""A real Prometheus: our source and our collector ask it, and it writes its samples to us."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from automation import AutomationEngine
from automation.api.routes.remote_write import PATH
from automation.api.server import Server
from automation.definitions import Definitions, read_text
from automation.definitions.prometheus_rules import import_rules
from automation.model.alert import AlertRule
from automation.model.event import Event
from automation.model.schedule import MonitorDefinition, SourceDefinition
from tests.conftest import needs
from tests.support.programs import Page, until, web_page
from tests.support.prometheus import prometheus, query

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120), needs("prometheus")]


def _say(page: Page, latency: float) -> None:
    page.text = f'# TYPE latency_seconds gauge\nlatency_seconds{{service="playback-api"}} {latency}\n'


def _scraping(page: Page) -> dict[str, object]:
    return {"scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [page.url]}]}]}


async def _events(engine: AutomationEngine, type: str) -> list[Event]:
    return [stored.event for stored in (await engine.queries.events(type=type)).items]


async def test_a_query_gives_an_event_when_a_series_comes_and_when_it_goes(
    engine: AutomationEngine, folder: Path
) -> None:
    with web_page() as page:
        _say(page, 0.1)
        async with prometheus(folder, _scraping(page)) as address:
            settings = {
                "url": f"http://{address}",
                "query": "latency_seconds > 2",
                "interval_seconds": 1,
                "delay_seconds": 1,
                "type": "slow",
            }
            definition = SourceDefinition(name="p", type="prometheus", settings=settings)
            await engine.apply(Definitions(sources=(definition,)))
            await until(lambda: engine.watching.sources.states["p"].status == "running", "the source runs")
            assert await _events(engine, "slow") == []

            _say(page, 7.5)
            [began] = await until(lambda: _events(engine, "slow"), "the series came")
            assert (began.subject, began.data["state"], began.data["value"]) == ("playback-api", "began", 7.5)

            _say(page, 0.2)

            async def both() -> list[Event]:
                found = await _events(engine, "slow")
                return found if len(found) == 2 else []

            ended, _ = await until(both, "the series went")
            assert (ended.subject, ended.data["state"]) == ("playback-api", "ended")
            state = engine.watching.sources.states["p"]
            assert (state.restarts, state.duplicates, state.rejected) == (0, 0, 0)


async def test_an_alert_on_a_filter_of_promql_fires_and_ends(engine: AutomationEngine, folder: Path) -> None:
    with web_page() as page:
        _say(page, 0.1)
        async with prometheus(folder, _scraping(page)) as address:
            settings = {"url": f"http://{address}", "query": "latency_seconds > 2", "metric": "slow", "mode": "active"}
            monitor = MonitorDefinition(name="slow", type="promql", interval_seconds=0.2, settings=settings)
            rule = AlertRule(name="TooSlow", condition="slow == 1")
            await engine.apply(Definitions(monitors=(monitor,), alerts=(rule,)))
            await until(lambda: engine.watching.monitor.states["slow"].rounds > 1, "the monitor runs")
            assert engine.watching.monitor.states["slow"].error is None
            assert engine.metric_store.latest("slow") is None

            _say(page, 7.5)
            [fired] = await until(lambda: _events(engine, "alert.firing"), "the alert fired")
            assert (fired.subject, fired.labels["job"]) == ("playback-api", "shop")

            _say(page, 0.2)
            [ended] = await until(lambda: _events(engine, "alert.resolved"), "the alert ended")
            assert (ended.subject, ended.data["alert"]) == ("playback-api", "TooSlow")


async def test_rules_that_prometheus_reads_are_imported_and_fire_here(engine: AutomationEngine, folder: Path) -> None:
    rules = folder / "rules.yml"
    rule = {
        "alert": "TooSlow",
        "expr": "latency:max > 2",
        "for": "1s",
        "labels": {"severity": "critical", "team": "shop"},
        "annotations": {"summary": "slow"},
    }
    record = {"record": "latency:max", "expr": "max by (service) (latency_seconds)"}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "interval": "1s", "rules": [record, rule]}]}))
    with web_page() as page:
        _say(page, 7.5)
        async with prometheus(folder, {**_scraping(page), "rule_files": [str(rules)]}) as address:
            await until(lambda: query(address, 'ALERTS{alertstate="firing"}'), "it fires in Prometheus")
            made, problems = read_text(import_rules(rules, f"http://{address}").yaml())
            assert problems == []
            await engine.apply(made)
            [fired] = await until(lambda: _events(engine, "alert.firing"), "it fires here")
            assert (fired.subject, fired.severity) == ("playback-api", "critical")
            assert fired.labels == {"severity": "critical", "team": "shop", "service": "playback-api"}
            assert fired.data["annotations"] == {"summary": "slow"}


async def test_prometheus_writes_its_samples_to_us(server: tuple[AutomationEngine, Server], folder: Path) -> None:
    engine, serving = server
    token = await engine.tokens.issue("prometheus", ["automation_source"], expires_in=None, actor="test")
    writing = {"url": f"{serving.url}{PATH}", "authorization": {"credentials": token}}
    with web_page() as page:
        _say(page, 3.5)
        async with prometheus(folder, {**_scraping(page), "remote_write": [writing]}):

            def latest() -> float | None:
                found = engine.metric_store.latest("latency_seconds", "playback-api")
                return found and found.value

            await until(lambda: latest() == 3.5, "the sample arrived", log=folder / "prometheus.log")
            found = engine.metric_store.latest("latency_seconds", "playback-api")
            assert found is not None
            assert found.labels["job"] == "shop"
            assert abs(found.time - engine.clock.now()) < 60

            _say(page, 9.25)
            await until(lambda: latest() == 9.25, "the next one arrived", log=folder / "prometheus.log")

            # A series that ends is marked by a special NaN, which is no sample.
            page.text = "\n"

            def stale() -> float:
                labels = {"reason": "stale"}
                return engine.metrics.registry.get_sample_value("automation_samples_refused_total", labels) or 0.0

            await until(lambda: stale() >= 1, "the end of the series was seen", log=folder / "prometheus.log")
            assert latest() == 9.25
