"""`webhook`: any system that takes JSON by POST, with a signature if a secret is shared."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from automation.clock import iso
from automation.model.notification import Message
from automation.notifications.channel import ChannelContext
from automation.notifications.posting import Post, post, web_address
from automation.plugins import channel

SIGNATURE = "X-Automation-Signature"


class WebhookSettings(BaseModel):
    """Where to post, and how."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    url: SecretStr
    """The address. It counts as a secret, as those of incoming webhooks are."""
    secret: SecretStr | None = None
    """What is shared with the receiver: with it, each post is signed."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Further headers, such as `Authorization`."""
    body: dict[str, Any] | None = None
    """The JSON to post; by default the message."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """The limit for one delivery."""

    @field_validator("url")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        web_address(value.get_secret_value())
        return value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{name[:60]!r} is not the name of a header")
            text = value.get_secret_value()
            if not text.isascii() or not (text.isprintable() or not text):
                raise ValueError(f"the value of header {name!r} has characters that HTTP does not allow")
        return headers


_HERE = ChannelContext()


@channel("webhook")
async def webhook(settings: WebhookSettings, message: Message, context: ChannelContext = _HERE) -> None:
    """Post a message as JSON, signed with HMAC-SHA256 if there is a secret."""
    now = context.clock.now()
    content = settings.body if settings.body is not None else payload(message, now)
    body = msgspec.json.encode(content)
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.secret is not None:
        headers[SIGNATURE] = signature(settings.secret.get_secret_value(), body, int(now))
    await post(
        Post("the webhook", settings.url.get_secret_value(), body, settings.timeout_seconds, headers),
        context,
    )


def payload(message: Message, now: float) -> dict[str, Any]:
    """What is posted for a message."""
    return {
        "title": message.title,
        "text": message.text,
        "severity": message.severity,
        "fields": dict(message.fields),
        "to": message.to,
        "sent_at": iso(now),
    }


def signature(secret: str, body: bytes, moment: int) -> str:
    """The value of the signature's header: `t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>", in hex>`."""
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"
