"""`kubernetes`: watches the events of a Kubernetes cluster."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from automation.errors import InputError, TryLater
from automation.infrastructure.outgoing import innermost
from automation.model.event import Event
from automation.plugins import source
from automation.sources import payload
from automation.sources.record import batch
from automation.sources.source import Delivery, Item, Rejected, SourceContext

if TYPE_CHECKING:
    import httpx2

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MAX_DEPTH = 64
_MAX_LINE = 4_194_304
_GONE = 410
_PAGE = 500
_SHORTEST_WATCH = 1.0
_SEVERITIES = {"Warning": "warning", "Normal": "info"}


class Kubernetes(BaseModel):
    """Which cluster, and which of its events."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: str = "https://kubernetes.default.svc"
    """The API server; by default that of the cluster that the engine runs in."""
    token: SecretStr | None = None
    """The token; by default that of the pod's service account, read anew with each connection."""
    ca_file: Path | None = None
    """The certificates that the API server's is checked against; by default those of the pod."""
    namespace: str | None = None
    """The namespace; by default all of them."""
    field_selector: str = "type=Warning"
    """Which events, as Kubernetes selects them: `reason=OOMKilling`; empty for all."""
    from_start: bool = False
    """Whether to take, at the very first start, the events that the cluster holds already."""
    watch_seconds: Annotated[int, Field(ge=5, le=3600)] = 300
    """After how long a watch is begun anew."""


@source("kubernetes")
async def kubernetes(settings: Kubernetes, context: SourceContext) -> AsyncIterator[Item]:
    """Watch the events of a cluster, from where the last watch ended."""
    version = context.position if isinstance(context.position, str) else None
    fresh = version is None and not settings.from_start
    async with _client(settings) as client:
        while True:
            if version is None:
                listed, version = await _list(client, settings)
                items = [] if fresh else [_event_or_rejected(item, settings, context) for item in listed]
                fresh = False
                for one in batch(items, position=version):
                    yield one
            began = context.clock.monotonic()
            async for kind, item in _watch(client, settings, version, context.listening):
                if kind == "ERROR":
                    if item.get("code") != _GONE:
                        raise TryLater(f"{settings.url}: {item.get('message', 'the watch failed')}")
                    # What happened since is listed: the cluster keeps events for an hour.
                    version = None
                    break
                version = _version(item)
                told = None if kind in ("BOOKMARK", "DELETED") else _event_or_rejected(item, settings, context)
                if isinstance(told, Rejected):
                    yield replace(told, position=version)
                else:
                    yield Delivery((told,) if told else (), version)
            # A server, or a proxy before it, that ends each watch at once must not be asked without a pause.
            await context.clock.sleep(max(0.0, _SHORTEST_WATCH - (context.clock.monotonic() - began)))


def _client(settings: Kubernetes) -> httpx2.AsyncClient:
    import httpx2

    ca = settings.ca_file or (_POD / "ca.crt" if (_POD / "ca.crt").exists() else None)
    verify = ssl.create_default_context(cafile=str(ca) if ca else None) if settings.url.startswith("https:") else True
    if settings.token is not None:
        token = settings.token.get_secret_value()
    else:
        file = _POD / "token"
        token = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    headers = {"Accept": "application/json", "User-Agent": "automation"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = httpx2.Timeout(10.0, read=settings.watch_seconds + 30.0)
    return httpx2.AsyncClient(base_url=settings.url, headers=headers, verify=verify, timeout=timeout)


def _path(settings: Kubernetes) -> str:
    return f"/api/v1/namespaces/{settings.namespace}/events" if settings.namespace else "/api/v1/events"


async def _list(client: httpx2.AsyncClient, settings: Kubernetes) -> tuple[list[Any], str]:
    """All events that the cluster holds, and the version behind them."""
    import httpx2

    found: list[Any] = []
    parameters = {"limit": str(_PAGE), "fieldSelector": settings.field_selector}
    while True:
        try:
            answer = await client.get(_path(settings), params=parameters)
        except httpx2.HTTPError as error:
            raise TryLater(f"{settings.url}: {innermost(error)}") from None
        _check(settings, answer.status_code, answer.content)
        page = payload.check(payload.parse_json(answer.content, max_depth=_MAX_DEPTH), dict, "")
        found += payload.require(page, "items", list)
        about = payload.require(page, "metadata", dict)
        following = payload.optional(about, "continue", "", "metadata")
        if not following:
            return found, payload.require(about, "resourceVersion", str, "metadata")
        parameters["continue"] = following


async def _watch(
    client: httpx2.AsyncClient, settings: Kubernetes, version: str, listening: Callable[[], object]
) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
    """What happens after a version, each with its kind, until the server ends the watch."""
    import httpx2

    parameters = {
        "watch": "1",
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(settings.watch_seconds),
        "fieldSelector": settings.field_selector,
    }
    try:
        async with client.stream("GET", _path(settings), params=parameters) as answer:
            if answer.status_code == _GONE:
                yield "ERROR", {"code": _GONE}
                return
            if answer.status_code != 200:
                _check(settings, answer.status_code, await answer.aread())
            listening()
            rest = b""
            async for chunk in answer.aiter_bytes():
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _MAX_LINE:
                    raise InputError(f"{settings.url}: an event of the watch is larger than {_MAX_LINE} bytes")
                for line in lines:
                    if line.strip():
                        told = payload.check(payload.parse_json(line, max_depth=_MAX_DEPTH), dict, "")
                        yield payload.require(told, "type", str), payload.require(told, "object", dict)
    except httpx2.HTTPError as error:
        raise TryLater(f"{settings.url}: the watch broke: {innermost(error)}") from None


def _check(settings: Kubernetes, status: int, content: bytes) -> None:
    if status != 200:
        said = " ".join(content[:300].decode(errors="replace").split())
        raise TryLater(f"{settings.url} answered {status}: {said}")


def _version(item: Mapping[str, Any]) -> str:
    about = payload.require(item, "metadata", dict)
    return payload.require(about, "resourceVersion", str, "metadata")


def _event_or_rejected(item: Any, settings: Kubernetes, context: SourceContext) -> Event | Rejected:
    try:
        return _event(item, context.name)
    except InputError as error:
        return Rejected(json.dumps(item), f"{settings.url}: {error.message}")


def _event(item: Any, name: str) -> Event:
    found: dict[str, Any] = payload.check(item, dict, "")
    about = payload.require(found, "metadata", dict)
    target: dict[str, Any] = payload.optional(found, "involvedObject", {})
    reporter: dict[str, Any] = payload.optional(found, "source", {})
    kind = payload.optional(found, "type", "Normal")
    reason = payload.optional(found, "reason", "")
    # `eventTime` is what newer reporters set, `lastTimestamp` what older ones do.
    when = next((found[key] for key in ("lastTimestamp", "eventTime", "firstTimestamp") if found.get(key)), None)
    when = when or payload.require(about, "creationTimestamp", str, "metadata")
    labels = {
        "namespace": str(target.get("namespace") or about.get("namespace") or ""),
        "kind": str(target.get("kind") or ""),
        "name": str(target.get("name") or ""),
        "reason": reason,
    }
    return Event(
        type="kubernetes.event",
        source=f"kubernetes:{name}",
        subject=labels["name"],
        severity=_SEVERITIES.get(kind),
        labels=labels,
        # The same event that happens once more has a new version.
        id=f"{payload.require(about, 'uid', str, 'metadata')}:{_version(found)}",
        time=payload.moment(when, "lastTimestamp"),
        data={
            **labels,
            "event_type": kind,
            "message": payload.optional(found, "message", ""),
            "count": payload.optional(found, "count", 1),
            "component": str(reporter.get("component") or found.get("reportingComponent") or ""),
        },
    )
