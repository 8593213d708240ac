from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.actions.builtin.notification import Notifier, NotifySlack, NotifyWebhook, notify_slack, webhook
from automation.actions.context import ActionContext, Resources
from automation.model.notification import Message


class Recording:
    def __init__(self) -> None:
        self.delivered: list[tuple[str, dict[str, Any], Message, str]] = []

    async def deliver(self, channel: str, settings: Mapping[str, Any], message: Message, *, key: str) -> None:
        self.delivered.append((channel, dict(settings), message, key))


def given() -> tuple[Recording, ActionContext]:
    notifier, resources = Recording(), Resources()
    resources.provide(Notifier, notifier)
    return notifier, ActionContext(execution_id="e1", action="tell", resources=resources)


async def test_slack_is_told_by_its_channel() -> None:
    notifier, context = given()

    result = await notify_slack(NotifySlack(channel="#ops", message="scaled", fields={"to": "3"}), context)

    assert result == {"channel": "#ops"}
    assert notifier.delivered == [("slack", {}, Message(text="scaled", fields={"to": "3"}, to="#ops"), "e1:tell")]


async def test_a_webhook_is_given_only_what_was_given() -> None:
    notifier, context = given()

    await webhook(NotifyWebhook(url="http://x/", message="hello"), context)
    await webhook(NotifyWebhook(url="http://x/", body={"a": 1}, headers={"X-Team": "sre"}), context)

    assert [(channel, settings) for channel, settings, _, _ in notifier.delivered] == [
        ("webhook", {"url": "http://x/"}),
        ("webhook", {"url": "http://x/", "headers": {"X-Team": "sre"}, "body": {"a": 1}}),
    ]
    assert notifier.delivered[0][2].text == "hello"
