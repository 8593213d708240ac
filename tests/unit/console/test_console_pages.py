"""What pages show and what forms do, on a real engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from automation import Event, ExecutionContext, ServiceDefinition
from automation.console import services
from tests.support import handlers
from tests.unit.console.conftest import Elements, Site

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`"
INERT = "&lt;script&gt;alert(1)&lt;/script&gt;"


async def full(site: Site) -> dict[str, str]:
    """Something on every page, with markup wherever text may stand; the addresses of all pages."""
    await site.workflow(
        "broken",
        {"name": "try", "action_type": "test.fail", "description": EVIL, "parameters": {"how": "refused"}},
        {
            "name": "never",
            "action_type": "test.record",
            "parameters": {"value": EVIL},
            "conditions": [f"x == {EVIL[:25]!r}"],
        },
        description=EVIL,
        inputs={"x": {"description": EVIL, "default": EVIL}},
        triggers=[{"type": "event", "event": EVIL}, {"type": "manual"}],
    )
    await site.workflow("stopped", triggers=[{"type": "event", "event": EVIL}], enabled=False)
    site.engine.register_alert_workflow({"name": "hot", "condition": "heat > 1", "annotations": {"summary": EVIL}})
    receipt = await site.engine.publish(
        Event(
            type=EVIL,
            subject=EVIL,
            source="x/y",
            id=f"a/b?c#{EVIL}",
            data={EVIL: EVIL},
            labels={EVIL: EVIL},
            severity=EVIL,
        )
    )
    await site.engine.observe("heat", 5, subject=EVIL, labels={EVIL: EVIL})
    await site.engine.start_workflow("broken", ExecutionContext(variables={"x": EVIL}, actor=EVIL))
    await site.engine.drain(10)
    event = f"/events/a%2Fb%3Fc%23{EVIL.replace('/', '%2F').replace('`', '%60')}?source=x%2Fy"
    return {
        "overview": "/",
        "executions": "/executions",
        "execution": f"/executions/{receipt.executions[0]}",
        "events": "/events",
        "event": event,
        "alerts": "/alerts",
        "rules": "/alert-rules",
        "rule": "/alert-rules/hot",
        "workflows": "/workflows",
        "workflow": "/workflows/broken",
        "login": "/login?next=" + EVIL,
        "cancel": f"/executions/{receipt.executions[0]}/cancel",
        "missing": f"/workflows/{EVIL}",
    }


async def test_no_page_runs_what_others_wrote(site: Site) -> None:
    """Markup in names, data, errors and labels is text; nothing is inline; the policy forbids it anyway."""
    pages = await full(site)
    browser = await site.signed_in()
    for name, path in pages.items():
        answer = await (await site.browser() if name == "login" else browser).get(path)
        assert answer.status_code == (404 if name == "missing" else 200), (name, answer.text)
        assert "<script>alert" not in answer.text, name
        assert "<img src=x" not in answer.text, name
        elements = Elements(answer.text)
        for tag, attributes in elements.found:
            assert not any(key.startswith("on") for key in attributes), (name, tag, attributes)
            assert "style" not in attributes, (name, tag, attributes)
            if tag == "script":
                assert (attributes.get("src") or "").startswith("/console/static/"), name
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        if name in ("execution", "event", "events", "alerts", "workflow", "workflows", "missing"):
            assert INERT in answer.text, name
    assert handlers.calls.count(("greet", EVIL)) == 0


async def test_pages_are_whole_documents_with_one_heading(site: Site) -> None:
    pages = await full(site)
    browser = await site.signed_in()
    for name, path in pages.items():
        text = (await browser.get(path)).text
        if name == "login":
            continue
        elements = Elements(text)
        assert len(elements.all("h1")) == 1, name
        assert elements.all("main", id="main"), name
        assert elements.all("a", href="#main"), name
        ids = [a["id"] for _, a in elements.found if a.get("id")]
        assert len(ids) == len(set(ids)), name
        assert len(text) < 60_000, f"{name} is heavy"


async def test_the_overview_tells_what_matters(site: Site) -> None:
    await full(site)
    browser = await site.signed_in()

    text = (await browser.get("/")).text

    for expected in ("ready", "level intelligent", "Failed within a day", "it will not work", "Firing alerts", "hot"):
        assert expected in text
    assert 'href="/executions?status=failed"' in text
    site.engine.store._writer.failure = "disk full"
    text = (await browser.get("/")).text
    assert "disk full" in text
    assert "not ready" in text
    site.engine.store._writer.failure = None


async def test_the_overview_of_an_empty_engine_says_what_to_do(site: Site) -> None:
    text = (await (await site.signed_in()).get("/")).text
    assert "Nothing has run yet" in text
    assert "No alert is firing" in text
    assert "No event has come yet" in text


async def test_who_may_see_nothing_sees_an_empty_overview(site: Site) -> None:
    await full(site)
    browser = await site.signed_in("automation_source")
    text = (await browser.get("/")).text
    assert "broken" not in text
    assert 'href="/executions"' not in text
    for path in ("/executions", "/workflows", "/alerts", "/events"):
        assert (await browser.get(path)).status_code == 403, path


async def test_an_event_tells_what_it_started_and_what_not(site: Site) -> None:
    pages = await full(site)
    browser = await site.signed_in()

    text = (await browser.get(pages["event"])).text

    assert "broken" in text
    assert "the workflow is disabled" in text
    assert (await browser.get("/events?type=ping")).status_code == 200
    assert "No event of this type" in (await browser.get("/events?type=ping")).text
    assert (await browser.get("/events/none")).status_code == 404
    text = (await browser.get("/events")).text
    assert "disabled</span>" in text, "the list says what kept it from starting something"
    listed = Elements(text)
    link = next(a["href"] for a in listed.all("a") if "a%2Fb" in (a.get("href") or ""))
    assert (await browser.get(link)).status_code == 200


async def test_alerts_by_state(site: Site) -> None:
    await full(site)
    browser = await site.signed_in()
    assert "hot" in (await browser.get("/alerts?state=firing")).text
    assert "No alert is resolved." in (await browser.get("/alerts?state=resolved")).text
    assert (await browser.get("/alerts?state=angry")).status_code == 400


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ("{", 400, "JSON"),
        ("[1]", 400, "must be a JSON object"),
        ("{}", 400, "who: is missing"),
        ('{"who": ' + "[" * 200 + "]" * 200 + "}", 400, "nest"),
    ],
)
async def test_a_start_that_does_not_fit_is_told_and_the_input_kept(
    site: Site, variables: str, code: int, told: str
) -> None:
    await site.workflow()
    answer = await (await site.signed_in()).post("/workflows/hello/start", data={"variables": variables})
    assert answer.status_code == code
    assert told in answer.text
    assert variables.replace('"', "&#34;") in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert not handlers.calls


async def test_a_form_sent_twice_starts_once(site: Site) -> None:
    await site.workflow()
    browser = await site.signed_in()
    form = Elements((await browser.get("/workflows/hello")).text)
    key = form.all("input", name="key")[0]["value"]
    data = {"variables": '{"who": "<b>"}', "key": key}

    first = await browser.post("/workflows/hello/start", data=data)
    second = await browser.post("/workflows/hello/start", data=data)

    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    await site.engine.drain(10)
    assert handlers.calls == [("greet", "<b>")]
    execution = await site.engine.queries.execution(first.headers["location"].rpartition("/")[2])
    assert execution.actor == "ada"
    changed = await browser.post("/workflows/hello/start", data=data | {"variables": '{"who": "you"}'})
    assert changed.status_code == 409
    assert first.headers["location"] in changed.text
    fresh = Elements(changed.text).all("input", name="key")[0]["value"]
    assert fresh != key


async def test_a_condition_that_is_false_is_told(site: Site) -> None:
    await site.workflow("gated", conditions=["who == 'me'"])
    answer = await (await site.signed_in()).post("/workflows/gated/start", data={"variables": '{"who": "you"}'})
    assert answer.status_code == 409
    assert "is false" in answer.text


async def test_a_workflow_shows_its_inputs_and_what_starts_it(site: Site) -> None:
    await site.workflow(
        inputs={"who": {"type": "string", "required": True, "description": "whom to greet"}, "n": {"default": 3}},
        triggers=[{"type": "event", "event": "ping", "condition": "n > 1"}, {"type": "schedule", "cron": "0 3 * * *"}],
    )
    text = (await (await site.signed_in()).get("/workflows/hello")).text
    for expected in ("whom to greet", "required", "event ping if n &gt; 1", "schedule 0 3 * * * UTC", "&#34;n&#34;: 3"):
        assert expected in text


async def test_a_workflow_shows_what_is_doubtful_in_it(site: Site) -> None:
    slow = {"name": "a", "action_type": "test.record", "timeout_seconds": 2}
    await site.workflow("hello", slow, timeout_seconds=1)
    text = (await (await site.signed_in()).get("/workflows/hello")).text
    assert "timeout_seconds: 1 s is less than its actions may take: up to" in text


async def test_who_takes_care_of_an_alert_says_so(site: Site) -> None:
    site.engine.register_alert_workflow({"name": "hot", "condition": "heat > 90", "severity": "high"})
    await site.engine.observe("heat", 95.0, subject="a1")
    [alert] = (await site.engine.queries.alerts()).items
    viewer, operator = await site.signed_in("automation_viewer"), await site.signed_in("automation_operator")
    given = {"fingerprint": alert.fingerprint, "state": "firing"}

    assert "Acknowledge" not in (await viewer.get("/alerts")).text
    assert (await viewer.post("/alerts/acknowledge", data=given)).status_code == 403
    assert "Acknowledge" in (await operator.get("/alerts")).text
    answer = await operator.post("/alerts/acknowledge", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts?state=firing")
    assert "No alert is firing." in (await operator.get("/alerts?state=firing")).text
    text = (await operator.get("/alerts")).text
    assert "acknowledged by ada" in text
    assert 'action="/alerts/acknowledge"' not in text
    assert (await operator.post("/alerts/acknowledge", data=given)).status_code == 409
    assert (await operator.post("/alerts/acknowledge", data={"fingerprint": "nosuch"})).status_code == 404


async def test_services_are_told_without_waiting_for_any(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PATIENCE_SECONDS", 0.1)
    site.engine.catalogue.add_service(ServiceDefinition(name="playback", settings={"command": ["sleep", "1"]}))
    site.engine.catalogue.add_service(ServiceDefinition(name="stuck", settings={"command": ["sleep", "1"]}))
    platform = site.engine.services.platform(site.engine.services.get("stuck"))
    real = platform.replicas

    async def replicas(service: ServiceDefinition) -> Any:
        return await (asyncio.sleep(60) if service.name == "stuck" else real(service))

    monkeypatch.setattr(platform, "replicas", replicas)
    text = (await (await site.signed_in()).get("/")).text
    assert "playback" in text
    assert "not running" in text
    assert "0 / 0" not in text
    assert "unknown" in text
    assert "TimeoutError" in text


async def test_static_files_are_kept_by_browsers_and_need_no_session(site: Site) -> None:
    browser = await site.browser()
    page = Elements((await browser.get("/login")).text)
    sheets = [a["href"] for a in page.all("link", rel="stylesheet")]
    assert sheets
    for path in sheets:
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await browser.get("/console/static/console.css")).headers["cache-control"] == "no-cache"
    assert (await browser.get("/console/static/../desk.py")).status_code in (303, 404)
    assert (await browser.get("/console/static/%2e%2e/desk.py")).status_code == 404


async def test_a_path_without_a_page_is_told_to_people_and_to_programs(site: Site) -> None:
    browser = await site.signed_in()
    page = await browser.get("/nowhere")
    assert page.status_code == 404
    assert "<h1>Not found</h1>" in page.text
    for path, accept in (("/nowhere", "application/json"), ("/api/v1/nowhere", "text/html")):
        answer = await browser.get(path, headers={"accept": accept})
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code == 404


async def test_a_fault_of_ours_is_told_by_its_id_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("the inside")

    browser = await site.signed_in()
    monkeypatch.setattr(site.engine.queries, "alert_counts", broken)
    answer = await browser.get("/alerts")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.text
    assert "the inside" not in answer.text
    assert "the inside" in caplog.text


async def test_nothing_is_loaded_from_elsewhere() -> None:
    home = Path(services.__file__).parent
    for file in [*home.glob("templates/*"), *home.glob("static/*.*")]:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//cdn" not in text
        assert "https://" not in text, file
        assert "http://" not in text, file


async def test_an_event_tells_how_the_rules_of_now_see_it(site: Site) -> None:
    await site.workflow("heal", triggers=[{"type": "event", "event": "ping", "condition": "load > 5"}])
    await site.engine.publish(Event(type="ping", id="p", data={"load": 3}))
    browser = await site.signed_in()
    text = (await browser.get("/events/p")).text
    assert "condition &#39;load &gt; 5&#39; is false" in text
    assert "load  →  3" in text


@pytest.mark.parametrize(("period", "shown"), [("10m", "10m"), (90, "90 s"), (0, "–")])
async def test_a_rule_shows_its_cooldown_as_it_was_written(site: Site, period: float | str, shown: str) -> None:
    site.engine.register_alert_workflow({"name": "hot", "condition": "heat > 1", "cooldown_period": period})
    browser = await site.signed_in()
    assert f"<dt>Cooldown</dt><dd>{shown}</dd>" in (await browser.get("/alert-rules/hot")).text


async def test_triggers_are_said_in_words(site: Site) -> None:
    triggers = [
        {"type": "count", "event": "hit", "count": 3, "within": "1m", "key": "event.subject", "cooldown": "1h"},
        {"type": "sequence", "events": [{"event": "a"}, {"event": "b"}], "within": 60},
        {"type": "metric_threshold", "metric": "cpu_usage", "threshold": "80%", "duration": "5m", "stop": True},
    ]
    await site.workflow("heal", triggers=triggers)
    browser = await site.signed_in()
    text = (await browser.get("/workflows/heal")).text
    for expected in (
        "count hit count 3 within 1m key event.subject (cooldown)",
        "sequence a, b within 60",
        "metric threshold cpu_usage &gt; 80% duration 5m (stop)",
    ):
        assert expected in text


async def test_a_rule_tells_why_it_fires_for_one_series_and_not_for_another(site: Site) -> None:
    site.engine.register_alert_workflow({"name": "hot", "condition": "heat > 90", "severity": "high"})
    site.engine.register_alert_workflow({"name": "idle", "condition": "draught > 1"})
    await site.engine.observe("heat", 95, subject="stove")
    await site.engine.observe("heat", 5, subject="oven")
    browser = await site.signed_in()

    rules, hot, idle = [
        (await browser.get(path)).text for path in ("/alert-rules", "/alert-rules/hot", "/alert-rules/idle")
    ]

    assert 'href="/alert-rules/hot"' in rules
    assert "the condition is false" in hot
    assert "heat &gt; 90  →  false" in hot
    assert "heat  →  95.0" in hot
    assert "It fires for nothing: there are no samples of draught." in idle
    assert (await browser.get("/alert-rules/nosuch")).status_code == 404
