"""`notification.*`: telling people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from automation.actions.context import ActionContext
from automation.actions.target import host_of
from automation.model.notification import Message
from automation.plugins import action


class Notifier(Protocol):
    """Delivers messages by channels."""

    async def deliver(self, channel: str, settings: Mapping[str, Any], message: Message, *, key: str) -> object:
        """Have `message` delivered by `channel`, with `settings` over its configured ones.

        What was delivered under the same `key` before is not delivered again. Raises TryLater or Refused.
        """
        ...


class NotifySlack(BaseModel):
    """What to tell whom by Slack."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    channel: str
    """Such as `#ops-alerts`."""
    message: str
    title: str = ""
    severity: str = "info"
    fields: dict[str, str] = Field(default_factory=dict)
    """Facts shown beside the message, by their names."""


# Idempotent: the Notifier recognises the key. In the worst case (killed between the delivery and its record) a message
# comes twice, which people forgive; that a remediation fails because of it, they do not. Not guarded: also while all
# changes are stopped, people are told.
@action("notification.notify_slack", idempotent=True, effect="standard", target="channel", guarded=False)
async def notify_slack(params: NotifySlack, context: ActionContext) -> dict[str, Any]:
    """Post a message to a Slack channel. Returns the `channel`. Raises TryLater or Refused."""
    message = Message(
        text=params.message, title=params.title, severity=params.severity, fields=params.fields, to=params.channel
    )
    await context.resource(Notifier).deliver("slack", {}, message, key=context.idempotency_key)
    return {"channel": params.channel}


class NotifyWebhook(BaseModel):
    """What to post where."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: str
    message: str = ""
    title: str = ""
    severity: str = "info"
    fields: dict[str, str] = Field(default_factory=dict)
    """Facts sent beside the message, by their names."""
    body: dict[str, Any] | None = None
    """The JSON to post; by default one with the message, title, severity and fields."""
    headers: dict[str, str] = Field(default_factory=dict)


@action("notification.webhook", idempotent=True, effect="standard", target=host_of, guarded=False)
async def webhook(params: NotifyWebhook, context: ActionContext) -> dict[str, Any]:
    """Post a message as JSON to a URL, by the `webhook` channel. Returns nothing. Raises TryLater or Refused."""
    settings: dict[str, Any] = {"url": params.url}
    if params.headers:
        settings["headers"] = params.headers
    if params.body is not None:
        settings["body"] = params.body
    message = Message(text=params.message, title=params.title, severity=params.severity, fields=params.fields)
    await context.resource(Notifier).deliver("webhook", settings, message, key=context.idempotency_key)
    return {}
