"""One performance of the demonstration, from the empty folder to the table at the end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automation.cli.output import Output
from automation.demo import report
from automation.demo.display import shown
from automation.demo.facts import Facts, judge, read_facts
from automation.demo.stage import SERVICE, Stage, log_tail, stage, working_folder
from automation.demo.story import NotHappened, Story
from automation.engine import AutomationEngine
from automation.errors import AutomationError

if TYPE_CHECKING:
    from automation.api.server import Server

LIMIT_SECONDS = 80.0
"""How long the story may take in all."""
TERMINATED = 128 + signal.SIGTERM
"""The exit code after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Options:
    """How it is performed."""

    keep: bool = False
    port: int = 8080
    directory: Path | None = None


async def perform(out: Output, options: Options) -> int:
    """Play the story, print the table; 0 if all of it really happened, 1 if not."""
    directory = working_folder(options.directory or Path(tempfile.mkdtemp(prefix="automation-demo-")))
    wanted = True
    try:
        with ended_by_sigterm() as terminated:
            done = await _perform(out, options, directory)
        # What went wrong can be looked into.
        wanted = options.directory is not None or not done
        return 0 if done else 1
    except AutomationError:
        wanted = options.directory is not None
        raise
    except asyncio.CancelledError:
        wanted = options.directory is not None
        if not terminated.is_set():
            raise
        return TERMINATED
    finally:
        if not wanted:
            shutil.rmtree(directory, ignore_errors=True)
        elif not out.as_json:
            out.line(f"What was written is in {directory}")


async def _perform(out: Output, options: Options, directory: Path) -> bool:
    began = time.monotonic()
    console = _Console() if options.keep else None
    async with AsyncExitStack() as stack:
        prepare = console.bind if console else lambda engine: None
        scene = await stack.enter_async_context(stage(directory, options.port, prepare))
        if console:
            stack.push_async_callback(console.stop)
            await console.start(out, scene)
        trouble = await _play(out, scene)
        facts = await read_facts(scene.engine.queries, audit=True)
        missing = judge(facts) + ([trouble] if trouble else [])
        _tell(out, facts, missing, scene, time.monotonic() - began)
        if console and not missing:
            await console.stay(out)
    return not missing


async def _play(out: Output, scene: Stage) -> str | None:
    """What went wrong with the story, or None."""
    with shown(out, lambda: _gauges(scene), scene.began) as display:
        scene.receiver.show = display.posted
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await Story(scene, display).play()
        except NotHappened as error:
            display.failed(error.message)
            return error.message
        except TimeoutError:
            text = f"the story took longer than {LIMIT_SECONDS:g} s"
            display.failed(text)
            return text
    return None


def _gauges(scene: Stage) -> str:
    replicas, cpu = scene.measured("replicas"), scene.measured("cpu_usage")
    parts = [] if replicas is None else [f"{replicas:.0f} replicas alive"]
    if cpu is not None:
        parts.append(f"CPU {cpu:.0f} %")
    if scene.traffic.seconds:
        last = scene.traffic.seconds[-1]
        parts.append(f"{last['sent']} requests a second, {last['failed']} failed, {last['retried']} tried again")
    return "   ".join(parts)


def _tell(out: Output, facts: Facts, missing: list[str], scene: Stage, seconds: float) -> None:
    if out.as_json:
        out.document(report.document(facts, missing, seconds))
        return
    out.line()
    report.show(out, facts, scene.began)
    if missing:
        print(f"error: not all of it happened: {'; '.join(missing)}", file=sys.stderr)
        print(log_tail(scene.directory), file=sys.stderr)
    else:
        out.line(f"All of it really happened, in {seconds:.0f} s.")


class _Console:
    """The REST interface and the console of the engine, for `--keep`."""

    def __init__(self) -> None:
        self._server: Server | None = None

    def bind(self, engine: AutomationEngine) -> None:
        """Take the port before anything is started; raises ConfigurationError."""
        from automation.api.server import Server
        from automation.console.app import application

        self._server = Server(engine, application(engine))
        self._server.bind()

    async def start(self, out: Output, scene: Stage) -> None:
        """Begin to answer, and say where."""
        assert self._server is not None
        token_file = scene.directory / "admin.token"
        await scene.engine.tokens.ensure_admin(token_file)
        await self._server.start()
        if not out.as_json:
            out.line(f"The console is at {self._server.url}; the token to sign in with is in {token_file}")

    async def stay(self, out: Output) -> None:
        """Return on Ctrl-C."""
        from automation.cli.serving import stopping

        if not out.as_json:
            out.line(f"Engine, console and {SERVICE} stay up until Ctrl-C.")
        with stopping() as stop:
            await stop.wait()

    async def stop(self) -> None:
        """Give the port back."""
        assert self._server is not None
        await self._server.stop()


@contextmanager
def ended_by_sigterm() -> Iterator[asyncio.Event]:
    """Have SIGTERM end this task, with everything that it started, and not just the program; says whether it came."""
    task = asyncio.current_task()
    assert task is not None
    terminated = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        terminated.set()
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield terminated
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
