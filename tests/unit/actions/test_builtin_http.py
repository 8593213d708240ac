from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from automation.actions.builtin.http import HttpLimits, Request, request, retry_after
from automation.actions.context import ActionContext, Resources
from automation.clock import VirtualClock
from automation.errors import DefinitionError, Refused, TryLater
from automation.plugins import read_settings


class Server(BaseHTTPRequestHandler):
    seen: ClassVar[list[dict[str, Any]]] = []

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length).decode()
        type(self).seen.append(
            {"method": self.command, "path": self.path, "headers": dict(self.headers), "content": content}
        )
        name, _, rest = self.path.partition("?")[0].strip("/").partition("/")
        getattr(self, f"on_{name}")(rest)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def on_json(self, _: str) -> None:
        self.answer(200, b'{"a": [1]}', Content_Type="application/json; charset=utf-8", Set_Cookie="session=1")

    def on_text(self, _: str) -> None:
        self.answer(200, "grün".encode("latin-1"), Content_Type="text/plain; charset=latin-1")

    def on_status(self, code: str) -> None:
        self.answer(int(code), b"because   of\nthis", Retry_After="7")

    def on_echo(self, _: str) -> None:
        self.answer(400, json.dumps(dict(self.headers)).encode())

    def on_big(self, size: str) -> None:
        self.answer(200, b"x" * int(size))

    def on_to(self, place: str) -> None:
        self.answer(302, Location=place.replace("|", "/"))

    def on_again(self, place: str) -> None:
        self.answer(307, Location=place.replace("|", "/"))

    def on_slow(self, _: str) -> None:
        time.sleep(0.5)
        self.close_connection = True

    def on_broken(self, _: str) -> None:
        self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def base(port: int) -> str:
    Server.seen.clear()
    return f"http://127.0.0.1:{port}"


async def call(url: str, *, private: bool = True, **settings: object):
    resources = Resources()
    resources.provide(HttpLimits, HttpLimits(private))
    context = ActionContext(execution_id="e1", action="call", resources=resources)
    return await request(Request(url=url, **settings), context)


async def test_json_is_read_and_cookies_are_left_out(base: str) -> None:
    result = await call(f"{base}/json")

    assert result["status"] == 200
    assert result["body"] == {"a": [1]}
    assert result["headers"]["content-type"] == "application/json; charset=utf-8"
    assert "set-cookie" not in result["headers"]


async def test_text_is_decoded_as_declared(base: str) -> None:
    assert (await call(f"{base}/text"))["body"] == "grün"


async def test_what_is_sent(base: str) -> None:
    await call(f"{base}/json", method="post", body={"x": 1}, headers={"X-Team": "sre"})
    await call(f"{base}/json", method="PUT", text="plain", headers={"Idempotency-Key": "mine"})
    await call(f"{base}/json?a=1")

    posted, put, got = Server.seen
    assert (posted["method"], posted["content"]) == ("POST", '{"x":1}')
    assert posted["headers"]["X-Team"] == "sre"
    assert posted["headers"]["Idempotency-Key"] == "e1:call"
    assert posted["headers"]["Content-Type"] == "application/json"
    assert (put["content"], put["headers"]["Idempotency-Key"]) == ("plain", "mine")
    assert "Idempotency-Key" not in got["headers"]
    assert got["path"] == "/json?a=1"


@pytest.mark.parametrize("status", [429, 500, 503, 408])
async def test_what_may_work_later(base: str, status: int) -> None:
    with pytest.raises(TryLater, match=rf"answered {status}: because of this") as caught:
        await call(f"{base}/status/{status}")
    assert caught.value.after == 7


@pytest.mark.parametrize("status", [400, 401, 404, 409])
async def test_what_will_not_work(base: str, status: int) -> None:
    with pytest.raises(Refused, match=f"answered {status}"):
        await call(f"{base}/status/{status}")


async def test_expected_statuses(base: str) -> None:
    assert (await call(f"{base}/status/404", expect_status=[404, 500]))["status"] == 404
    assert (await call(f"{base}/status/500", expect_status=[404, 500]))["status"] == 500
    with pytest.raises(Refused, match="answered 200"):
        await call(f"{base}/json", expect_status=[201])


async def test_nobody_there_may_work_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(TryLater, match="ConnectError: Connection refused"):
            await call(url)


async def test_no_answer_in_time_may_work_later(base: str) -> None:
    with pytest.raises(TryLater, match=r"no answer within 0\.1 s"):
        await call(f"{base}/slow", timeout_seconds=0.1)


async def test_an_answer_that_is_not_http_may_work_later(base: str) -> None:
    with pytest.raises(TryLater, match="not HTTP"):
        await call(f"{base}/broken")


async def test_a_large_answer_is_refused(base: str) -> None:
    assert len((await call(f"{base}/big/1000", max_response_bytes=1000))["body"]) == 1000
    with pytest.raises(Refused, match="larger than 999 bytes"):
        await call(f"{base}/big/1000", max_response_bytes=999)


async def test_redirects_are_followed_only_where_that_is_on(base: str) -> None:
    with pytest.raises(Refused, match="follow_redirects is off"):
        await call(f"{base}/to/|json")
    assert (await call(f"{base}/to/|json", follow_redirects=True))["body"] == {"a": [1]}
    with pytest.raises(Refused, match="more than 5 redirects"):
        await call(f"{base}/to/|to||to||", follow_redirects=True)


async def test_a_redirect_to_a_forbidden_address_is_refused(base: str) -> None:
    with pytest.raises(Refused, match="link-local"):
        await call(f"{base}/to/http:||169.254.169.254|latest", follow_redirects=True)
    with pytest.raises(Refused, match="only http"):
        await call(f"{base}/to/file:||localhost|etc|passwd", follow_redirects=True)


async def test_headers_do_not_follow_a_redirect_to_another_server(base: str, port: int) -> None:
    url = f"{base}/to/http:||localhost:{port}|json"

    await call(url, follow_redirects=True, method="POST", headers={"X-Api-Key": "s3cret", "Host": "front"})
    await call(f"{base}/to/|json", follow_redirects=True, headers={"X-Api-Key": "s3cret"})

    first, elsewhere, _, same = Server.seen
    assert first["headers"]["X-Api-Key"] == "s3cret"
    assert "X-Api-Key" not in elsewhere["headers"]
    assert "Idempotency-Key" not in elsewhere["headers"]
    assert "Authorization" not in elsewhere["headers"]
    assert elsewhere["headers"]["Host"] == f"localhost:{port}"
    assert same["headers"]["X-Api-Key"] == "s3cret"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/json", "http://localhost:{port}/json", "http://[::ffff:127.0.0.1]:{port}/json"]
)
async def test_private_addresses_can_be_switched_off(port: int, url: str) -> None:
    Server.seen.clear()
    with pytest.raises(Refused, match="private address"):
        await call(url.format(port=port), private=False)
    assert Server.seen == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "/path", "http://", "no url", "http://[::1"])
async def test_what_is_not_an_http_address_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        await call(url)


async def test_secrets_are_not_in_errors(base: str) -> None:
    secret = "t0psecret"
    address = base.replace("http://", f"http://user:{secret}@")
    url = f"{address}/echo/{secret}?key={secret}"
    for settings in (
        {"url": url, "headers": {"Authorization": f"Bearer {secret}", "X-Api-Key": secret}},
        {"url": f"http://user:{secret}@169.254.169.254/{secret}"},
        {"url": f"{address}/slow/{secret}", "timeout_seconds": 0.05},
    ):
        with pytest.raises((Refused, TryLater)) as caught:
            await call(**settings)
        assert secret not in caught.value.message.replace("[header]", "")
        assert secret not in repr(caught.value.details)

    for name, value in (("X-Key", f"{secret}\r\nX-Evil: 1"), ("X-Key", f"{secret}\N{SNOWMAN}"), (f"X {1}", secret)):
        with pytest.raises(DefinitionError, match="headers") as refused:
            read_settings(Request, {"url": base, "headers": {name: value}})
        assert secret not in str(refused.value)


def test_body_and_text_together_are_refused() -> None:
    with pytest.raises(DefinitionError, match="both body and text"):
        read_settings(Request, {"url": "http://x", "body": {}, "text": ""})


def test_retry_after() -> None:
    now = VirtualClock().now()
    assert retry_after("120", now) == 120
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT", now) == 0
    assert retry_after("soon", now) is None
    assert retry_after(None, now) is None


async def test_a_redirect_changes_the_method_as_browsers_do(base: str) -> None:
    await call(f"{base}/to/|json", follow_redirects=True, method="POST", body={"a": 1})
    await call(f"{base}/again/|json", follow_redirects=True, method="POST", body={"a": 1})

    _, after_302, _, after_307 = Server.seen
    assert (after_302["method"], after_302["content"]) == ("GET", "")
    assert "Content-Type" not in after_302["headers"]
    assert (after_307["method"], after_307["content"]) == ("POST", '{"a":1}')
    assert after_307["headers"]["Idempotency-Key"] == "e1:call"


async def test_a_user_in_the_url_is_sent_as_basic_authorization(base: str) -> None:
    url = base.replace("//", "//me:p%40ss@") + "/json"

    await call(url)
    await call(url, headers={"Authorization": "Bearer x"})

    assert [seen["headers"]["Authorization"] for seen in Server.seen] == ["Basic bWU6cEBzcw==", "Bearer x"]


async def test_urls_are_not_written_to_the_log(base: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await call(f"{base}/json/t0psecret?key=t0psecret")

    assert "t0psecret" not in caplog.text
