"""Processes of the operating system."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from automation.infrastructure.processes import machine

_TELL = "from automation.infrastructure.processes import machine; print(machine())"


def test_a_container_is_a_machine_of_its_own_though_it_shares_the_name() -> None:
    """Where pids mean something else, a process that is not found there is not dead."""
    command = [sys.executable, "-c", _TELL]
    here = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    there = subprocess.run(["unshare", "--pid", "--fork", *command], capture_output=True, text=True)
    if there.returncode != 0:
        pytest.skip(f"no namespace can be made here: {there.stderr.strip()}")

    assert here == machine()
    assert there.stdout.strip().startswith(f"{socket.gethostname()} pid:[")
    assert there.stdout.strip() != here
