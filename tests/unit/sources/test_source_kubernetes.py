"""The `kubernetes` source with a stand-in for the API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import AutomationEngine
from automation.clock import VirtualClock
from automation.plugins import read_settings
from automation.sources.kubernetes import Kubernetes, kubernetes
from automation.sources.source import SourceContext
from tests.support.kubernetes import Cluster, cluster
from tests.support.programs import until
from tests.support.sources import came, dead_letters, follow, is_so, state, unfollow


@pytest.fixture
async def api() -> AsyncIterator[Cluster]:
    async with cluster() as made:
        yield made


async def watching(engine: AutomationEngine, api: Cluster, **settings: Any) -> None:
    await follow(engine, "kubernetes", url=api.url, token="t0ken", **settings)
    await until(lambda: api.watched == 1, "it watches")


async def test_what_happens_is_an_event(engine: AutomationEngine, api: Cluster) -> None:
    api.happen("old")
    await watching(engine, api, namespace="shop")
    api.happen("web-1")
    [event] = await came(engine, 1)
    assert (event.type, event.subject, event.severity) == ("kubernetes.event", "web-1", "warning")
    assert event.labels == {"namespace": "shop", "kind": "Pod", "name": "web-1", "reason": "BackOff"}
    assert event.data["message"] == "Back-off restarting failed container"
    assert (event.data["component"], event.data["count"]) == ("kubelet", 1)
    path, asked = api.asked[-1]
    assert path == "/api/v1/namespaces/shop/events"
    assert (asked["fieldSelector"], asked["allowWatchBookmarks"]) == ("type=Warning", "true")
    assert "authorization: bearer t0ken" in api.headers[-1].lower()
    # What Kubernetes counts up is another event; what it deletes and its bookmarks are none.
    api.happen("web-1", "MODIFIED", count=2)
    api.happen("gone", "DELETED")
    api.tell("BOOKMARK", {"kind": "Event", "metadata": {"resourceVersion": "500"}})
    assert [event.data["count"] for event in await came(engine, 2)] == [1, 2]


async def test_it_goes_on_where_the_watch_ended(engine: AutomationEngine, api: Cluster) -> None:
    await watching(engine, api)
    api.happen("a")
    await came(engine, 1)
    api.end_watches()
    await until(lambda: sum("watch" in asked for _, asked in api.asked) == 2 and api.watched == 1, "it watches again")
    assert state(engine).restarts == 0
    api.happen("b")
    await came(engine, 2)
    await unfollow(engine)
    # The stand-in does not see that nobody listens any more.
    api.end_watches()
    await until(lambda: api.watched == 0, "nobody watches")
    api.happen("c")
    await watching(engine, api)
    assert [event.subject for event in await came(engine, 3)] == ["a", "b", "c"]
    assert sum("watch" not in asked for _, asked in api.asked) == 1


async def test_what_was_forgotten_is_listed_again_and_known_ones_are_duplicates(
    engine: AutomationEngine, api: Cluster
) -> None:
    api.page = 2
    await watching(engine, api, from_start=True)
    api.happen("a")
    await came(engine, 1)
    await unfollow(engine)
    for name in ("b", "c", "d"):
        api.happen(name)
    api.forgotten = api.version
    await follow(engine, "kubernetes", url=api.url)
    assert [event.subject for event in await came(engine, 4)] == ["a", "b", "c", "d"]
    assert (await is_so(engine, lambda found: found.duplicates == 1)).restarts == 0


async def test_what_is_there_already_is_taken_where_that_is_asked_for(engine: AutomationEngine, api: Cluster) -> None:
    api.happen("old")
    api.happen("odd", lastTimestamp="yesterday")
    await watching(engine, api, from_start=True, field_selector="")
    assert [event.subject for event in await came(engine, 1)] == ["old"]
    assert "lastTimestamp: must be a time" in (await dead_letters(engine))[0]
    api.happen("odder", involvedObject=[])
    api.happen("next")
    await came(engine, 2)
    assert (await is_so(engine, lambda found: found.rejected == 2)).restarts == 0


@pytest.mark.parametrize("forgotten", [0, 1000], ids=["ended", "gone"])
async def test_watches_that_end_at_once_are_not_begun_without_a_pause(api: Cluster, forgotten: int) -> None:
    api.forgotten = forgotten
    clock = VirtualClock()
    settings = read_settings(Kubernetes, {"url": api.url, "token": "t0ken"})
    assert isinstance(settings, Kubernetes)

    async def follow_all() -> None:
        async for _ in kubernetes(settings, SourceContext("k", clock, "100")):
            pass

    def watches() -> int:
        return sum("watch" in asked for _, asked in api.asked)

    task = asyncio.create_task(follow_all())
    for number in (1, 2):
        await until(lambda n=number: watches() == n, "it watches")  # type: ignore[misc]
        if not forgotten:
            await until(lambda: api.watched == 1, "it watches")
            api.end_watches()
        await until(lambda: clock.next_due is not None, "it waits", seconds=10)
        assert watches() == number
        await clock.advance(1)
    task.cancel()
    await asyncio.wait([task])


async def test_a_refusal_fails_the_source(engine: AutomationEngine, api: Cluster) -> None:
    api.refuse = 403
    await follow(engine, "kubernetes", url=api.url)
    found = await is_so(engine, lambda found: found.status == "failed")
    assert f"{api.url} answered 403" in (found.last_error or "")
    api.refuse = 0
    await until(lambda: api.watched == 1, "it watches after all")
    api.tell("ERROR", {"code": 500, "message": "etcd is away"})
    found = await is_so(engine, lambda found: "etcd is away" in (found.last_error or ""))
