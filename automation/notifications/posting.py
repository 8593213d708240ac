"""Posting to a URL that is a secret: neither errors nor logs tell more of it than its server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from automation.errors import Refused, TryLater
from automation.infrastructure.probe import innermost, tls_context
from automation.notifications.channel import ChannelContext

if TYPE_CHECKING:
    import httpx2

_RETRYABLE = frozenset({408, 425, 429})
_READ_BYTES = 4096
_SHOWN = 200
_LEAST_SECRET = 4
_BETWEEN = re.compile(r"[/?&=;,#\s]")


@dataclass(frozen=True, slots=True)
class Post:
    """One POST of a JSON body. `service` is what errors call the other side."""

    service: str
    url: str
    body: bytes
    timeout_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Post({self.service!r}, {self.server!r})"

    @property
    def server(self) -> str:
        """The host of the URL, all of it that may be shown."""
        try:
            return urlsplit(self.url).hostname or "?"
        except ValueError:
            return "?"

    def scrubbed(self, text: str) -> str:
        """The text without what is secret in the URL and the headers: some servers send back what they were sent."""
        _, _, path = self.url.partition("://")
        _, _, path = path.partition("/")
        found = {self.url, path, *self.headers.values()}
        # A key may be sent back without what was around it: out of the query, or without `Bearer` before it.
        found |= {part for whole in (path, unquote(path), *self.headers.values()) for part in _BETWEEN.split(whole)}
        # The longest first: what is left of one, when a shorter one in it is gone, would be shown.
        for secret in sorted(found, key=len, reverse=True):
            if len(secret) >= _LEAST_SECRET:
                text = text.replace(secret, "***")
        return text


async def post(request: Post, context: ChannelContext) -> None:
    """Return once it was answered with 2xx. Raises TryLater or Refused, with what the other side said."""
    # Loaded late: channels are imported to be listed, and httpx2 takes 0.2 s.
    import httpx2

    from automation.actions.builtin.http import retry_after

    try:
        async with asyncio.timeout(request.timeout_seconds):
            status, said, retry = await _exchange(request, context)
    except (TimeoutError, httpx2.TimeoutException):
        waited = f"{request.timeout_seconds:g} s"
        raise TryLater(f"{request.service}: no answer from {request.server} within {waited}") from None
    except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
        reason = request.scrubbed(innermost(error))
        raise TryLater(f"{request.service}: the connection to {request.server} failed: {reason}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        # Their texts may hold the URL or a header.
        raise Refused(f"{request.service}: the request cannot be sent ({type(error).__name__})") from None
    if 200 <= status < 300:
        return
    text = f"{request.service} answered {status}"
    if shown := " ".join(request.scrubbed(said).split())[:_SHOWN]:
        text += f": {shown}"
    if status in _RETRYABLE or status >= 500:
        raise TryLater(text, after=retry_after(retry, context.clock.now()), status=status)
    raise Refused(text, status=status)


async def _exchange(request: Post, context: ChannelContext) -> tuple[int, str, str | None]:
    import httpx2

    from automation.infrastructure.guarded_http import GuardedTransport

    headers = {
        "Content-Type": "application/json",
        "User-Agent": "automation",
        "Accept-Encoding": "identity",
        **request.headers,
    }
    # By the transport and not by a client: that writes each URL to the log.
    transport = GuardedTransport(context.limits, await tls_context())
    try:
        timeout = httpx2.Timeout(request.timeout_seconds).as_dict()
        response = await transport.handle_async_request(
            httpx2.Request("POST", request.url, headers=headers, content=request.body, extensions={"timeout": timeout})
        )
        try:
            # What was taken over is not read on: a connection that breaks then must not have it sent again.
            said = b"" if response.is_success else await _beginning(response)
        finally:
            await response.aclose()
    finally:
        await transport.aclose()
    return response.status_code, said.decode(errors="replace"), response.headers.get("retry-after")


async def _beginning(response: httpx2.Response) -> bytes:
    said = bytearray()
    async for chunk in response.aiter_raw():
        said += chunk
        if len(said) >= _READ_BYTES:
            break
    return bytes(said[:_READ_BYTES])


def web_address(url: str) -> str:
    """`url`, if it is one that can be posted to; else raises a ValueError that does not show it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # They would not be sent from there.
        usable = usable and parts.username is None and parts.password is None
    except ValueError:
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("must be the address of a webhook, such as https://example.com/hook, without a user in it")
    return url
