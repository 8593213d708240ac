"""The `http_poll` source with a real web server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from automation.clock import VirtualClock
from automation.errors import InputError, TryLater
from automation.model.event import Event
from automation.plugins import read_settings
from automation.sources.http_poll import HttpPoll, http_poll
from automation.sources.source import Delivery, Rejected, SourceContext
from tests.support.programs import Page, web_page


@pytest.fixture
def page() -> Iterator[Page]:
    with web_page() as found:
        yield found


class Poll:
    """A source that is asked for its next look; each look is a round of its own."""

    def __init__(self, page: Page, **settings: Any) -> None:
        values = {"url": f"http://{page.url}/status?x=1", **settings}
        found = read_settings(HttpPoll, values)
        assert isinstance(found, HttpPoll)
        self.settings = found
        self.page = page
        self.position: Any = None
        self.clock = VirtualClock()

    async def look(self, answer: Any) -> tuple[list[Event], list[Rejected]]:
        """What one look at this answer gives, after a restart at the position before."""
        self.page.text = answer if isinstance(answer, str) else json.dumps(answer)
        self.clock.set_by(60)
        events: list[Event] = []
        rejected: list[Rejected] = []

        class Over(Exception):
            pass

        class Clock(VirtualClock):
            async def sleep(self, seconds: float) -> None:
                raise Over

        clock = Clock(self.clock.now())
        try:
            async for item in http_poll(self.settings, SourceContext("p", clock, self.position)):
                if isinstance(item, Delivery):
                    events += item.events
                    self.position = item.position
                else:
                    rejected.append(item)
        except Over:
            pass
        return events, rejected


async def test_the_whole_answer_is_an_event_when_it_has_changed(page: Page) -> None:
    poll = Poll(page, type="status")
    [first], _ = await poll.look({"host": "a1", "state": "ok"})
    assert (first.type, first.subject, first.data["state"]) == ("status", "a1", "ok")
    assert (await poll.look({"state": "ok", "host": "a1"}))[0] == []
    [second], _ = await poll.look({"host": "a1", "state": "down"})
    # What it was once before is new all the same.
    [third], _ = await poll.look({"host": "a1", "state": "ok"})
    assert len({first.id, second.id, third.id}) == 3


async def test_new_items_of_a_list_are_events(page: Page) -> None:
    poll = Poll(page, type="incident", items="data.list", id_key="number")
    first, _ = await poll.look({"data": {"list": [{"number": 1, "what": "a"}, {"number": "two"}]}})
    assert [event.id for event in first] == ["1", "two"]
    second, _ = await poll.look({"data": {"list": [{"number": 3}, {"number": 1, "what": "b"}]}})
    assert [event.id for event in second] == ["3"]


async def test_a_list_at_the_top_whose_items_are_events(page: Page) -> None:
    poll = Poll(page, items="")
    [event], [rejected] = await poll.look([{"type": "a", "subject": "x"}, {"kind": "b"}])
    assert (event.type, event.subject, event.source) == ("a", "x", "http_poll:p")
    assert "kind is not a key of an event" in rejected.error
    assert await poll.look([{"type": "a", "subject": "x"}, {"kind": "b"}]) == ([], [])


@pytest.mark.parametrize(
    ("answer", "settings", "says"),
    [
        ("<html>", {}, r"/status: not valid JSON"),
        ({"data": 5}, {"items": "data"}, r"/status: data: must be a list, not a whole number"),
        ({"data": []}, {"items": "data.list"}, r"data: must be an object, not a list"),
        ({}, {"items": "data"}, r"data: is required"),
        ([1, 2, 3], {"items": "", "max_items": 2}, r"has 3 items, more than max_items \(2\)"),
        ([{"x": 1}], {"items": "", "id_key": "id"}, r"\[0\].id: must be text, not null"),
    ],
)
async def test_an_answer_that_is_none_fails_the_source(
    page: Page, answer: Any, settings: dict[str, Any], says: str
) -> None:
    poll = Poll(page, type="x", **settings)
    page.text = answer if isinstance(answer, str) else json.dumps(answer)
    with pytest.raises(InputError, match=says):
        await anext(http_poll(poll.settings, SourceContext("p", poll.clock)))


async def test_an_answer_that_is_too_large_and_a_server_that_is_not_there(page: Page) -> None:
    page.text = json.dumps("x" * 2000)
    poll = Poll(page, type="x", max_bytes=1024)
    with pytest.raises(TryLater, match="larger than 1024 bytes"):
        await anext(http_poll(poll.settings, SourceContext("p", poll.clock)))
    gone = poll.settings.model_copy(update={"url": "http://user:secret@127.0.0.1:9/x"})
    with pytest.raises(TryLater, match="Connection refused") as failed:
        await anext(http_poll(gone, SourceContext("p", poll.clock)))
    assert "secret" not in str(failed.value)


async def test_what_is_no_event_is_told_whole(page: Page) -> None:
    # It is kept as a dead letter, from which it may be taken in later: cut off, it never could be.
    sent = {"type": 5, "data": {"text": "é" * 20_000}}
    events, [rejected] = await Poll(page).look(sent)
    assert events == []
    assert json.loads(rejected.raw) == sent
