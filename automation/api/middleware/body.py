"""Bounds on what a request sends: how much, and in which coding."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

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

    def __init__(self, app: ASGIApp, max_bytes: int, codings: Mapping[str, bytes] | None = None) -> None:
        """`codings` names paths that undo another coding themselves, within the same limit."""
        self._app = app
        self._max_bytes = max_bytes
        self._codings = codings or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        if declared in (b"", b"0") and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        body = _Body(receive, send, self._max_bytes, declared)
        if coding == b"gzip":
            body.unpack()
        error = self._refusal(scope["path"], coding, declared)
        if error is not None:
            await problem_response(scope, error)(scope, body.receive, body.send)
        else:
            await self._app(scope, body.receive, body.send)

    def _refusal(self, path: str, coding: bytes, declared: bytes) -> HTTPException | None:
        if declared and (not declared.isdigit() or int(declared) > self._max_bytes):
            return too_large(self._max_bytes)
        if coding not in (b"identity", b"gzip") and coding != self._codings.get(path):
            shown = coding[:20].decode("latin-1")
            detail = f"bodies in the coding {shown!r} are not read; send it uncompressed, or in gzip"
            return HTTPException(415, detail, headers={"Accept-Encoding": "gzip, identity"})
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
        self._unpacking: _Unpacking | None = None

    def unpack(self) -> None:
        """Undo gzip. A kilobyte of it can hold a gigabyte: the limit holds for what comes out."""
        self._unpacking = _Unpacking(self._max_bytes)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._complete:
            self._seen += len(message.get("body", b""))
            last = not message.get("more_body", False)
            if self._seen > self._max_bytes:
                self._bounded = False
                raise too_large(self._max_bytes)
            if self._unpacking is not None:
                message = {**message, "body": self._unpacking.feed(message.get("body", b""), last)}
            self._complete = last
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


class _Unpacking:
    """One gzip stream while it is undone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._stream = zlib.decompressobj(wbits=31)

    def feed(self, packed: bytes, last: bool) -> bytes:
        """What more comes out; raises HTTPException for what is too much, or is not gzip to its end."""
        try:
            found = self._stream.decompress(packed, self._left + 1)
        except zlib.error:
            raise HTTPException(400, "the body is not gzip, as its Content-Encoding says") from None
        self._left -= len(found)
        if self._left < 0:
            raise too_large(self._max_bytes)
        if self._stream.unused_data or (last and not self._stream.eof):
            what = "goes on behind its end" if self._stream.unused_data else "ends too early; was it cut off?"
            raise HTTPException(400, f"the gzip of the body {what}")
        return found


def too_large(max_bytes: int) -> HTTPException:
    """The refusal of a body of more bytes than that."""
    return HTTPException(413, f"the body is larger than the {max_bytes} bytes of api.max_body_bytes; send less at once")
