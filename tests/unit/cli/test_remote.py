"""The client of a server: the same answers as without one, and its errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from automation.api.server import Server
from automation.cli.client import Client, Order, Slice, connect
from automation.cli.command import Session
from automation.cli.control import Ask, Repetition
from automation.cli.failures import ServerUnreachable, failure_of
from automation.cli.local import LocalClient
from automation.cli.measured import Stretch
from automation.cli.output import Output
from automation.cli.remote import RemoteClient
from automation.config import AutomationConfig
from automation.console.app import application
from automation.definitions import read_or_raise
from automation.engine import AutomationEngine
from automation.errors import (
    AutomationError,
    Conflict,
    DuplicateKey,
    Forbidden,
    InputError,
    NotFound,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from automation.hindsight import Question
from automation.model.alert import AlertRule
from automation.model.event import Event


@dataclass(frozen=True)
class Pair:
    """A client of a server and one without, on the same database."""

    remote: RemoteClient
    local: LocalClient
    engine: AutomationEngine
    url: str


@pytest.fixture
async def pair(folder: Path) -> AsyncIterator[Pair]:
    config = AutomationConfig.load(api={"port": 0})
    engine = AutomationEngine(config)
    async with engine:
        await engine.apply(read_or_raise([folder / "automation.d" / "definitions.yaml"]))
        server = Server(engine, application(engine))
        await server.start()
        token = await engine.tokens.issue("test", ["automation_admin"], expires_in=None, actor="test")
        async with RemoteClient(server.url, token) as remote, LocalClient(Session(Output())) as local:
            yield Pair(remote, local, engine, server.url)
        await server.stop()


async def finished(client: Client, execution_id: str) -> Any:
    while True:
        detail = await client.execution(execution_id)
        if detail["execution"]["finished_at"]:
            return detail


def shape(value: Any) -> Any:
    """Which keys there are, down to the first of each list; values that differ by their nature aside."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key not in ("availability_percent",)}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


class TestBothClients:
    async def test_answer_alike(self, pair: Pair) -> None:
        remote, local = pair.remote, pair.local
        await pair.engine.observe("temperature", 40, subject="oven")
        receipt = await remote.publish(Event(type="ping", subject="web", data={"a": 1}))
        execution_id = await remote.start(Order("hello", {"who": "you"}))
        await finished(remote, execution_id)
        assert receipt["executions"]
        assert await remote.execution(execution_id) == await local.execution(execution_id)
        assert await remote.executions(None, None, Slice(2)) == await local.executions(None, None, Slice(2))
        assert await remote.executions("hello", "succeeded", Slice()) == await local.executions(
            "hello", "succeeded", Slice()
        )
        for part in (execution_id[:-1], execution_id[-12:], "0000"):
            found = await remote.executions(None, None, Slice(2), id=part)
            assert found == await local.executions(None, None, Slice(2), id=part)
            assert [item["id"] for item in found["items"]] == [execution_id] * (part != "0000")
        assert await remote.events("ping", Slice()) == await local.events("ping", Slice())
        assert await remote.alerts("firing", Slice()) == await local.alerts("firing", Slice())
        assert await remote.tokens() == await local.tokens()
        assert await remote.audit("workflow_execution", Slice(3)) == await local.audit("workflow_execution", Slice(3))
        assert await remote.verify_audit() == await local.verify_audit()
        assert await remote.workflows() == await local.workflows()
        assert await remote.workflow("hello") == await local.workflow("hello")
        versions = await remote.versions("hello", None)
        assert versions == await local.versions("hello", None)
        (version,) = [item["id"] for item in versions["items"]]
        assert await remote.versions("hello", version[:9]) == await local.versions("hello", version)
        order = Order("hello", {"who": "you"})
        assert await remote.dry_run(order) == await local.dry_run(order)
        assert shape(await remote.inventory("services")) == shape(await local.inventory("services"))
        assert shape(await remote.inventory("sources")) == shape(await local.inventory("sources"))
        asks = await remote.start(Order("careful"))
        while not (await remote.control.approvals("pending", "careful", Slice()))["items"]:
            await asyncio.sleep(0.01)
        waiting = await remote.control.approvals(None, None, Slice(2))
        assert waiting == await local.control.approvals(None, None, Slice(2))
        answered = await remote.control.answer(waiting["items"][0]["id"], False, "no")
        assert (answered["status"], answered["execution_id"]) == ("denied", asks)

    async def test_act_alike(self, pair: Pair) -> None:
        remote, local = pair.remote, pair.local
        issued = await remote.issue_token("ci", ["automation_viewer"], 60)
        assert shape(issued) == shape(await local.issue_token("cd", ["automation_viewer"], 60))
        revoked = await remote.revoke_token(issued["info"]["id"])
        assert revoked["revoked_at"] is not None
        waiting = await remote.start(Order("slow"))
        asks: tuple[Ask, ...] = ("pause", "resume")
        for ask in asks:
            assert set(await remote.control.ask(ask, waiting, "why")) == {"execution_id", "status"}
        assert set(await remote.cancel(waiting, "enough")) == {"execution_id", "status"}
        assert (await finished(remote, waiting))["execution"]["status"] == "cancelled"
        await pair.engine.observe("temperature", 40, subject="oven")
        [alert] = (await remote.alerts(None, Slice()))["items"]
        assert (await remote.acknowledge(alert["fingerprint"]))["state"] == "acknowledged"
        first = await remote.start(Order("hello", {"who": "a"}, "key"))
        assert await remote.start(Order("hello", {"who": "a"}, "key")) == first
        await finished(remote, first)
        for how in (Repetition({"who": "b"}, reason="again"), Repetition(action="nap", newest=True)):
            again = await remote.control.repeat(first, how)
            execution = (await finished(remote, again["execution_id"]))["execution"]
            assert first in (execution["rerun_of"], execution["forked_from"])
        once = [await remote.control.repeat(first, Repetition({"who": "b"}, key="once")) for _ in range(2)]
        assert once[0]["execution_id"] == once[1]["execution_id"]

    async def test_refuse_alike(self, pair: Pair) -> None:
        remote, local = pair.remote, pair.local
        await remote.start(Order("hello", {"who": "a"}, "key"))
        cases: list[tuple[type[AutomationError], Callable[[Client], Any]]] = [
            (NotFound, lambda client: client.execution("nosuch")),
            (NotFound, lambda client: client.workflow("nosuch/../x")),
            (NotFound, lambda client: client.revoke_token("nosuch")),
            (InputError, lambda client: client.dry_run(Order("hello", {}))),
            (InputError, lambda client: client.issue_token("x", ["nosuch"], None)),
        ]
        for kind, ask in cases:
            for client in (remote, local):
                with pytest.raises(kind):
                    await ask(client)
        with pytest.raises(DuplicateKey):
            await remote.start(Order("hello", {"who": "b"}, "key"))
        with pytest.raises(Conflict):
            await remote.decide((await remote.executions(None, None, Slice(1)))["items"][0]["id"], None, True, "")

    async def test_without_a_token(self, pair: Pair) -> None:
        async with RemoteClient(pair.url, None) as client:
            with pytest.raises(Unauthenticated) as caught:
                await client.workflows()
        assert failure_of(caught.value).code == 2

    async def test_with_too_little_a_role(self, pair: Pair) -> None:
        token = await pair.engine.tokens.issue("low", ["automation_viewer"], expires_in=None, actor="test")
        async with RemoteClient(pair.url, token) as client:
            with pytest.raises(Forbidden, match="system:admin"):
                await client.verify_audit()


class TestConnect:
    async def test_chooses_by_the_environment(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with connect(Session(Output())) as client:
            assert isinstance(client, LocalClient)
        monkeypatch.setenv("AUTOMATION_URL", "http://localhost:1")
        async with connect(Session(Output())) as client:
            assert isinstance(client, RemoteClient)

    async def test_a_server_takes_no_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUTOMATION_URL", "http://localhost:1")
        with pytest.raises(InputError, match="--file: a server knows its own definitions only"):
            async with connect(Session(Output()), [Path("x.yaml")]):
                pass


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx2.Request], httpx2.Response]) -> RemoteClient:
    client = RemoteClient("http://server", "token")
    monkeypatch.setattr(
        client,
        "_client",
        httpx2.AsyncClient(base_url="http://server/api/v1", transport=httpx2.MockTransport(answer)),
    )
    return client


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "reason", "kind"),
        [
            (400, "invalid", InputError),
            (401, "unauthenticated", Unauthenticated),
            (403, "forbidden", Forbidden),
            (404, "not-found", NotFound),
            (409, "conflict", Conflict),
            (409, "duplicate-key", DuplicateKey),
            (429, "too-many-requests", TooManyRequests),
            (503, "unavailable", StoreUnavailable),
            (500, "internal", AutomationError),
        ],
    )
    async def test_problems_become_our_errors(
        self, monkeypatch: pytest.MonkeyPatch, status: int, reason: str, kind: type[AutomationError]
    ) -> None:
        body = {"type": f"urn:automation:problem:{reason}", "detail": "what is wrong", "problems": []}
        client = answering(monkeypatch, lambda request: httpx2.Response(status, json=body))
        with pytest.raises(kind, match="what is wrong"):
            await client.workflows()

    @pytest.mark.parametrize(
        ("response", "message"),
        [
            (httpx2.Response(200, text="<html>"), "answered 200, and not with JSON"),
            (httpx2.Response(502, text="bad gateway"), "answered 502, and not with JSON"),
        ],
    )
    async def test_something_else_than_a_server_of_ours(
        self, monkeypatch: pytest.MonkeyPatch, response: httpx2.Response, message: str
    ) -> None:
        client = answering(monkeypatch, lambda request: response)
        with pytest.raises(ServerUnreachable, match=message):
            await client.workflows()

    async def test_a_json_answer_of_another_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = answering(monkeypatch, lambda request: httpx2.Response(418, json=["teapot"]))
        with pytest.raises(AutomationError, match="the server answered 418"):
            await client.workflows()

    async def test_nobody_there(self) -> None:
        async with RemoteClient("http://127.0.0.1:1", None) as client:
            with pytest.raises(ServerUnreachable) as caught:
                await client.workflows()
        failure = failure_of(caught.value)
        assert failure.message == "cannot reach http://127.0.0.1:1: Connection refused"
        assert "automation serve" in failure.hint
        assert failure.code == 1

    async def test_too_slow_a_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow(request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ReadTimeout("slow")

        with pytest.raises(ServerUnreachable, match="did not answer within 30 s"):
            await answering(monkeypatch, slow).workflows()

    async def test_the_token_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = RemoteClient("http://server", "aut_secret")
        assert client._client.headers["Authorization"] == "Bearer aut_secret"
        await client._client.aclose()


async def test_metrics_are_the_same_from_a_server_and_from_its_database(pair: Pair) -> None:
    await pair.engine.observe("temperature", 40, subject="oven", labels={"rack": "1"})
    await pair.engine.samples.history.flush()
    since = pair.engine.clock.now() - 600

    assert await pair.remote.metrics.list() == await pair.local.metrics.list()
    told = [
        await client.metrics.show("temperature", Stretch(since, 60, "oven")) for client in (pair.remote, pair.local)
    ]

    assert told[0]["series"] == told[1]["series"]
    assert told[0]["series"][0]["points"][0]["last"] == 40.0
    for client in (pair.remote, pair.local):
        with pytest.raises(NotFound, match="nothing"):
            await client.metrics.show("nothing", Stretch(since))


async def test_an_alert_rule_is_tried_alike_by_a_server_and_on_its_database(pair: Pair) -> None:
    for value in (20.0, 40.0):
        await pair.engine.observe("temperature", value, subject="oven")
    await pair.engine.samples.history.flush()
    question = Question(pair.engine.clock.now() - 600, 60, "max")
    version = AlertRule(name="hot", condition="temperature > 35")

    told = [await client.metrics.backtest("hot", question, version) for client in (pair.remote, pair.local)]

    assert [each["tried"]["count"] for each in told] == [1, 1]
    assert told[0]["tried"]["firings"][0]["value"] == told[1]["tried"]["firings"][0]["value"] == 40.0


async def test_a_rule_is_explained_by_the_server_that_measures(pair: Pair) -> None:
    await pair.engine.observe("temperature", 40, subject="oven")

    told = await pair.remote.metrics.explain("hot")

    assert [(each["subject"], each["state"]) for each in told["series"]] == [("oven", "firing")]
    with pytest.raises(InputError, match="AUTOMATION_URL"):
        await pair.local.metrics.explain("hot")
