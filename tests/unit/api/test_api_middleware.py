"""What holds for each request: its id, headers of the answer, bounds on the body, errors."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from automation import errors
from automation.api.middleware.body import LINGER_BYTES
from automation.api.problems import KINDS, kind_of
from automation.errors import AutomationError, Problem

from .conftest import Face

LIMIT = 1_048_576


async def test_a_request_has_an_id(face: Face, admin: Any) -> None:
    given = await admin.get("/healthz", headers={"X-Request-Id": "deploy-42.a"})
    assert given.headers["x-request-id"] == "deploy-42.a"
    for strange in ("", "x" * 200, "a b", "<script>", "-x"):
        response = await admin.get("/nowhere", headers={"X-Request-Id": strange})
        made = response.headers["x-request-id"]
        assert made != strange
        assert response.json()["request_id"] == made


async def test_every_answer_carries_the_security_headers(face: Face, admin: Any) -> None:
    for path in ("/healthz", "/api/v1/workflows", "/nowhere", "/docs"):
        headers = (await admin.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


async def test_a_body_that_declares_too_much_is_not_read(face: Face, admin: Any) -> None:
    """Given a declared size above the limit, then the whole answer is sent before any of the body is asked for."""
    steps: list[Any] = []

    async def receive() -> Any:
        steps.append("receive")
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": len(steps) < 8}

    async def send(message: Any) -> None:
        steps.append(message)

    headers = [(b"content-length", str(LIMIT + 1).encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/events", "headers": headers, "query_string": b""}
    await face.app(scope, receive, send)

    start, body, *thrown_away, end = steps
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert "1048576 bytes of api.max_body_bytes" in json.loads(body["body"])["detail"]
    assert set(thrown_away) == {"receive"}
    assert end["more_body"] is False
    assert face.refused("too-large") == 1


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/workflows", "/webhooks/test"])
async def test_a_chunked_body_is_read_only_until_it_is_too_large(face: Face, admin: Any, path: str) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 65_536

    response = await admin.post(path, content=endless())

    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert read <= (LIMIT + LINGER_BYTES) // 65_536 + 2


async def test_a_body_of_just_the_limit_is_read(face: Face, admin: Any) -> None:
    text = b'{"type": "x", "data": {"text": ""}}'
    body = text.replace(b'""', b'"' + b"a" * (LIMIT - len(text)) + b'"')
    assert len(body) == LIMIT

    response = await admin.post("/api/v1/events", content=body)

    assert response.status_code == 202


async def test_an_unread_chunked_body_closes_the_connection(face: Face) -> None:
    """Given a caller that is refused before its body is read, then what is left of the body is not waited for."""

    async def some() -> AsyncIterator[bytes]:
        yield b"{}"

    client = await face.client()
    response = await client.post("/api/v1/events", content=some())
    assert (response.status_code, response.headers["connection"]) == (401, "close")
    response = await client.post("/api/v1/events", json={})
    assert (response.status_code, response.headers.get("connection")) == (401, None)


async def test_gzip_is_undone_and_other_codings_are_refused(face: Face, admin: Any) -> None:
    body = b'{"type": "x", "id": "packed"}'
    packed = {"Content-Encoding": "gzip"}
    response = await admin.post("/api/v1/events", content=gzip.compress(body), headers=packed)
    assert (response.status_code, response.json()["receipts"][0]["event_id"]) == (202, "packed")
    for coding in ("br", "snappy", "gzip, gzip"):
        response = await admin.post("/api/v1/events", content=body, headers={"Content-Encoding": coding})
        assert response.status_code == 415
        detail = f"bodies in the coding {coding!r} are not read; send it uncompressed, or in gzip"
        assert response.json()["detail"] == detail
        assert response.headers["accept-encoding"] == "gzip, identity"
    plain = await admin.post("/api/v1/events", json={"type": "x"}, headers={"Content-Encoding": "identity"})
    assert plain.status_code == 202


async def test_gzip_is_undone_up_to_the_limit_and_no_further(face: Face, admin: Any) -> None:
    packed = {"Content-Encoding": "gzip"}
    text = b'{"type": "x", "data": {"text": ""}}'
    fits = text.replace(b'""', b'"' + b"a" * (LIMIT - len(text)) + b'"')
    assert (await admin.post("/api/v1/events", content=gzip.compress(fits), headers=packed)).status_code == 202
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(bomb) < 200_000
    response = await admin.post("/api/v1/events", content=bomb, headers=packed)
    assert response.status_code == 413
    one_more = gzip.compress(fits + b" ")
    assert (await admin.post("/api/v1/events", content=one_more, headers=packed)).status_code == 413
    assert face.refused("too-large") == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"type": "x"}', "the body is not gzip, as its Content-Encoding says"),
        (gzip.compress(b'{"type": "x"}', mtime=0)[:-4], "the gzip of the body ends too early; was it cut off?"),
        (gzip.compress(b'{"type": "x"}', mtime=0) + b"more", "the gzip of the body goes on behind its end"),
    ],
)
async def test_what_is_not_gzip_is_refused(face: Face, admin: Any, body: bytes, says: str) -> None:
    response = await admin.post("/api/v1/events", content=body, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, response.json()["detail"]) == (400, says)


READERS = ("/api/v1/events", "/api/v1/workflows", "/api/v1/tokens", "/webhooks/any", "/webhooks/alertmanager")


async def test_deep_nesting_is_refused(face: Face, admin: Any) -> None:
    for path in READERS:
        for depth in (65, 100_000):
            response = await admin.post(path, content=b"[" * depth + b"]" * depth)
            assert response.status_code == 400, path
            assert "nested deeper than 64 levels" in response.json()["detail"]


async def test_what_is_not_json_is_refused(face: Face, admin: Any) -> None:
    wrong = [(path, body) for path in READERS for body in (b"{", b"\xff", b'{"a": NaN}', b"[1,]", b"{'a': 1}")]
    for path, body in wrong:
        response = await admin.post(path, content=body)
        assert response.status_code == 400, (path, body)
        assert response.headers["content-type"] == "application/problem+json"
        assert "not valid JSON" in response.json()["detail"]
    assert face.refused("invalid") == len(wrong)


async def test_the_routers_own_refusals_are_problems_too(face: Face, admin: Any) -> None:
    response = await admin.get("/api/v2/workflows")
    assert response.json()["detail"] == "there is nothing at /api/v2/workflows"
    assert (response.status_code, face.refused("not-found")) == (404, 1)
    response = await admin.put("/api/v1/workflows")
    assert response.status_code == 405
    assert response.json()["detail"] == "PUT is not possible here; possible: GET, POST"
    assert response.headers["allow"] == "GET, POST"
    assert (await admin.put("/api/v1/events")).headers["allow"] == "GET, POST"
    response = await admin.get("/api/v1/workflows/")
    assert response.status_code == 404


FAILURES: list[tuple[Exception, int, str]] = [
    (errors.InputError("bad"), 400, "invalid"),
    (errors.DefinitionError([Problem("a", "b")]), 400, "invalid"),
    (errors.ConditionError("x >", 4, "ends too early"), 400, "invalid"),
    (errors.Unauthenticated(), 401, "unauthenticated"),
    (errors.Forbidden(permission="a:b"), 403, "forbidden"),
    (errors.NotFound(kind="x", name="y"), 404, "not-found"),
    (errors.Conflict(), 409, "conflict"),
    (errors.DuplicateKey(key="k", where="with other inputs", execution_id="1"), 409, "duplicate-key"),
    (errors.TooManyRequests(retry_after=12.3), 429, "too-many-requests"),
    (errors.StoreUnavailable("the disk is full"), 503, "unavailable"),
    (errors.EngineStopped(), 503, "unavailable"),
    (errors.SchemaError(), 500, "internal"),
    (errors.ConfigurationError("secret-path"), 500, "internal"),
    (ValueError("secret-value"), 500, "internal"),
]


async def test_errors_become_problems(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    """Given a route that raises, then the caller is told what is theirs to know, and the rest is logged."""
    raised: list[Exception] = []

    async def fail(request: Request) -> Response:
        raise raised[-1]

    face.app.add_route("/fail", fail)
    client = await face.client()
    for error, status, reason in FAILURES:
        raised.append(error)
        caplog.clear()
        counted = face.refused(reason)

        response = await client.get("/fail", headers={"X-Request-Id": "here"})

        body = response.json()
        assert response.status_code == body["status"] == status
        assert body["type"] == f"urn:automation:problem:{reason}"
        assert body["instance"] == "/fail"
        assert face.refused(reason) == counted + 1
        assert ("retry-after" in response.headers) == (status in (429, 503))
        if status == 500:
            assert "secret" not in response.text
            assert "GET '/fail' failed (request here)" in caplog.text
        else:
            assert isinstance(error, AutomationError)
            assert caplog.text == ""
            assert body["detail"] == error.message
        if status == 429:
            assert response.headers["retry-after"] == "13"


async def test_a_caller_that_went_away_is_nothing_to_log(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    async def gone(request: Request) -> Response:
        raise ClientDisconnect

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    face.app.add_route("/gone", gone)
    scope = {"type": "http", "method": "GET", "path": "/gone", "headers": [], "query_string": b"", "root_path": ""}
    await face.app(scope, receive, send)
    assert (sent, caplog.text) == ([], "")


async def test_all_problems_come_at_once(face: Face, admin: Any) -> None:
    wrong = {"name": "1", "actions": [], "prioritty": "high", "timeout_seconds": -1}
    response = await admin.post("/api/v1/workflows", json=wrong)
    problems = {problem["path"]: problem["message"] for problem in response.json()["problems"]}
    assert problems.keys() == {"name", "actions", "prioritty", "timeout_seconds"}
    assert problems["prioritty"] == "unknown key; did you mean 'priority'?"
    assert response.json()["detail"] == "the workflow was refused, 4 problems"


async def test_wrong_parameters_are_named(face: Face, admin: Any) -> None:
    response = await admin.get("/api/v1/executions", params={"limit": "0", "status": "done"})
    assert {problem["path"] for problem in response.json()["problems"]} == {"query.limit", "query.status"}
    response = await admin.get("/api/v1/executions", params={"stauts": "failed"})
    assert response.status_code == 400
    assert response.json()["problems"][0] == {
        "path": "query.stauts",
        "message": "unknown parameter; known: cursor, id, limit, status, workflow",
    }


def test_every_kind_of_problem_has_one_status() -> None:
    reasons = [kind.reason for kind in KINDS]
    assert len(set(reasons)) == len(reasons)
    assert kind_of(KeyError("x")).reason == "internal"
