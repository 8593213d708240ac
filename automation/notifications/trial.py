"""Trying the Slack channel out, without an engine."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from automation.clock import RealClock
from automation.config import AutomationConfig
from automation.errors import AutomationError, ConfigurationError
from automation.infrastructure.outgoing import HttpLimits
from automation.model.notification import Message
from automation.notifications.channel import ChannelContext
from automation.notifications.notifier import channel_settings, find_channel

_TEXT = "This is a test of automation's Slack notifications. They work."


def try_slack(webhook_url: str | None, channel: str) -> tuple[bool, str]:
    """Whether a test message was sent, and a line that says so or why not."""
    try:
        config = AutomationConfig.load()
        given = {} if webhook_url is None else {"webhook_url": webhook_url}
        plugin = find_channel("slack")
        settings = channel_settings(plugin, config.notifications, given)
        context = ChannelContext(RealClock(), HttpLimits(config.http.allow_private_addresses))
        message = Message(text=_TEXT, to=channel)
        # In a thread of its own, because the caller may be in an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(plugin.call(settings, message, context))).result()
    except ConfigurationError as error:
        return False, f"Slack was not tried: {_line(error.message)}"
    except AutomationError as error:
        return False, f"Slack: the test message was not sent: {_line(error.message)}"
    return True, f"Slack: a test message was sent to {channel}"


def _line(text: str) -> str:
    return " ".join(text.split())
