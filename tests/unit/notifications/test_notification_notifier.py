"""The notifier on a real database, with scripted channels; and `test_slack`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import automation.notifications
from automation.clock import VirtualClock
from automation.config import Notifications, Slack
from automation.errors import Refused, StoreUnavailable, TryLater
from automation.infrastructure.outgoing import HttpLimits
from automation.model.notification import Message
from automation.notifications.channel import ChannelContext
from automation.notifications.notifier import Delivery, Notifier
from automation.plugins import channel, registry
from automation.store import alerts
from automation.store.store import Store

from .conftest import SECRET_PATH, Receiver

MESSAGE = Message(text="latency is 900 ms", title="HighLatency", to="#ops-alerts")


class Settings(BaseModel):
    greeting: str = "hello"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/automation.db")
    await opened.open()
    yield opened
    await opened.close()


class World:
    """A channel that does as it is told, and what was counted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = VirtualClock()
        self.sent: list[tuple[str, str]] = []
        self.counted: list[tuple[str, str]] = []
        self.act: Callable[[], Any] = lambda: None
        self.seen_status: list[str] = []
        self.notifier = self.fresh()

    def fresh(self, configured: Notifications | None = None) -> Notifier:
        """A notifier as after a restart."""
        configured = configured or Notifications()
        return Notifier(self.store, configured, self.clock, HttpLimits(), lambda *what: self.counted.append(what))

    async def channel(self, settings: Settings, message: Message) -> None:
        row = await alerts.notification(self.store, "key")
        self.seen_status.append(row.status if row else "none")
        found = self.act()
        if asyncio.iscoroutine(found):
            await found
        self.sent.append((settings.greeting, message.text))

    async def deliver(self, key: str = "key", **settings: Any) -> Delivery:
        return await self.notifier.deliver("scripted", settings, MESSAGE, key=key)

    async def row(self, key: str = "key") -> alerts.Notification:
        found = await alerts.notification(self.store, key)
        assert found is not None
        return found


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    world = World(store)

    @channel("scripted")
    async def scripted(settings: Settings, message: Message) -> None:
        await world.channel(settings, message)

    yield world
    registry._plugins["channel"].pop("scripted")


def failing(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


async def test_a_message_is_recorded_before_and_after_it_is_sent(world: World) -> None:
    delivery = await world.deliver(greeting="hi")
    assert world.sent == [("hi", "latency is 900 ms")]
    assert world.seen_status == ["pending"]
    assert delivery == Delivery("key", "scripted", "#ops-alerts", world.clock.now(), 1)
    row = await world.row()
    assert (row.status, row.attempts, row.error, row.sent_at) == ("sent", 1, None, world.clock.now())
    assert (row.channel, row.recipient, row.text) == ("scripted", "#ops-alerts", "HighLatency: latency is 900 ms")
    assert world.counted == [("scripted", "sent")]


async def test_nobody_is_told_twice(world: World) -> None:
    first = await world.deliver()
    await world.clock.advance(60)
    world.notifier = world.fresh()
    again = await world.deliver()
    assert len(world.sent) == 1
    assert again == Delivery("key", "scripted", "#ops-alerts", first.sent_at, 1, repeated=True)
    await world.deliver("another key")
    assert len(world.sent) == 2
    assert len(world.counted) == 2


async def test_not_even_at_the_same_time(world: World) -> None:
    world.act = lambda: asyncio.sleep(0.01)
    found = await asyncio.gather(*(world.deliver() for _ in range(10)))
    assert len(world.sent) == 1
    assert [one.repeated for one in found].count(False) == 1


async def test_a_failure_is_recorded_and_another_try_is_counted(world: World) -> None:
    world.act = failing(TryLater("busy", after=30))
    for attempt in (1, 2):
        with pytest.raises(TryLater) as caught:
            await world.deliver()
        assert caught.value.after == 30
        row = await world.row()
        assert (row.status, row.attempts, row.error) == ("failed", attempt, "busy")
    created = row.created_at
    await world.clock.advance(60)
    world.act = lambda: None
    delivery = await world.deliver()
    row = await world.row()
    assert (row.status, row.attempts, row.error, row.created_at) == ("sent", 3, None, created)
    assert delivery.attempts == 3
    assert world.seen_status == ["pending"] * 3
    assert [status for _, status in world.counted] == ["failed", "failed", "sent"]


async def test_also_what_a_channel_should_not_raise_is_recorded(world: World) -> None:
    world.act = failing(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        await world.deliver()
    assert (await world.row()).error == "a bug"


async def test_an_interrupted_attempt_is_recorded(world: World) -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    world.act = hang
    task = asyncio.create_task(world.deliver())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.store.commit([])
    row = await world.row()
    assert (row.status, row.error) == ("failed", "interrupted before the answer came")
    world.act = lambda: None
    assert (await world.deliver()).attempts == 2


async def test_what_was_pending_when_it_was_killed_is_sent(world: World) -> None:
    pending = alerts.Notification("key", "scripted", "#ops-alerts", "text", "pending", 1, world.clock.now())
    await world.store.commit([pending.op()])
    assert (await world.deliver()).attempts == 2
    assert len(world.sent) == 1


async def test_what_cannot_be_recorded_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(world.store, "commit", refuse)
    with pytest.raises(StoreUnavailable):
        await world.deliver()
    assert world.sent == []


async def test_a_channel_that_is_not_configured_says_what_to_set(world: World) -> None:
    with pytest.raises(Refused) as caught:
        await world.notifier.deliver("slack", {}, MESSAGE, key="key")
    assert caught.value.message == (
        "the channel 'slack' is not configured: set notifications.slack.webhook_url, "
        "or AUTOMATION_NOTIFICATIONS__SLACK__WEBHOOK_URL_FILE"
    )
    row = await world.row()
    assert (row.status, row.error) == ("failed", caught.value.message)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("slac", {}, "there is no channel 'slac'; did you mean slack?"),
        ("scripted", {"greting": "x"}, "the channel 'scripted' cannot be used: greting: unknown key"),
        ("webhook", {}, "the channel 'webhook' cannot be used: url: is required"),
        ("slack", {"webhook_url": "secret"}, "the channel 'slack' cannot be used: webhook_url: must be the address"),
    ],
)
async def test_what_cannot_be_used_is_refused_and_recorded(
    world: World, name: str, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refused) as caught:
        await world.notifier.deliver(name, settings, MESSAGE, key="key")
    assert caught.value.message.startswith(says)
    assert (await world.row()).status == "failed"


async def test_configured_settings_hold_where_none_are_given(world: World, receiver: Receiver) -> None:
    other = receiver.url.replace(SECRET_PATH, "other")
    world.notifier = world.fresh(Notifications(slack=Slack(webhook_url=receiver.url)))  # type: ignore[arg-type]
    await world.notifier.deliver("slack", {}, MESSAGE, key="1")
    await world.notifier.deliver("slack", {"webhook_url": other}, MESSAGE, key="2")
    assert [path for path, _, _ in receiver.requests] == [f"/{SECRET_PATH}", "/other"]


async def test_a_channel_may_ask_for_its_context(world: World) -> None:
    contexts: list[ChannelContext] = []

    @channel("curious")
    async def curious(settings: Settings, message: Message, context: ChannelContext) -> None:
        contexts.append(context)

    await world.notifier.deliver("curious", {}, MESSAGE, key="key")
    registry._plugins["channel"].pop("curious")
    assert contexts[0].clock is world.clock


# test_slack


def check(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    return out


def test_slack_says_that_it_works(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "url"
    secret.write_text(receiver.url + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMATION_NOTIFICATIONS__SLACK__WEBHOOK_URL_FILE", str(secret))
    assert automation.notifications.test_slack() is True
    assert check(capsys) == "Slack: a test message was sent to #ops-alerts\n"
    assert receiver.json[0]["channel"] == "#ops-alerts"


async def test_slack_works_within_an_event_loop(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert automation.notifications.test_slack(receiver.url, "#else") is True
    assert receiver.json[0]["channel"] == "#else"
    assert "#else" in check(capsys)


@pytest.mark.parametrize(
    ("file", "status", "says"),
    [
        (
            "",
            200,
            "Slack: the test message was not sent: the channel 'slack' is not configured: set notifications.slack",
        ),
        ("nonsense: 1", 200, "Slack was not tried: automation.yaml: the configuration is not valid: nonsense"),
        ("URL", 404, "Slack: the test message was not sent: Slack answered 404: no_service"),
        ("URL", 503, "Slack: the test message was not sent: Slack answered 503"),
        ("notifications: {slack: {webhook_url: 5}}", 200, "Slack was not tried: "),
        ("notifications: {slack: {webhook_url: x}}", 200, "Slack: the test message was not sent: "),
    ],
)
def test_slack_says_why_it_does_not_work(
    receiver: Receiver, file: str, status: int, says: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    receiver.status, receiver.body = status, b"no_service"
    text = f"notifications: {{slack: {{webhook_url: '{receiver.url}'}}}}" if file == "URL" else file
    (tmp_path / "automation.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert automation.notifications.test_slack() is False
    out = check(capsys)
    assert out.startswith(says)
    assert SECRET_PATH not in out


def test_importing_it_is_light() -> None:
    code = (
        "import sys, automation.notifications;"
        "print([name for name in ('httpx2', 'pydantic', 'sqlalchemy', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
