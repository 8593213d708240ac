"""Choosing a TCP port of the loopback address for a new replica."""

from __future__ import annotations

import socket

from automation.errors import TryLater


def free_port(limits: tuple[int, int] | None, taken: set[int]) -> int:
    """A port nobody listens on and that is not in `taken`: within `limits`, or any. Raises TryLater if there is none.

    Another program may take it before the replica does; the replica then ends while it starts.
    """
    candidates = range(limits[0], limits[1] + 1) if limits else [0] * (len(taken) + 100)
    for candidate in candidates:
        port = _bindable(candidate) if candidate not in taken else None
        if port is not None and port not in taken:
            return port
    raise TryLater(f"no port from {limits[0]} to {limits[1]} is free" if limits else "no port is free")


def _bindable(port: int) -> int | None:
    with socket.socket() as probe:
        # As servers do: else a port whose last connections are just closing would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
