"""Who may call."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from fastapi.routing import APIRoute

from automation import AutomationConfig, AutomationEngine
from automation.api.access import COOKIE
from automation.api.app import create_app
from automation.api.openapi import OPEN, access_of
from automation.api.operations import RawRoute

from .conftest import Face


async def test_every_route_but_health_needs_a_token(face: Face) -> None:
    """Given no token, when any route is called, then only health answers."""
    client = await face.client()
    answered = set()
    for route in face.app.routes:
        assert isinstance(route, APIRoute | RawRoute)
        method = route.operation.method if isinstance(route, RawRoute) else sorted(route.methods or ())[0]
        path = route.path.replace(":path", "").replace("{", "").replace("}", "")
        response = await client.request(method, path)
        if response.status_code != 401:
            answered.add(path)
            assert access_of(route) in OPEN
        else:
            assert response.headers["www-authenticate"] == 'Bearer realm="automation"'
            assert response.json()["type"] == "urn:automation:problem:unauthenticated"
    assert answered == {"/healthz", "/-/healthy", "/readyz", "/-/ready"}


PERMISSIONS = [
    ("automation_viewer", "POST", "/api/v1/workflows", "workflows:create"),
    ("automation_operator", "DELETE", "/api/v1/workflows/x", "workflows:delete"),
    ("automation_viewer", "POST", "/api/v1/workflows/x/executions", "workflows:execute"),
    ("automation_viewer", "POST", "/api/v1/executions/x/cancel", "workflows:execute"),
    ("automation_viewer", "POST", "/api/v1/executions/x/decision", "actions:execute_standard"),
    ("automation_viewer", "POST", "/api/v1/events", "events:publish"),
    ("automation_viewer", "POST", "/webhooks/anything", "events:publish"),
    ("automation_viewer", "POST", "/webhooks/test", "events:publish"),
    ("automation_viewer", "POST", "/webhooks/alertmanager", "events:publish"),
    ("automation_viewer", "POST", "/webhooks/cloudevents", "events:publish"),
    ("automation_source", "GET", "/api/v1/events", "events:view"),
    ("automation_source", "GET", "/api/v1/executions", "workflows:view"),
    ("automation_source", "GET", "/api/v1/changes", "workflows:view"),
    ("automation_source", "GET", "/api/v1/services", "workflows:view"),
    ("automation_source", "GET", "/api/v1/alerts", "alerts:view"),
    ("automation_source", "GET", "/api/v1/notifications", "alerts:view"),
    ("automation_source", "GET", "/api/v1/decisions", "events:view"),
    ("automation_source", "GET", "/metrics", "metrics:view"),
    ("automation_viewer", "POST", "/api/v1/alerts/x/acknowledge", "alerts:acknowledge"),
    ("automation_operator", "POST", "/api/v1/alert-rules", "workflows:create"),
    ("automation_operator", "GET", "/api/v1/audit", "system:admin"),
    ("automation_operator", "GET", "/api/v1/audit/verify", "system:admin"),
    ("automation_operator", "GET", "/api/v1/tokens", "system:admin"),
    ("automation_operator", "POST", "/api/v1/tokens", "system:admin"),
]


async def test_permissions(face: Face) -> None:
    """Given a role without the permission, when it calls, then it is refused and that is audited."""
    for role, method, path, permission in PERMISSIONS:
        client = await face.as_role(role)

        response = await client.request(method, path, content=b"not even JSON")

        assert response.status_code == 403, path
        assert response.json()["detail"] == f"this needs the permission {permission!r}"
        row = (await face.engine.queries.audit(kind="access_attempt", limit=1)).items[0]
        assert (row.actor, row.act, row.subject, row.outcome) == (role[11:], "authorize", path, "refused")
        assert row.detail == {"permission": permission, "address": "10.0.0.7"}
    assert face.refused("forbidden") == len(PERMISSIONS)


async def test_wrong_tokens_are_audited_and_then_held_back(face: Face) -> None:
    """Given ten wrong tokens from one address, then also a right one is answered 429 with Retry-After."""
    wrong = await face.client("aut_" + "x" * 43)
    for _ in range(10):
        response = await wrong.get("/api/v1/workflows")
        assert response.status_code == 401
    right = await face.as_role("automation_admin")

    response = await right.get("/api/v1/workflows")

    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= 60
    rows = (await face.engine.queries.audit(kind="access_attempt")).items
    assert sum(row.act == "authenticate" and row.actor == "address:10.0.0.7" for row in rows) == 11
    elsewhere = await face.client(face.tokens["automation_admin"], address="10.0.0.8")
    assert (await elsewhere.get("/api/v1/workflows")).status_code == 200


async def test_other_schemes_are_no_token(face: Face) -> None:
    client = await face.client()
    for value in ("Basic YWRtaW46", "Bearer", "Bearer  ", "", f"Token {face.tokens['automation_admin']}"):
        response = await client.get("/api/v1/workflows", headers={"Authorization": value})
        assert response.status_code == 401, value


async def test_a_token_in_the_query_is_not_accepted(face: Face) -> None:
    client = await face.client()
    for name in ("token", "access_token", "api_key"):
        response = await client.get("/api/v1/workflows", params={name: face.tokens["automation_admin"]})
        assert response.status_code == 401


async def test_forwarded_addresses_are_not_believed(face: Face) -> None:
    """Given a request from elsewhere that claims to be forwarded for loopback, then it is one from elsewhere."""
    client = await face.client(
        **{"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    )
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.post("/webhooks/test")).status_code == 401


async def test_metrics_and_test_webhook_are_open_on_this_machine(face: Face) -> None:
    for address in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"):
        client = await face.client(address=address)
        assert (await client.get("/metrics")).status_code == 200
        response = await client.post("/webhooks/test")
        assert response.status_code == 202
        event_id = response.json()["receipts"][0]["event_id"]
        assert (await face.engine.queries.event(event_id)).stored.event.type == "webhook.test"


async def test_another_sites_page_does_not_count_as_this_machine(face: Face) -> None:
    client = await face.client(address="127.0.0.1", **{"Sec-Fetch-Site": "cross-site"})
    assert (await client.post("/webhooks/test")).status_code == 401


async def test_openness_on_this_machine_can_be_switched_off(config: AutomationConfig) -> None:
    closed = config.model_copy(update={"api": config.api.model_copy(update={"open_metrics_on_loopback": False})})
    async with AutomationEngine(closed) as engine, AsyncExitStack() as stack:
        client = await Face(engine, create_app(engine), stack).client(address="127.0.0.1")
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.post("/webhooks/test")).status_code == 401


async def session_of(face: Face, role: str = "automation_admin") -> dict[str, str]:
    text, _ = await face.engine.tokens.open_session(face.tokens[role], "10.0.0.7")
    return {"Cookie": f"{COOKIE}={text}"}


async def test_a_session_reads(face: Face) -> None:
    client = await face.client(**await session_of(face))
    assert (await client.get("/api/v1/workflows")).status_code == 200


ORIGINS: list[tuple[dict[str, str], int]] = [
    ({}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 202),
    ({"Sec-Fetch-Site": "none"}, 202),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://engine:8080"}, 403),
    ({"Origin": "http://engine:8080"}, 202),
    ({"Origin": "https://engine:8080"}, 202),
    ({"Origin": "http://engine"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
]


async def test_a_session_changes_things_only_from_our_own_pages(face: Face) -> None:
    client = await face.client(**await session_of(face))
    for headers, status in ORIGINS:
        response = await client.post("/api/v1/events", json={"type": "x"}, headers=headers)
        assert response.status_code == status, headers
    rows = (await face.engine.queries.audit(kind="access_attempt")).items
    refused = [row for row in rows if row.act == "authorize"]
    assert len(refused) == sum(status == 403 for _, status in ORIGINS)
    assert {row.detail["permission"] for row in refused} == {"same-origin"}


async def test_a_token_needs_no_origin(face: Face) -> None:
    """Given a token and a cookie, then the token counts, which no other site can make a browser send."""
    client = await face.client(face.tokens["automation_admin"], **await session_of(face), Origin="http://evil.example")
    assert (await client.post("/api/v1/events", json={"type": "x"})).status_code == 202


async def test_an_ended_session_and_an_api_token_in_a_cookie_are_refused(face: Face) -> None:
    for text in ("aus_" + "x" * 43, face.tokens["automation_admin"]):
        client = await face.client(Cookie=f"{COOKIE}={text}")
        assert (await client.get("/api/v1/workflows")).status_code == 401


async def test_a_revoked_token_is_refused_at_once(face: Face, admin: Any) -> None:
    viewer = await face.as_role("automation_viewer")
    assert (await viewer.get("/api/v1/workflows")).status_code == 200
    listed = (await admin.get("/api/v1/tokens")).json()["items"]
    token_id = next(item["id"] for item in listed if item["name"] == "viewer")

    revoked = await admin.post(f"/api/v1/tokens/{token_id}/revoke")

    assert revoked.json()["revoked_at"].endswith("Z")
    assert (await viewer.get("/api/v1/workflows")).status_code == 401
    assert (await admin.post(f"/api/v1/tokens/{token_id}/revoke")).status_code == 409
    assert (await admin.post("/api/v1/tokens/none/revoke")).status_code == 404


async def test_a_browser_is_sent_to_sign_in(face: Face) -> None:
    """Given a browser without a session, when it asks for a page, then it is sent to the console's sign-in."""
    browser = await face.client(Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    response = await browser.get("/docs?a=b")
    assert response.status_code == 303
    assert response.headers["location"] == "/login?next=%2Fdocs%3Fa%3Db"
    assert (await browser.get("/api/v1/workflows")).status_code == 401
    assert (await browser.post("/webhooks/test")).status_code == 401
