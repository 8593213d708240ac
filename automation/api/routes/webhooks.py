"""Webhooks: events from other systems in the forms in which those send them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from automation.api.access import admit, client_address, engine_of, from_this_machine
from automation.api.operations import Operation, RawRoute, gives, takes
from automation.api.publishing import Receipts, publish_all
from automation.engine import AutomationEngine
from automation.errors import (
    ConfigurationError,
    InputError,
    NotFound,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from automation.model.event import Event
from automation.security.signatures import Sent, Signatures, Verified
from automation.sources.alertmanager import Notified, events_from_alertmanager
from automation.sources.cloudevents import STRUCTURED, events_from_cloudevents
from automation.sources.grafana import events_from_grafana
from automation.sources.webhook import events_from_json

log = logging.getLogger("automation.webhooks")

router = APIRouter()

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,180}")
_PUBLISH = "events:publish"
_FORMATS = frozenset({"alertmanager", "cloudevents", "grafana", "test"})

Read = Callable[[AutomationEngine, Request, bytes, Verified], tuple[Sequence[Event], int]]
"""What the events of a request are, and how many alerts its sender left out; raises InputError."""


async def alertmanager(request: Request) -> Response:
    """Take in a notification of Alertmanager (version 4 of its webhook): an event an alert.

    Use it as the `url` of a `webhook_config`, with the token in `http_config.authorization.credentials`. A repeated
    notification starts nothing twice.
    """
    return await _take(request, "alertmanager", _alertmanager)


async def grafana(request: Request) -> Response:
    """Take in a notification of Grafana's alerting (contact point "webhook"): an event an alert."""
    return await _take(request, "grafana", _grafana)


async def cloudevents(request: Request) -> Response:
    """Take in CloudEvents 1.0: binary, structured or batched."""
    return await _take(request, "cloudevents", _cloudevents)


async def test(request: Request) -> Response:
    """Publish an event of type `webhook.test`, to see that webhooks arrive; the body, if any, becomes its data."""
    return await _take(request, "test", _any_json)


async def webhook(request: Request) -> Response:
    """Take in any JSON: an object becomes an event of type `webhook.<name>`, a list of objects one each.

    An id in `X-Event-Id`, `Idempotency-Key` or `X-GitHub-Delivery` makes a repetition a duplicate.
    """
    return await _take(request, request.path_params["name"], _any_json)


def _alertmanager(engine: AutomationEngine, request: Request, body: bytes, _: Verified) -> tuple[Sequence[Event], int]:
    return _told(engine, events_from_alertmanager(body, engine.config.api.max_body_depth))


def _grafana(engine: AutomationEngine, request: Request, body: bytes, _: Verified) -> tuple[Sequence[Event], int]:
    return _told(engine, events_from_grafana(body, engine.config.api.max_body_depth))


def _told(engine: AutomationEngine, notified: Notified) -> Notified:
    if notified.truncated:
        engine.metrics.events_not_started.labels("truncated").inc(notified.truncated)
    return notified


def _cloudevents(engine: AutomationEngine, request: Request, body: bytes, _: Verified) -> tuple[Sequence[Event], int]:
    return events_from_cloudevents(body, request.headers, engine.config.api.max_body_depth), 0


def _any_json(
    engine: AutomationEngine, request: Request, body: bytes, verified: Verified
) -> tuple[Sequence[Event], int]:
    name = request.path_params.get("name", "test")
    if not _NAME.fullmatch(name):
        raise InputError(f"name: {name[:50]!r} cannot name a webhook: a letter, then letters, digits and . _ -")
    body = body or (b"{}" if name == "test" else b"")
    signed_id = verified.key and f"signature:{verified.key}"
    return events_from_json(name, body, request.headers, engine.config.api.max_body_depth, signed_id), 0


async def _take(request: Request, name: str, read: Read) -> Response:
    """Verify, read, publish; what is refused is counted with its reason."""
    engine = engine_of(request)
    signatures: Signatures = request.app.state.signatures
    try:
        verified, body = await _verified(request, name, signatures)
        with signatures.once(verified):
            events, truncated = read(engine, request, body, verified)
            normalise = request.app.state.normalisers.get(name)
            events = events if normalise is None else normalise.all(events)
            return await publish_all(engine, events, truncated)
    except (InputError, Unauthenticated, TooManyRequests) as error:
        known = name if name in _FORMATS or name in engine.config.webhooks else "other"
        reason = error.details.get("reason", _REASONS[type(error)])
        engine.metrics.webhooks_refused.labels(known, reason).inc()
        if name in engine.config.webhooks and isinstance(error, Unauthenticated):
            detail = {"reason": reason, "address": client_address(request)}
            await engine.tokens.refusals.record(f"webhook:{name}", "verify", request.scope["path"], detail)
        raise


_REASONS: Mapping[type[Exception], str] = {
    InputError: "invalid",
    Unauthenticated: "no_token",
    TooManyRequests: "too_many",
}


async def _verified(request: Request, name: str, signatures: Signatures) -> tuple[Verified, bytes]:
    engine = engine_of(request)
    wanted = engine.config.webhooks.get(name)
    if wanted is None or not wanted.verifies:
        open_here = name == "test" and engine.config.api.open_metrics_on_loopback and from_this_machine(request)
        if not open_here:
            await admit(request, _PUBLISH)
        return Verified(), await request.body()
    headers: dict[str, list[str]] = {}
    for key, value in request.headers.items():
        headers.setdefault(key.lower(), []).append(value)
    body = await request.body()
    try:
        return signatures.verify(name, wanted, Sent(client_address(request), headers, body)), body
    except (NotFound, ConfigurationError) as error:
        # The sender can do nothing about it, and should try again.
        log.error("webhook %s cannot be verified: %s", name, error.message)
        raise StoreUnavailable("the secret of this webhook cannot be read; the log says why") from None


def _operation(access: str, body: dict[str, Any]) -> Operation:
    return Operation("POST", "webhooks", access, gives(Receipts, "Durable", 202), body)


_NOTIFICATION = {
    "version": "4",
    "status": "firing",
    "alerts": [{"status": "firing", "labels": {"alertname": "HighCpu"}, "startsAt": "2026-11-23T09:00:00Z"}],
}
_GRAFANA = {
    "receiver": "automation",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighCpu"},
            "startsAt": "2026-11-23T09:00:00Z",
            "values": {"B": 92.5},
        }
    ],
}
_CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.failed", "data": {"order": 7}}
_ANY: dict[str, Any] = {}
_OBJECT = {"type": "object"}

router.routes.extend(
    (
        RawRoute("/webhooks/alertmanager", alertmanager, _operation(_PUBLISH, takes(_OBJECT, _NOTIFICATION))),
        RawRoute("/webhooks/grafana", grafana, _operation(_PUBLISH, takes(_OBJECT, _GRAFANA))),
        RawRoute(
            "/webhooks/cloudevents", cloudevents, _operation(_PUBLISH, takes(_OBJECT, _CLOUD_EVENT, media=STRUCTURED))
        ),
        RawRoute(
            "/webhooks/test",
            test,
            _operation("anybody on this machine; else events:publish", takes(_ANY, required=False)),
        ),
        RawRoute("/webhooks/{name}", webhook, _operation(_PUBLISH, takes(_ANY, {"service": "shop", "ok": False}))),
    )
)
