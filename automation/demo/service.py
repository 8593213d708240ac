"""`playback-api`, the small streaming service of the demonstration: `python -m automation.demo.service --port N`.

GET /health answers at once; /play burns the asked-for milliseconds of CPU by hashing and answers JSON; /metrics counts.
Of the standard library alone, so that a replica is up in a fraction of a second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_BLOCK = b"x" * 16_384
_METRICS = """# HELP playback_requests_total Requests to /play answered.
# TYPE playback_requests_total counter
playback_requests_total {requests}
# HELP playback_cpu_seconds_total Processor time used by this replica.
# TYPE playback_cpu_seconds_total counter
playback_cpu_seconds_total {cpu:.6f}
"""


def burn(milliseconds: float) -> str:
    """Hash until this thread has used that much processor time; what other threads use does not count."""
    end = time.thread_time() + milliseconds / 1000
    digest = hashlib.sha256()
    while time.thread_time() < end:
        digest.update(_BLOCK)
    return digest.hexdigest()


class Service(ThreadingHTTPServer):
    """The server of one replica."""

    # The default of 5 refuses callers in the short bursts of a busy machine.
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, port: int, work_ms: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.work_ms = work_ms
        self.requests = 0
        self.lock = threading.Lock()

    def drain(self, seconds: float) -> None:
        """Go on answering for that long, so that callers learn of other replicas, then stop."""
        time.sleep(seconds)
        self.shutdown()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Service
    timeout = 5.0

    def do_GET(self) -> None:
        """Answer by path."""
        if self.path == "/health":
            self._answer(200, json.dumps({"status": "ok"}))
        elif self.path == "/play":
            with self.server.lock:
                self.server.requests += 1
            track = burn(self.server.work_ms)[:12]
            self._answer(200, json.dumps({"track": track, "replica": os.environ.get("REPLICA_ID"), "pid": os.getpid()}))
        elif self.path == "/metrics":
            text = _METRICS.format(requests=self.server.requests, cpu=time.process_time())
            self._answer(200, text, "text/plain; version=0.0.4")
        else:
            self._answer(404, json.dumps({"error": f"there is no {self.path}"}))

    def _answer(self, status: int, text: str, kind: str = "application/json") -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Requests are counted, not logged."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM, then for the drain time."""
    parser = argparse.ArgumentParser(prog="automation.demo.service", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--work-ms", type=float, default=10.0, help="CPU milliseconds that /play burns")
    parser.add_argument("--drain", type=float, default=0.5, help="seconds to go on answering after SIGTERM")
    chosen = parser.parse_args(arguments)
    server = Service(chosen.port, chosen.work_ms)

    def stop(*_: object) -> None:
        # serve_forever runs in this very thread, and shutdown() waits for its end.
        threading.Thread(target=server.drain, args=(chosen.drain,), daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(f"playback-api listens on 127.0.0.1:{server.server_port}", flush=True)
    with server:
        server.serve_forever(poll_interval=0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
