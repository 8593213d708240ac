"""Metrics over REST and on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from automation.clock import iso

from .conftest import Face


async def measure(face: Face) -> float:
    now = face.engine.clock.now()
    for back, value in ((7200, 10.0), (7190, 30.0), (50, 5.0)):
        await face.engine.observe("cpu_usage", value, subject="api", labels={"host": "a1"}, time=now - back)
    await face.engine.observe("queue", 1.0)
    return now


async def test_metrics_are_listed_with_what_is_known_of_them(face: Face, admin: Any) -> None:
    await measure(face)
    await face.engine.samples.history.flush()
    viewer = await face.as_role("automation_viewer")

    items = (await viewer.get("/api/v1/metrics")).json()["items"]

    assert [(each["name"], each["series"], each["unit"]) for each in items] == [
        ("cpu_usage", 1, "percent"),
        ("queue", 1, None),
    ]


@pytest.mark.parametrize("flushed", [True, False])
async def test_the_history_of_a_metric_is_told_bucket_by_bucket(face: Face, admin: Any, flushed: bool) -> None:
    now = await measure(face)
    if flushed:
        await face.engine.samples.history.flush()
    viewer = await face.as_role("automation_viewer")

    answer = await viewer.get("/api/v1/metrics/cpu_usage", params={"since": iso(now - 8000), "step": 3600})

    found = answer.json()
    assert (found["name"], found["step"]) == ("cpu_usage", 3600)
    (series,) = found["series"]
    assert (series["subject"], series["labels"]) == ("api", {"host": "a1"})
    assert sum(point["count"] for point in series["points"]) == 3
    assert min(point["min"] for point in series["points"]) == 5.0
    assert series["points"][-1]["last"] == 5.0
    assert all(point["at"].endswith("Z") for point in series["points"])


async def test_the_last_hour_is_told_in_minutes_by_itself(face: Face, admin: Any) -> None:
    await measure(face)

    found = (await admin.get("/api/v1/metrics/cpu_usage")).json()
    long = (await admin.get("/api/v1/metrics/cpu_usage", params={"since": "2020-01-01T00:00:00"})).json()

    assert found["step"] == 60
    assert [point["count"] for series in found["series"] for point in series["points"]] == [1]
    assert long["step"] == 3600
    assert long["since"] > "2020-06-01"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("nothing", 404, "there is no metric named 'nothing'"),
        ("cpu_usage?step=61", 400, "there are no buckets of 61 seconds; there are of 60, 600, 3600"),
        ("cpu_usage?since=2999-01-01T00:00:00Z", 400, "since: is in the future"),
        ("cpu_usage?since=yesterday", 400, "since"),
    ],
)
async def test_what_cannot_be_told_is_refused(face: Face, admin: Any, path: str, status: int, words: str) -> None:
    await measure(face)

    answer = await admin.get(f"/api/v1/metrics/{path}")

    assert answer.status_code == status
    assert words in answer.text


async def test_a_sender_of_events_may_not_look(face: Face, admin: Any) -> None:
    sender = await face.as_role("automation_source")
    assert (await sender.get("/api/v1/metrics")).status_code == 403


class TestBacktest:
    async def tried(self, client: Any, now: float, **order: Any) -> Any:
        return await client.post("/api/v1/alert-rules/busy/backtest", json={"since": iso(now - 7800), **order})

    async def test_a_viewer_may_ask_what_a_rule_would_have_done(self, face: Face, admin: Any) -> None:
        now = await measure(face)
        viewer = await face.as_role("automation_viewer")
        version = {"name": "busy", "condition": "cpu_usage > 20", "severity": "high"}

        found = (await self.tried(viewer, now, definition=version, step=3600, figure="max")).json()

        assert (found["rule"], found["step"], found["figure"], found["source"]) == ("busy", 3600, "max", "history")
        assert found["tried"]["count"] == 1
        (firing,) = found["tried"]["firings"]
        assert (firing["subject"], firing["value"], firing["until"] is not None) == ("api", 30.0, True)
        assert found["since"].endswith("Z")

    async def test_only_who_may_write_rules_has_the_engine_call_a_prometheus(self, face: Face, admin: Any) -> None:
        now = await measure(face)
        version = {"name": "busy", "condition": "cpu_usage > 20"}
        order = {"definition": version, "prometheus": "http://127.0.0.1:9"}
        viewer = await face.as_role("automation_viewer")

        assert (await self.tried(viewer, now, **order)).status_code == 403
        answer = await self.tried(admin, now, **order)
        assert answer.status_code == 400
        assert "127.0.0.1:9" in answer.text

    @pytest.mark.parametrize(
        ("order", "status"),
        [
            ({}, 404),
            ({"figure": "median"}, 400),
            ({"since": "soon"}, 400),
            ({"definition": {"name": "other", "condition": "cpu_usage > 1"}}, 400),
            ({"definition": {"name": "busy", "condition": "cpu_usage >"}}, 400),
        ],
    )
    async def test_what_cannot_be_tried_is_refused(
        self, face: Face, admin: Any, order: dict[str, Any], status: int
    ) -> None:
        now = await measure(face)
        assert (await self.tried(admin, now, **order)).status_code == status
