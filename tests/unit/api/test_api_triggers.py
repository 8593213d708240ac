"""Triggers, dead letters and replays over REST."""

from __future__ import annotations

from automation import Event
from automation.store.dead_letters import DeadLetter
from tests.unit.api.conftest import Face

COUNT = {"type": "count", "event": "hit", "count": 2, "within": "1h", "key": "event.subject"}


async def test_a_trigger_is_switched_off_and_on(face: Face) -> None:
    await face.workflow("w", triggers=[{"type": "event", "event": "x"}, COUNT, {"type": "manual"}])
    admin, viewer = await face.as_role("automation_admin"), await face.as_role("automation_viewer")
    await face.engine.publish(Event(type="hit", subject="a"))

    off = await admin.post("/api/v1/workflows/w/disable", json={"trigger": 0, "reason": "wrong"})
    seen = (await viewer.get("/api/v1/workflows/w/triggers")).json()

    assert off.status_code == 200, off.text
    assert off.json() == seen
    assert [item["enabled"] for item in seen["items"]] == [False, True, True]
    assert seen["items"][0]["reason"].startswith("the trigger was disabled by admin at 20")
    assert seen["items"][0]["reason"].endswith(": wrong")
    assert seen["items"][1]["open_keys"] == 1
    assert seen["items"][1]["next_due_at"].startswith("20")

    whole = (await admin.post("/api/v1/workflows/w/disable")).json()
    assert (whole["enabled"], [item["enabled"] for item in whole["items"]]) == (False, [False, False, True])
    assert (await admin.post("/api/v1/workflows/w/enable")).json()["enabled"] is True
    again = await admin.post("/api/v1/workflows/w/enable")
    assert (again.status_code, again.json()["detail"]) == (409, "w was not disabled by hand")


async def test_what_is_switched_must_be_there(face: Face) -> None:
    await face.workflow("w", triggers=[{"type": "manual"}])
    admin, operator = await face.as_role("automation_admin"), await face.as_role("automation_operator")
    assert (await operator.post("/api/v1/workflows/w/disable")).status_code == 403
    assert (await admin.post("/api/v1/workflows/none/disable")).status_code == 404
    assert (await admin.post("/api/v1/workflows/w/disable", json={"trigger": 1})).status_code == 404
    assert (await admin.post("/api/v1/workflows/w/disable", json={"trigger": 0})).status_code == 400
    assert (await admin.post("/api/v1/workflows/w/disable", json={"triger": 0})).status_code == 400


async def test_events_are_replayed_and_explained(face: Face) -> None:
    await face.engine.publish(Event(type="x", id="1", data={"who": "ann", "load": 7}))
    await face.workflow("w", triggers=[{"type": "event", "event": "x", "condition": "load > 5"}])
    operator = await face.as_role("automation_operator")

    since = {"since": "2020-01-01T00:00:00Z"}
    tried = (await operator.post("/api/v1/events/replay", json={**since, "dry_run": True})).json()
    done = (await operator.post("/api/v1/events/replay", json=since)).json()
    await face.engine.drain()
    event = (await operator.get("/api/v1/events/1")).json()

    assert [item["outcome"] for item in tried["items"]] == ["would_start"]
    assert [item["outcome"] for item in done["items"]] == ["started"]
    assert done["after"] is None
    assert event["executions"][0]["id"] == done["items"][0]["execution_id"]
    (rule,) = event["considered"]
    assert rule["values"] == [
        {"expression": "load > 5", "depth": 0, "value": "true"},
        {"expression": "load", "depth": 1, "value": "7"},
    ]
    viewer = await face.as_role("automation_viewer")
    assert (await viewer.post("/api/v1/events/replay", json=since)).status_code == 403
    assert (await operator.post("/api/v1/events/replay", json={"since": "soon"})).status_code == 400


async def test_dead_letters_are_listed(face: Face) -> None:
    letters = [DeadLetter.new(float(number), "file", f"line {number}", "not JSON") for number in range(3)]
    await face.engine.store.commit([letter.op() for letter in letters])
    viewer = await face.as_role("automation_viewer")

    page = (await viewer.get("/api/v1/dead-letters?limit=2")).json()
    rest = (await viewer.get(f"/api/v1/dead-letters?limit=2&cursor={page['next_cursor']}")).json()

    assert [item["body"] for item in (*page["items"], *rest["items"])] == ["line 2", "line 1", "line 0"]
    assert page["items"][0]["at"] == "1970-01-01T00:00:02.000Z"


async def test_a_version_is_tried_on_stored_events(face: Face) -> None:
    definition = await face.workflow("w", triggers=[{"type": "event", "event": "x", "condition": "n > 5"}])
    for number in (4, 6):
        await face.engine.publish(Event(type="x", id=f"{number}", data={"n": number, "who": "ann"}))
    viewer = await face.as_role("automation_viewer")
    body = {**definition.model_dump(mode="json"), "triggers": [{"type": "event", "event": "x", "condition": "n > 3"}]}

    plain = (await viewer.post("/api/v1/workflows/w/backtest", json={"since": "2020-01-01"})).json()
    other = (await viewer.post("/api/v1/workflows/w/backtest", json={"since": "2020-01-01", "definition": body})).json()

    assert (plain["tried"]["count"], plain["tried"] == plain["current"]) == (1, True)
    assert [start["event_id"] for start in other["gained"]] == ["4"]
    assert other["lost"] == []
    wrong = {"since": "2020-01-01", "definition": {**body, "name": "other"}}
    assert (await viewer.post("/api/v1/workflows/w/backtest", json=wrong)).status_code == 400
    assert (await viewer.post("/api/v1/workflows/none/backtest", json={"since": "2020-01-01"})).status_code == 404
