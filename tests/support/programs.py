"""Real programs beside a test: on free loopback ports, logging to files, and gone when the test is."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def program(command: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, with its output in `log`; it is ended on the way out, whatever happens."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until(
    check: Callable[[], Awaitable[Any] | Any], what: str, *, seconds: float = 40.0, log: Path | None = None
) -> Any:
    """What `check` returns once that is true; fails after `seconds` with what was waited for and the end of `log`."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            tail = f"\n{log.read_text(errors='replace')[-3000:]}" if log else ""
            raise AssertionError(f"after {seconds:g} s still not: {what}{tail}")
        await asyncio.sleep(0.05)


async def answering(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once `url` answers 200; fails with the program's log when it ends before."""

    async def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the program ended with {process.returncode}:\n{log.read_text(errors='replace')}")
        try:
            async with httpx2.AsyncClient() as client:
                return (await client.get(url)).status_code == 200
        except httpx2.TransportError:
            return False

    await until(answers, f"{url} answers", log=log)


class Page:
    """What a tiny web server says: the text it answers to GET, and what was posted to it."""

    def __init__(self) -> None:
        self.text = ""
        self.posted: list[bytes] = []
        self.url = ""


@contextmanager
def web_page() -> Iterator[Page]:
    """A web server on a free port, in a thread: GET answers `page.text`, POST is kept in `page.posted`."""
    page = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(page.text.encode())

        def do_POST(self) -> None:
            page.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    page.url = f"127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
