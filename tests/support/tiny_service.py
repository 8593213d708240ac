"""A service for tests, of the standard library alone: `python tiny_service.py PORT [option ...]`.

GET /health answers 200, or 503 while the file of `--sick FILE` exists; /whoami answers the replica's id and pid;
/metrics some Prometheus text. `--ignore-term` does not end on SIGTERM, `--child` starts a child that outlives it,
`--spin` burns CPU, `--late SECONDS` listens only then, `--unwell` is never healthy.
"""

import os
import signal
import socketserver
import sys
import threading
import time

METRICS = """# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{queue="a b",host="h1"} 3
jobs_total{queue="c\\"d",host="h2"} 4.5
# TYPE temperature gauge
temperature NaN
"""


class Handler(socketserver.StreamRequestHandler):
    """Just enough of HTTP/1.1 for a GET; `http.server` would make each start three times as long."""

    def handle(self) -> None:
        path = self.rfile.readline().decode().split(" ")[1]
        while self.rfile.readline().strip():
            pass
        if path == "/health":
            sick = "--unwell" in sys.argv or ("--sick" in sys.argv and os.path.exists(option("--sick")))
            self.answer("503 Service Unavailable" if sick else "200 OK", "sick" if sick else "well")
        elif path == "/whoami":
            self.answer("200 OK", f"{os.environ.get('REPLICA_ID')} {os.getpid()}")
        elif path == "/metrics":
            self.answer("200 OK", METRICS)
        else:
            self.answer("404 Not Found", "nothing here")

    def answer(self, status: str, text: str) -> None:
        content = text.encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + content)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def main() -> None:
    if "--ignore-term" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--child" in sys.argv:
        import subprocess

        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    if "--late" in sys.argv:
        time.sleep(float(option("--late")))
    if "--spin" in sys.argv:
        threading.Thread(target=spin, daemon=True).start()
    print("listening on", sys.argv[1], flush=True)
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


def spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()
