"""The parts of the demonstration, one by one; `tests/acceptance/test_demo.py` plays it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from automation.cli.output import Output
from automation.demo import service as program
from automation.demo.display import Picture, Silent, shown
from automation.demo.load import Endpoints, Load, Tally
from automation.demo.receiver import Posted, Receiver
from automation.demo.stage import SERVICE, configuration, demo_definitions, working_folder
from automation.demo.traffic import Seen, Traffic
from automation.errors import InputError
from automation.infrastructure.processes import base_environment
from tests.support.programs import free_port


class TestDefinitions:
    def test_are_those_of_the_specification(self) -> None:
        definitions = demo_definitions()
        [service], [workflow], [alert] = definitions.services, definitions.workflows, definitions.alerts
        assert service.name == SERVICE
        assert service.settings["command"][0] == sys.executable
        assert workflow.name == "service_restart_workflow"
        assert workflow.conditions == ("service_health_check_failed",)
        assert workflow.actions[0].parameters == {
            "service_name": SERVICE,
            "graceful": True,
            "wait_for_health": True,
        }
        assert alert.name == "high_cpu_usage"
        assert alert.condition.startswith("cpu_usage > 80 AND duration > ")
        assert [action.type for action in alert.actions] == ["scale_infrastructure", "notify_slack"]
        assert alert.cooldown_period == 600

    def test_nothing_of_the_environment_holds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUTOMATION_LEVEL", "manual")
        monkeypatch.setenv("AUTOMATION_EVENTS__RETAIN", "none")
        monkeypatch.setenv("DATABASE_URL", "sqlite:///elsewhere.db")
        config = configuration(tmp_path, "http://127.0.0.1:1/x", 8080)
        assert config.level.value == "intelligent"
        assert config.events.retain == "all"
        assert config.database == f"sqlite:///{tmp_path}/automation.db"

    def test_a_folder_with_something_in_it_is_refused(self, tmp_path: Path) -> None:
        assert working_folder(tmp_path / "new" / "folder").is_dir()
        with pytest.raises(InputError, match="is not empty"):
            working_folder(tmp_path)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The address of a running replica."""
    port = free_port()
    command = [sys.executable, "-m", "automation.demo.service", "--port", str(port), "--work-ms", "5", "--drain", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**base_environment(), "REPLICA_ID": "r1"}) as process:
        assert process.stdout is not None
        assert b"listens" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(5) == 0


class TestService:
    def test_burns_what_it_is_told(self) -> None:
        before = time.thread_time()
        assert len(program.burn(20)) == 64
        assert 0.02 <= time.thread_time() - before < 0.2

    def test_answers(self, service: str) -> None:
        assert httpx2.get(f"{service}/health").json() == {"status": "ok"}
        assert httpx2.get(f"{service}/play").json()["replica"] == "r1"
        assert "playback_requests_total 1\n" in httpx2.get(f"{service}/metrics").text
        assert httpx2.get(f"{service}/nosuch").status_code == 404

    def test_needs_the_standard_library_alone(self) -> None:
        code = "import sys, automation.demo.service, automation.demo.load; print(sorted(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
        assert not {"pydantic", "msgspec", "sqlalchemy", "typer", "rich", "httpx2"} & set(eval(done.stdout))


def endpoints(folder: Path, *addresses: str) -> Path:
    file = folder / "endpoints.json"
    temporary = folder / "new.json"
    temporary.write_text(json.dumps({"addresses": addresses}), encoding="utf-8")
    temporary.replace(file)
    return file


class TestLoad:
    def test_addresses_take_turns_and_are_read_again(self, tmp_path: Path) -> None:
        known = Endpoints(tmp_path / "endpoints.json")
        assert known.at(1) is None
        endpoints(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2")
        assert [known.at(turn) for turn in (2, 3, 4)] == [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 1)]
        endpoints(tmp_path, "http://127.0.0.1:3")
        assert known.at(5) == ("127.0.0.1", 3)
        (tmp_path / "endpoints.json").unlink()
        assert known.at(6) is None

    async def test_a_refused_connection_is_tried_once_more_elsewhere(self, tmp_path: Path, service: str) -> None:
        file = endpoints(tmp_path, f"http://127.0.0.1:{free_port()}", service)
        load = Load(Endpoints(file), 0, 1.0)
        for _ in range(4):
            await load._one(asyncio.get_running_loop().time())
        tally = load._tally
        assert (tally.sent, tally.ok, tally.failed) == (4, 4, 0)
        assert tally.retried == 2

    async def test_what_fails_twice_has_failed(self, tmp_path: Path) -> None:
        load = Load(Endpoints(endpoints(tmp_path, f"http://127.0.0.1:{free_port()}")), 0, 1.0)
        await load._one(0.0)
        assert (load._tally.failed, load._tally.retried) == (1, 1)
        assert list(load._tally.errors) == ["Connection refused"]

    async def test_no_address_and_no_answer_have_failed_too(self, tmp_path: Path) -> None:
        callers: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda reader, writer: callers.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        load = Load(Endpoints(tmp_path / "endpoints.json"), 0, 0.05)
        await load._one(0.0)
        endpoints(tmp_path, f"http://127.0.0.1:{port}")
        await load._one(0.0)
        silent.close()
        for writer in callers:
            writer.close()
            await writer.wait_closed()
        assert load._tally.errors == {"there is no address": 1, "no answer within 0.05 s": 1}
        assert load._tally.retried == 0

    def test_a_second_in_one_line(self) -> None:
        tally = Tally(sent=3, ok=2, failed=1, retried=1, latencies=[0.02, 0.01], errors={"x": 1})
        line = json.loads(tally.line(12.0, 3.0))
        assert (line["sent"], line["p50_ms"], line["p99_ms"]) == (3, 20.0, 20.0)
        assert json.loads(Tally().line(12.0, 0.0))["p50_ms"] is None


class TestTraffic:
    async def test_sends_at_the_rate_it_is_told(self, tmp_path: Path, service: str) -> None:
        traffic = Traffic(endpoints(tmp_path, service), base_environment(), tmp_path / "load.log")
        await traffic.start(20)
        async with asyncio.timeout(20):
            while len(traffic.seconds) < 1:
                await asyncio.sleep(0.05)
            await traffic.set_rate(5)
            while traffic.seconds[-1]["rate"] != 5:
                await asyncio.sleep(0.05)
        assert traffic.trouble is None
        await traffic.stop()
        assert traffic.seen.sent == traffic.seen.ok > 10
        assert traffic.seen.availability == 100.0

    async def test_tells_why_it_ended(self, tmp_path: Path) -> None:
        traffic = Traffic(tmp_path / "endpoints.json", base_environment(), tmp_path / "load.log")
        await traffic.start(5)
        assert traffic._process is not None
        traffic._process.kill()
        async with asyncio.timeout(20):
            while traffic.trouble is None:
                await asyncio.sleep(0.05)
        assert traffic.trouble.startswith("the load generator ended with code -9; see ")
        await traffic.stop()

    def test_availability_counts_what_was_finished(self) -> None:
        seen = Seen()
        assert seen.availability is None
        line = {"sent": 5, "ok": 3, "failed": 1, "retried": 2, "p99_ms": 7.0, "errors": {"x": 1}}
        seen.add(line)
        seen.add({**line, "p99_ms": None})
        assert (seen.availability, seen.retried, seen.slowest_p99_ms, seen.errors) == (75.0, 4, 7.0, {"x": 2})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


class TestReceiver:
    async def test_keeps_and_shows_what_is_posted(self, receiver: Receiver) -> None:
        seen: list[Posted] = []
        receiver.show = seen.append
        async with httpx2.AsyncClient() as client:
            answer = await client.post(receiver.url, json={"channel": "#ops", "text": "hi"})
        assert (answer.status_code, answer.text) == (200, "ok")
        assert [(message.channel, message.text) for message in receiver.messages] == [("#ops", "hi")]
        assert seen == receiver.messages

    @pytest.mark.parametrize("body", ["", "nonsense", "[]", '{"channel": "x"}'])
    async def test_refuses_what_slack_would(self, receiver: Receiver, body: str) -> None:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(receiver.url, content=body)
            assert (await client.get(receiver.url)).status_code == 400
        assert answer.status_code == 400
        assert receiver.messages == []


class TestDisplay:
    def test_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        with shown(Output(), lambda: "gauges", time.time()) as display:
            display.begin("killing it")
            display.note("almost")
            display.done("killed")
            display.begin("repairing it")
            display.failed("too late")
            display.posted(Posted(0.0, "#ops", "hi"))
        lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
        assert lines == [
            "... killing it",
            "ok  killed",
            "... repairing it",
            "NOT repairing it: too late",
            "    Slack #ops: hi",
        ]

    def test_nothing_with_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        with shown(Output(as_json=True), lambda: "", 0.0) as display:
            assert isinstance(display, Silent)
            display.begin("x")
            display.note("x")
            display.done("x")
            display.failed("x")
            display.posted(Posted(0.0, "x", "y"))
        assert capsys.readouterr().out == ""

    def test_a_picture(self) -> None:
        picture = Picture(lambda: "2 replicas", time.time())
        picture.failed("nothing has begun")
        picture.begin("killing it")
        picture.done("killed \x1b[31m")
        picture.begin("repairing it")
        picture.note("CPU 90 %")
        picture.posted(Posted(0.0, "#ops", "hi"))
        screen = io.StringIO()
        Console(file=screen, width=70).print(picture)
        text = screen.getvalue()
        assert "killed \\x1b[31m" in text
        assert "repairing it  CPU 90 %" in text
        assert "2 replicas" in text
        assert "Slack #ops: hi" in text
        picture.failed("too late")
        Console(file=screen, width=70).print(picture)
        assert "too late" in screen.getvalue()


def test_the_programs_end_with_their_parent(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "automation.demo.load", "--endpoints", str(tmp_path / "none.json")]
    with subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE) as process:
        os.close(reading)
        os.close(writing)
        assert process.wait(20) == 0
