"""HTTP that reaches only permitted addresses, whatever a name resolves to and wherever a redirect leads."""

from __future__ import annotations

import ssl

import httpx2

from automation.errors import Refused
from automation.infrastructure.outgoing import HttpLimits, Resolve, permitted


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Resolves the host, checks the addresses, and connects to just the address that was checked.

    Each request of a chain of redirects comes through here. Raises Refused for an address that may not be called,
    TryLater for a name that does not resolve, else what httpx2 raises.
    """

    def __init__(self, limits: HttpLimits, tls: ssl.SSLContext, resolve: Resolve | None = None) -> None:
        self._limits = limits
        self._resolve = resolve
        # Connections are pooled by address here: a kept one would answer for another name at the same address, with a
        # certificate that was verified for the first.
        self._inner = httpx2.AsyncHTTPTransport(
            verify=tls, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise Refused(f"only http:// and https:// addresses can be called, not {url.scheme}://")
        if not url.host:
            raise Refused("the URL names no host")
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await permitted(host, port, self._limits, self._resolve)
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address, host))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, addresses[-1], host))

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def _pinned(request: httpx2.Request, address: str, host: str) -> httpx2.Request:
    # The Host header is that of the name already; the certificate is verified for the name as well.
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
