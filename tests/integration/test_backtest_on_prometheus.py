"""Alert rules tried on what a real Prometheus has kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from automation import AutomationConfig, AutomationEngine
from automation.definitions import read_or_raise
from automation.errors import InputError
from automation.hindsight import Question
from automation.model.alert import AlertRule
from tests.conftest import needs
from tests.support.programs import until, web_page
from tests.support.prometheus import prometheus, query

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120), needs("prometheus")]


async def test_a_rule_is_tried_on_what_prometheus_has_scraped(folder: Path) -> None:
    with web_page() as page:
        page.text = 'latency_seconds{service="api"} 1\njob:rate:5m{service="api"} 9\n'
        target = page.url.removeprefix("http://").strip("/")
        scrape = {"scrape_configs": [{"job_name": "page", "static_configs": [{"targets": [target]}]}]}
        async with prometheus(folder, scrape) as address:
            for value in ("1", "5", "1"):
                page.text = f'latency_seconds{{service="api"}} {value}\njob:rate:5m{{service="api"}} 9\n'

                async def shown(wanted: str = value) -> bool:
                    found = await query(address, "latency_seconds")
                    return bool(found) and found[0]["value"][1] == wanted

                await until(shown, f"the value {value}", log=folder / "prometheus.log")
            await ask(folder, f"http://{address}")


async def ask(folder: Path, url: str) -> None:
    (folder / "rules.yaml").write_text(
        "monitors:\n"
        "  - {name: p, type: promql, settings: {url: 'http://127.0.0.1:9', query: 'latency_seconds > 2', "
        "metric: slow, mode: active}}\n",
        encoding="utf-8",
    )
    config = AutomationConfig(database_url=f"sqlite:///{folder}/a.db", data_dir=folder)
    engine = AutomationEngine(config)
    await engine.start(watch=False)
    try:
        await engine.apply(read_or_raise([folder / "rules.yaml"]))
        since = engine.clock.now() - 100
        plain = AlertRule(name="late", condition="latency_seconds > 2")
        imported = AlertRule(name="late", condition="slow == 1")

        found = await engine.hindsight.alert("late", Question(since, 1, prometheus=url), plain)
        same = await engine.hindsight.alert("late", Question(since, 1, prometheus=url), imported)

        assert (found.source, found.step, found.series) == (url, 1, 1)
        assert [(each.subject, each.value) for each in found.tried.firings] == [("api", 5.0)]
        assert [each.at for each in same.tried.firings] == [
            pytest.approx(each.at, abs=1.01) for each in found.tried.firings
        ]
        # Found by their names, whatever these say in PromQL: here `latency_seconds-latency_seconds` is none of any.
        for metric, series in (("job:rate:5m", 1), ("latency_seconds-latency_seconds", 0), ("node.cpu", 0)):
            odd = AlertRule(name="late", condition=f"`{metric}` > 2 OR `{metric}` < 2")
            found = await engine.hindsight.alert("late", Question(since, 1, prometheus=url), odd)
            assert (found.series, len(found.tried.firings)) == (series, series)
        with pytest.raises(InputError, match="more than 50000 steps"):
            await engine.hindsight.alert("late", Question(since - 1e6, 1, prometheus=url), plain)
        with pytest.raises(InputError, match=r"prometheus: http://127\.0\.0\.1:9"):
            await engine.hindsight.alert("late", Question(since, prometheus="http://127.0.0.1:9"), plain)
    finally:
        await engine.stop()
