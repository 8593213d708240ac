"""Webhooks: events from other systems in the forms in which those send them."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from automation.api.access import admit, engine_of, from_this_machine
from automation.api.operations import Operation, RawRoute, gives, takes
from automation.api.publishing import Receipts, publish_all
from automation.errors import InputError
from automation.sources.alertmanager import events_from_alertmanager
from automation.sources.cloudevents import STRUCTURED, events_from_cloudevents
from automation.sources.webhook import events_from_json

router = APIRouter()

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,180}")
_PUBLISH = "events:publish"


async def alertmanager(request: Request) -> Response:
    """Take in a notification of Alertmanager (version 4 of its webhook): an event an alert.

    Use it as the `url` of a `webhook_config`, with the token in `http_config.authorization.credentials`. A repeated
    notification starts nothing twice.
    """
    await admit(request, _PUBLISH)
    engine = engine_of(request)
    notified = events_from_alertmanager(await request.body(), engine.config.api.max_body_depth)
    if notified.truncated:
        engine.metrics.events_not_started.labels("truncated").inc(notified.truncated)
    return await publish_all(engine, notified.events, notified.truncated)


async def cloudevents(request: Request) -> Response:
    """Take in CloudEvents 1.0: binary, structured or batched."""
    await admit(request, _PUBLISH)
    engine = engine_of(request)
    depth = engine.config.api.max_body_depth
    return await publish_all(engine, events_from_cloudevents(await request.body(), request.headers, depth))


async def test(request: Request) -> Response:
    """Publish an event of type `webhook.test`, to see that webhooks arrive; the body, if any, becomes its data."""
    engine = engine_of(request)
    if not (engine.config.api.open_metrics_on_loopback and from_this_machine(request)):
        await admit(request, _PUBLISH)
    return await _any_json(request, "test", await request.body() or b"{}")


async def webhook(request: Request) -> Response:
    """Take in any JSON: an object becomes an event of type `webhook.<name>`, a list of objects one each.

    An id in `X-Event-Id`, `Idempotency-Key` or `X-GitHub-Delivery` makes a repetition a duplicate.
    """
    await admit(request, _PUBLISH)
    name = request.path_params["name"]
    if not _NAME.fullmatch(name):
        raise InputError(f"name: {name[:50]!r} cannot name a webhook: a letter, then letters, digits and . _ -")
    return await _any_json(request, name, await request.body())


async def _any_json(request: Request, name: str, body: bytes) -> Response:
    engine = engine_of(request)
    events = events_from_json(name, body, request.headers, engine.config.api.max_body_depth)
    return await publish_all(engine, events)


def _operation(access: str, body: dict[str, Any]) -> Operation:
    return Operation("POST", "webhooks", access, gives(Receipts, "Durable", 202), body)


_NOTIFICATION = {
    "version": "4",
    "status": "firing",
    "alerts": [{"status": "firing", "labels": {"alertname": "HighCpu"}, "startsAt": "2026-11-23T09:00:00Z"}],
}
_CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.failed", "data": {"order": 7}}
_ANY: dict[str, Any] = {}
_OBJECT = {"type": "object"}

router.routes.extend(
    (
        RawRoute("/webhooks/alertmanager", alertmanager, _operation(_PUBLISH, takes(_OBJECT, _NOTIFICATION))),
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
