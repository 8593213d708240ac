"""`slack`: a Slack channel, by an incoming webhook (Mattermost and Rocket.Chat take the same)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from automation.model.notification import Message
from automation.notifications.channel import ChannelContext
from automation.notifications.posting import Post, post, web_address
from automation.plugins import channel

COLOURS = {
    "info": "#3b82c4",
    "low": "#5a9e6f",
    "medium": "#d9a514",
    "warning": "#d9a514",
    "high": "#e07b1a",
    "critical": "#c8242f",
}
_OTHER_COLOUR = "#808080"
_MAX_TEXT = 30_000
_MAX_FIELD = 2000
_MAX_FIELDS = 50


class SlackSettings(BaseModel):
    """Which webhook to use, and how."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    webhook_url: SecretStr
    """The address of the incoming webhook. It is a secret."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """The limit for one delivery."""
    allow_markup: bool = False
    """Whether links and mentions in `<...>` work; without it they are shown as they are written, so that what
    happens to be in an event cannot call everybody."""

    @field_validator("webhook_url")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        web_address(value.get_secret_value())
        return value


_HERE = ChannelContext()


@channel("slack")
async def slack(settings: SlackSettings, message: Message, context: ChannelContext = _HERE) -> None:
    """Post a message to a Slack channel, with its severity as colour and its fields as a table."""
    body = msgspec.json.encode(payload(message, settings.allow_markup))
    await post(Post("Slack", settings.webhook_url.get_secret_value(), body, settings.timeout_seconds), context)


def payload(message: Message, allow_markup: bool) -> dict[str, Any]:
    """What is posted for a message."""

    def plain(text: str, limit: int) -> str:
        text = text if len(text) <= limit else text[: limit - 1] + "…"
        return text if allow_markup else text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    text = plain(message.text, _MAX_TEXT)
    content: dict[str, Any] = {"text": f"*{plain(message.title, _MAX_FIELD)}*\n{text}" if message.title else text}
    if message.to:
        content["channel"] = message.to
    if message.fields or message.severity != "info":
        fields = [
            {"title": plain(name, _MAX_FIELD), "value": plain(value, _MAX_FIELD), "short": len(value) <= 40}
            for name, value in list(message.fields.items())[:_MAX_FIELDS]
        ]
        content["attachments"] = [
            {
                "color": COLOURS.get(message.severity, _OTHER_COLOUR),
                "fallback": plain(message.severity, _MAX_FIELD),
                "footer": plain(message.severity, _MAX_FIELD),
                "fields": fields,
            }
        ]
    return content
