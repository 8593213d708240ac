"""Who is told what: channels, and the notifier that delivers by them."""

from __future__ import annotations


def test_slack(webhook_url: str | None = None, channel: str = "#ops-alerts") -> bool:  # noqa: PT028 - no test
    """Send a test message to `channel`, by `webhook_url` or the configured one; say in one line how it went.

    Returns whether it was sent. For the command line:
    `python -c "from automation.notifications import test_slack; test_slack()"`.
    """
    from automation.notifications.trial import try_slack

    sent, line = try_slack(webhook_url, channel)
    print(line)  # noqa: T201 - it is for people at a terminal
    return sent


# The specification's name for it; it is not for pytest to collect.
test_slack.__test__ = False  # type: ignore[attr-defined]
