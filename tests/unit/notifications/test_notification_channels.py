"""The channels against a real server on the loopback interface."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
from typing import Any

import pytest

from automation.clock import VirtualClock, iso
from automation.errors import ActionError, DefinitionError, Refused, TryLater
from automation.infrastructure.outgoing import HttpLimits
from automation.model.notification import Message
from automation.notifications.channel import ChannelContext
from automation.notifications.channels.slack import COLOURS, SlackSettings, slack
from automation.notifications.channels.webhook import WebhookSettings, webhook
from automation.notifications.posting import Post
from automation.plugins import read_settings, registry

from .conftest import SECRET_PATH, Receiver

MESSAGE = Message(
    text="latency is 900 ms", title="HighLatency", severity="critical", fields={"service": "web"}, to="#ops-alerts"
)


def slack_settings(url: str, **more: Any) -> SlackSettings:
    read = read_settings(SlackSettings, {"webhook_url": url, **more})
    assert isinstance(read, SlackSettings)
    return read


def webhook_settings(url: str, **more: Any) -> WebhookSettings:
    read = read_settings(WebhookSettings, {"url": url, **more})
    assert isinstance(read, WebhookSettings)
    return read


async def test_slack_gets_text_colour_and_fields(receiver: Receiver) -> None:
    await slack(slack_settings(receiver.url), MESSAGE)
    [(path, headers, _)] = receiver.requests
    assert path == f"/{SECRET_PATH}"
    assert headers["content-type"] == "application/json"
    assert receiver.json == [
        {
            "text": "*HighLatency*\nlatency is 900 ms",
            "channel": "#ops-alerts",
            "attachments": [
                {
                    "color": COLOURS["critical"],
                    "fallback": "critical",
                    "footer": "critical",
                    "fields": [{"title": "service", "value": "web", "short": True}],
                }
            ],
        }
    ]


async def test_a_plain_message_is_plain(receiver: Receiver) -> None:
    await slack(slack_settings(receiver.url), Message(text="deployed"))
    assert receiver.json == [{"text": "deployed"}]


async def test_what_is_in_an_event_cannot_call_everybody(receiver: Receiver) -> None:
    message = Message(text="failed: <!channel> & <http://evil|click>")
    await slack(slack_settings(receiver.url), message)
    await slack(slack_settings(receiver.url, allow_markup=True), message)
    assert [body["text"] for body in receiver.json] == [
        "failed: &lt;!channel&gt; &amp; &lt;http://evil|click&gt;",
        "failed: <!channel> & <http://evil|click>",
    ]


async def test_an_overlong_message_is_cut(receiver: Receiver) -> None:
    await slack(slack_settings(receiver.url), Message(text="x" * 100_000, fields={"log": "y" * 10_000}))
    [body] = receiver.json
    assert len(body["text"]) == 30_000
    assert body["text"].endswith("x…")
    assert len(body["attachments"][0]["fields"][0]["value"]) == 2000


async def test_the_webhook_gets_the_message_signed(receiver: Receiver) -> None:
    clock = VirtualClock()
    settings = webhook_settings(receiver.url, secret="shared", headers={"Authorization": "Bearer abcdef"})
    await webhook(settings, MESSAGE, ChannelContext(clock))
    [(_, headers, body)] = receiver.requests
    assert receiver.json == [
        {
            "title": "HighLatency",
            "text": "latency is 900 ms",
            "severity": "critical",
            "fields": {"service": "web"},
            "to": "#ops-alerts",
            "sent_at": iso(clock.now()),
        }
    ]
    assert headers["authorization"] == "Bearer abcdef"
    moment, _, digest = headers["x-automation-signature"].partition(",v1=")
    assert moment == f"t={int(clock.now())}"
    signed = f"{int(clock.now())}.".encode() + body
    assert hmac.compare_digest(digest, hmac.new(b"shared", signed, hashlib.sha256).hexdigest())


async def test_the_webhook_can_take_a_body_of_its_own_and_no_signature(receiver: Receiver) -> None:
    await webhook(webhook_settings(receiver.url, body={"event": "x"}), MESSAGE)
    assert receiver.json == [{"event": "x"}]
    assert "x-automation-signature" not in receiver.requests[0][1]


async def call(name: str, url: str, context: ChannelContext | None = None, **more: Any) -> None:
    """Deliver by the channel of this name."""
    if name == "slack":
        await slack(slack_settings(url, **more), MESSAGE, context or ChannelContext())
    else:
        settings = webhook_settings(url, headers={"X-Key": "topsecret"}, **more)
        await webhook(settings, MESSAGE, context or ChannelContext())


async def failed(name: str, url: str, context: ChannelContext | None = None, **more: Any) -> ActionError:
    """The error of a delivery that fails, which tells nothing of the secret."""
    with pytest.raises(ActionError) as caught:
        await call(name, url, context, **more)
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for secret in (SECRET_PATH, "XXXXsecretXXXX", "topsecret"):
        assert secret not in shown
    return caught.value


channels = pytest.mark.parametrize("name", ["slack", "webhook"])


@channels
@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_it_may_work_later(receiver: Receiver, name: str, status: int) -> None:
    receiver.status, receiver.body = status, b"busy"
    receiver.headers = {"Retry-After": "30"}
    error = await failed(name, receiver.url)
    assert type(error) is TryLater
    assert error.after == 30
    assert f"answered {status}: busy" in error.message


@channels
@pytest.mark.parametrize("status", [400, 403, 404, 410, 302])
async def test_it_will_not_work(receiver: Receiver, name: str, status: int) -> None:
    receiver.status, receiver.body = status, b"channel_not_found\n" + b"x" * 5000
    error = await failed(name, receiver.url)
    assert type(error) is Refused
    assert f"answered {status}: channel_not_found xxx" in error.message
    assert len(error.message) < 300


@channels
async def test_a_server_that_sends_back_what_it_got_tells_no_secret(receiver: Receiver, name: str) -> None:
    receiver.status = 400
    header = "topsecret" if name == "webhook" else ""
    receiver.body = f"cannot POST {receiver.url} nor /{SECRET_PATH} nor XXXXsecretXXXX {header}".encode()
    assert "cannot POST ***" in (await failed(name, receiver.url)).message


def test_a_key_that_is_sent_back_alone_is_not_told() -> None:
    url = "https://chat.example.com/v1/spaces?key=AIzaKey&token=AIzaKey-more%2Dof-it"
    sent = Post("chat", url, b"", 1.0, {"Authorization": "Bearer topsecret"})
    said = sent.scrubbed("key AIzaKey, decoded AIzaKey-more-of-it, and topsecret are wrong")
    assert said == "key ***, decoded ***, and *** are wrong"


@channels
async def test_no_connection_is_for_later(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET_PATH}"
    error = await failed(name, url)
    assert type(error) is TryLater
    assert "the connection to 127.0.0.1 failed: Connection refused" in error.message


@channels
async def test_no_answer_is_for_later(receiver: Receiver, name: str) -> None:
    receiver.silent = True
    error = await failed(name, receiver.url, timeout_seconds=0.1)
    assert type(error) is TryLater
    assert "no answer from 127.0.0.1 within 0.1 s" in error.message


@channels
async def test_addresses_that_may_not_be_called_are_not(receiver: Receiver, name: str) -> None:
    assert "may not be called" in (await failed(name, f"http://169.254.169.254/{SECRET_PATH}")).message
    context = ChannelContext(limits=HttpLimits(allow_private_addresses=False))
    assert "allow_private_addresses is off" in (await failed(name, receiver.url, context)).message
    assert receiver.requests == []


@channels
async def test_the_log_does_not_tell_the_secret(
    receiver: Receiver, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await call(name, receiver.url)
    assert len(receiver.requests) == 1
    assert "XXXXsecretXXXX" not in caplog.text
    assert "topsecret" not in caplog.text


@pytest.mark.parametrize(
    "url", ["", "hooks.slack.com/x", "ftp://host/secretpath", "http:///secretpath", "http://[secretpath", "http://u:secretpath@h/",
            "http://host:0/secretpath", "http://host/secret path", "http://host:99999/secretpath"]
)  # fmt: skip
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        slack_settings(url)
    assert "webhook_url: must be the address of a webhook" in caught.value.message
    assert "secretpath" not in caught.value.message
    assert "secretpath" not in repr(caught.value)


@pytest.mark.parametrize("headers", [{"a b": "x"}, {"": "x"}, {"X": "line\nbreak"}, {"X": "ü"}])
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(DefinitionError, match="header"):
        webhook_settings("http://host/", headers=headers)


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(webhook_settings("http://host/secretpath", secret="s3cr3t", headers={"X": "t0k3n"}))
    assert not any(secret in shown for secret in ("secretpath", "s3cr3t", "t0k3n"))


def test_both_are_registered() -> None:
    assert {"slack", "webhook"} <= set(registry.names("channel"))
    assert registry.get("channel", "slack").settings is SlackSettings
