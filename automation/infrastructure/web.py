"""Asking HTTP servers: what the sources and collectors that poll have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from automation.errors import TryLater
from automation.infrastructure.outgoing import HttpLimits, basic_authorization, exchange, guarded_transport, innermost


class Web(BaseModel):
    """Which server, and how it is asked."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: str
    """The address, `http://` or `https://`; it may hold a user and a password."""
    token: SecretStr | None = None
    """A token to send as `Authorization: Bearer`."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """Further headers."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """The limit for one answer."""
    max_bytes: Annotated[int, Field(ge=1024)] = 10_485_760
    """A larger answer is refused."""

    @field_validator("url")
    @classmethod
    def _is_http(cls, text: str) -> str:
        if not text.startswith("${secret:"):
            parts = urlsplit(text)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http:// or https:// address")
        return text

    @property
    def place(self) -> str:
        """The URL without what may be secret in it: for messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def get(settings: Web, parameters: Mapping[str, str], path: str = "", accept: str = "application/json") -> bytes:
    """What is answered to a GET of the URL with `path` behind it. Raises TryLater, with what the other side said."""
    transport = await guarded_transport(HttpLimits())
    import httpx2

    headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "automation"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    headers |= {name: value.get_secret_value() for name, value in settings.headers.items()}
    content = bytearray()
    limit = settings.timeout_seconds
    try:
        url = httpx2.URL(settings.url.rstrip("/") + path if path else settings.url)
        url = url.copy_merge_params(parameters) if parameters else url
        request = httpx2.Request("GET", url, headers=headers | basic_authorization(url))
        async with asyncio.timeout(limit), transport, exchange(transport, request, limit) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > settings.max_bytes:
                    raise TryLater(f"{settings.place}: the answer is larger than {settings.max_bytes} bytes")
            if not response.is_success:
                said = " ".join(bytes(content[:300]).decode(errors="replace").split())
                raise TryLater(f"{settings.place} answered {response.status_code}: {said}")
    except (TimeoutError, httpx2.TimeoutException):
        raise TryLater(f"{settings.place}: no answer within {limit:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise TryLater(f"{settings.place}: {type(error).__name__}: {innermost(error)}") from None
    return bytes(content)
