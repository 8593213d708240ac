"""`http.request`: a call to another system."""

from __future__ import annotations

import asyncio
import email.utils
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from automation.actions.context import ActionContext
from automation.actions.target import host_of
from automation.errors import ActionError, Refused, TryLater
from automation.infrastructure.outgoing import HttpLimits as HttpLimits
from automation.infrastructure.outgoing import basic_authorization, exchange, guarded_transport, innermost
from automation.plugins import action

if TYPE_CHECKING:
    import httpx2

MAX_REDIRECTS = 5
_RETRYABLE = frozenset({408, 425, 429})
_NO_CONTENT = ("GET", "HEAD", "OPTIONS")


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class Request(BaseModel):
    """What to call, and which answer counts as success."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: str
    method: Annotated[Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"], BeforeValidator(_upper)] = (
        "GET"
    )
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    """Sent as JSON."""
    text: str | None = None
    """Sent as it is."""
    expect_status: list[Annotated[int, Field(ge=100, le=599)]] | None = None
    """The statuses that count as success; by default 200 to 299."""
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """The limit for the whole call, redirects included."""
    follow_redirects: bool = False
    max_response_bytes: Annotated[int, Field(ge=0, le=67_108_864)] = 1_048_576
    """A larger answer is refused."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if self.body is not None and self.text is not None:
            raise ValueError("has both body and text; only one can be sent")
        return self

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        # Here, where the message does not carry the value: it may be a secret.
        for name, value in headers.items():
            if not name or not all(part.isalnum() or part in "!#$%&'*+-.^_`|~" for part in name) or not name.isascii():
                raise ValueError(f"{name!r} is not the name of a header")
            if not value.isascii() or any(ord(part) < 32 and part != "\t" for part in value):
                raise ValueError(f"the value of header {name!r} has characters that HTTP does not allow")
        return headers


@action("http.request", idempotent=False, effect="standard", target=host_of)
async def request(params: Request, context: ActionContext) -> dict[str, Any]:
    """Call a URL and return its answer: `status`, `headers` and `body` (read where it is JSON, else text).

    All but GET, HEAD and OPTIONS carry an `Idempotency-Key` that is the same for each attempt. Raises TryLater when
    there is no connection or answer in time, and for 408, 425, 429 and 5xx (not before `Retry-After`); Refused for any
    other status than expected, for addresses that may not be called, and for too large an answer.
    """
    transport = await guarded_transport(context.resource(HttpLimits))
    import httpx2

    async with transport:
        try:
            first = httpx2.Request(params.method, params.url, headers=_headers(params, context), **_content(params))
            first.headers.update(basic_authorization(first.url) if "authorization" not in first.headers else {})
        except (httpx2.InvalidURL, ValueError, TypeError) as error:
            raise Refused(f"the request cannot be built ({type(error).__name__})") from None
        # Of the URL only the server: paths and queries carry secrets, as those of incoming webhooks do.
        call = f"{params.method} {first.url.scheme}://{first.url.netloc.decode('ascii')}"
        try:
            async with asyncio.timeout(params.timeout_seconds):
                return await _answer(transport, first, params, context, call)
        except (TimeoutError, httpx2.TimeoutException):
            raise TryLater(f"{call}: no answer within {params.timeout_seconds:g} s") from None
        except httpx2.NetworkError as error:
            raise TryLater(f"{call}: {type(error).__name__}: {innermost(error)}") from None
        except httpx2.RemoteProtocolError as error:
            raise TryLater(f"{call}: the answer was broken off or is not HTTP: {error}") from None
        except httpx2.HTTPError as error:
            # Its text may hold the value of a header.
            raise Refused(f"{call}: the request cannot be sent ({type(error).__name__})") from None


def _headers(params: Request, context: ActionContext) -> dict[str, str]:
    given = {name.lower() for name in params.headers}
    headers = dict(params.headers)
    # What arrives is limited in size before it is unpacked, so it had better not be packed.
    if "accept-encoding" not in given:
        headers["Accept-Encoding"] = "identity"
    if "user-agent" not in given:
        headers["User-Agent"] = "automation"
    if "accept" not in given:
        headers["Accept"] = "*/*"
    if params.method not in _NO_CONTENT and "idempotency-key" not in given:
        headers["Idempotency-Key"] = context.idempotency_key
    return headers


def _content(params: Request) -> dict[str, Any]:
    if params.text is not None:
        return {"content": params.text.encode()}
    return {"json": params.body} if params.body is not None else {}


async def _answer(
    transport: httpx2.AsyncBaseTransport, request: httpx2.Request, params: Request, context: ActionContext, call: str
) -> dict[str, Any]:
    for _ in range(MAX_REDIRECTS + 1):
        async with exchange(transport, request, params.timeout_seconds) as response:
            if not (params.follow_redirects and response.has_redirect_location):
                return await _result(response, params, context, call)
            request = _redirected(request, response, params, call)
    raise Refused(f"{call}: more than {MAX_REDIRECTS} redirects")


def _redirected(request: httpx2.Request, response: httpx2.Response, params: Request, call: str) -> httpx2.Request:
    """The request that a redirect asks for, by the rules of RFC 9110 §15.4 as browsers keep them."""
    import httpx2

    try:
        url = request.url.join(response.headers["location"])
    except (httpx2.InvalidURL, ValueError):
        raise Refused(f"{call}: answered with a redirect to what is not a URL") from None
    headers = request.headers.copy()
    headers.pop("host", None)
    if (url.scheme, url.netloc) != (request.url.scheme, request.url.netloc):
        # They were meant for the other server: an API key must not follow a redirect.
        for name in {*map(str.lower, params.headers), "authorization", "idempotency-key"}:
            headers.pop(name, None)
    status = response.status_code
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        for name in ("content-length", "content-type", "idempotency-key"):
            headers.pop(name, None)
        return httpx2.Request("GET", url, headers=headers)
    return httpx2.Request(request.method, url, headers=headers, content=request.content or None)


async def _result(response: httpx2.Response, params: Request, context: ActionContext, call: str) -> dict[str, Any]:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > params.max_response_bytes:
            raise Refused(f"{call}: the answer is larger than {params.max_response_bytes} bytes")
    status = response.status_code
    text = _text(bytes(content), response.charset_encoding)
    if status in params.expect_status if params.expect_status is not None else response.is_success:
        # Cookies are credentials, and results are stored and shown.
        headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
        return {"status": status, "headers": headers, "body": _body(response, text)}
    raise _unexpected(response, params, context, f"{call} answered {status}{_excerpt(text, params)}")


def _text(content: bytes, encoding: str | None) -> str:
    try:
        return content.decode(encoding or "utf-8", errors="replace")
    except LookupError:
        return content.decode("utf-8", errors="replace")


def _body(response: httpx2.Response, text: str) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _unexpected(response: httpx2.Response, params: Request, context: ActionContext, text: str) -> ActionError:
    status = response.status_code
    if status in _RETRYABLE or status >= 500:
        return TryLater(text, after=retry_after(response.headers.get("retry-after"), context.now()), status=status)
    if response.has_redirect_location and not params.follow_redirects:
        text += "; it is a redirect, and follow_redirects is off"
    return Refused(text, status=status)


def _excerpt(text: str, params: Request) -> str:
    # Some servers send back what they were sent.
    for value in params.headers.values():
        for part in (value, value.rpartition(" ")[2]):
            if len(part) >= 4:
                text = text.replace(part, "[header]")
    text = " ".join(text[:2000].split())[:300]
    return f": {text}" if text else ""


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for, given as a number or a date; None where it says nothing."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment - now)
