"""A Prometheus that somebody names for a back-test is not told what the one in the definition is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine
from automation.hindsight import Question
from automation.infrastructure.web import Web
from automation.model.alert import AlertRule
from automation.monitoring.collectors.promql import PromqlCollector


@pytest.mark.parametrize(("asked", "told"), [("http://here:9090", "secret"), ("http://elsewhere:9090", None)])
async def test_credentials_go_to_their_own_server_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, told: str | None
) -> None:
    seen: list[Web] = []

    async def answer(web: Web, query: str, *_: Any) -> list[Any]:
        seen.append(web)
        assert query == "rate(errors_total[5m])"
        return []

    monkeypatch.setattr("automation.hindsight.evaluate_range", answer)
    engine = AutomationEngine(AutomationConfig(database_url=f"sqlite:///{tmp_path}/a.db"))
    await engine.start(watch=False)
    known = PromqlCollector.model_validate(
        {
            "url": "http://here:9090",
            "token": "secret",
            "headers": {"X-Scope": "secret"},
            "query": "rate(errors_total[5m])",
            "metric": "errors",
        }
    )
    monkeypatch.setattr(engine.hindsight, "_queries", lambda: {"errors": known})
    rule = AlertRule(name="many", condition="errors > 5")

    found = await engine.hindsight.alert("many", Question(engine.clock.now() - 600, prometheus=asked), rule)
    await engine.stop()

    assert found.source == asked
    (web,) = seen
    assert web.url == asked
    assert (web.token.get_secret_value() if web.token else None) == told
    assert bool(web.headers) is (told is not None)
