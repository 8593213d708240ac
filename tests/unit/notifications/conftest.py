"""A receiver of webhooks on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SECRET_PATH = "services/T0000/B0000/XXXXsecretXXXX"


@dataclass
class Receiver:
    """What arrived, and what is answered: `status`, `body` and `headers`, or nothing within the time."""

    server: ThreadingHTTPServer
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{SECRET_PATH}"

    @property
    def json(self) -> list[Any]:
        """The bodies that arrived."""
        return [json.loads(body) for _, _, body in self.requests]


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        receiver = self.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        if receiver.silent:
            receiver.released.wait(10)
            self.close_connection = True
            return
        self.send_response(receiver.status)
        for key, value in receiver.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(receiver.body)))
        self.end_headers()
        try:
            self.wfile.write(receiver.body)
        except ConnectionError:
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        handler.receiver = Receiver(server)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler.receiver  # type: ignore[attr-defined]
        handler.receiver.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
