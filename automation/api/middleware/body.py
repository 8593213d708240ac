"""Bounds on what a request sends: how much, and in which coding."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automation.api.problems import problem_response

LINGER_SECONDS = 2.0
LINGER_BYTES = 16_777_216
"""How long, and how much, is still taken in and thrown away after a refusal. Most callers send their whole body before
they read an answer; closed on at once, they would see a broken connection and not the reason."""


class BodyLimit:
    """Refuses a body that is too large before reading it where its size is declared, else as soon as it is too large.

    Where a body was not read to its end, the connection is closed after the answer: what is left of it has no bound.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        if declared in (b"", b"0") and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        body = _Body(receive, send, self._max_bytes, declared)
        error = self._refusal(headers, declared)
        if error is not None:
            await problem_response(scope, error)(scope, body.receive, body.send)
        else:
            await self._app(scope, body.receive, body.send)

    def _refusal(self, headers: dict[bytes, bytes], declared: bytes) -> HTTPException | None:
        if declared and (not declared.isdigit() or int(declared) > self._max_bytes):
            return too_large(self._max_bytes)
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding != b"identity":
            # A kilobyte of gzip can hold a gigabyte.
            detail = f"bodies in the coding {coding[:20].decode('latin-1')!r} are not read; send it uncompressed"
            return HTTPException(415, detail, headers={"Accept-Encoding": "identity"})
        return None


class _Body:
    """One request's body while it is read."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, declared: bytes) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._bounded = declared.isdigit() and int(declared) <= max_bytes
        self._seen = 0
        self._complete = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._complete:
            self._seen += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._seen > self._max_bytes:
                self._complete = self._bounded = False
                raise too_large(self._max_bytes)
        return message

    async def send(self, message: Message) -> None:
        if self._complete or self._bounded:
            await self._send(message)
        elif message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await self._send(message)
        else:
            last = not message.get("more_body", False)
            await self._send({**message, "more_body": True})
            if last:
                await self._throw_away()
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _throw_away(self) -> None:
        end = self._seen + LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self._seen < end:
                    message = await self._receive()
                    self._seen += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return


def too_large(max_bytes: int) -> HTTPException:
    """The refusal of a body of more bytes than that."""
    return HTTPException(413, f"the body is larger than the {max_bytes} bytes of api.max_body_bytes; send less at once")
