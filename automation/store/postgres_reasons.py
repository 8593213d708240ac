"""What PostgreSQL's errors mean for a writer, and how they are told."""

from __future__ import annotations

import socket
import ssl
from enum import Enum, auto

import asyncpg

FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises."""
UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What is raised for values that do not even become a message to the server."""


class Kind(Enum):
    """What to do about an error."""

    REFUSED = auto()
    """These rows will never be taken: tell whoever brought them."""
    AGAIN = auto()
    """Two transactions were in each other's way: try again at once."""
    LOST = auto()
    """The connection is gone: make a new one."""
    UNAVAILABLE = auto()
    """The server cannot take rows now: tell, and try again later."""


_REFUSED = ("22", "23", "54", "426", "427", "428", "42P")
"""Data exception, integrity violation, limit exceeded; a command that is wrong, or names what is not there."""
_TWICE = "21000"
"""One command would have changed a row twice."""
_AGAIN = ("40001", "40P01")
"""Serialization failure, deadlock."""
_LOST = ("08", "57P")
"""Connection exception; shutdown, crash and the like. Also for 57P: what was under way may have been committed."""


def kind(error: BaseException) -> Kind:
    """What to do about an error of the driver."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        if isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError):
            return Kind.LOST
        return Kind.REFUSED if isinstance(error, UNWRITABLE) else Kind.LOST
    if state.startswith(_REFUSED) or state == _TWICE:
        return Kind.REFUSED
    if state in _AGAIN:
        return Kind.AGAIN
    return Kind.LOST if state.startswith(_LOST) else Kind.UNAVAILABLE


def reason(error: BaseException) -> str:
    """The error in words that say what to do."""
    state = str(getattr(error, "sqlstate", None) or "")
    text = " ".join(str(error).split()) or type(error).__name__
    for begin, words in _WORDS.items():
        if state.startswith(begin):
            return words.format(text=text)
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known; correct the host in database_url"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; start the server, or correct host and port in database_url"
    if isinstance(error, TimeoutError):
        return "it does not answer; look at the server, and at the network between"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {text}; see sslmode and sslrootcert in database_url"
    if isinstance(error, OSError):
        return f"the connection failed: {error.strerror or text}; look at the server, and at the network between"
    if isinstance(error, asyncpg.InternalClientError):
        return "the connection broke"
    if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InterfaceError):
        return f"the connection broke: {text}"
    return text


# The same words each time: which file could not grow differs from one attempt to the next, and each would be told.
_WORDS = {
    "25006": "it is read-only: a standby, or set so; name the primary in database_url",
    "28": "{text}; correct user and password in database_url, or pg_hba.conf of the server",
    "3D000": "{text}; make it with: createdb",
    "42501": "{text}; grant it to the user in database_url",
    "53100": "the disk of the server is full; make room (the server's log says where)",
    "53300": "{text}; raise max_connections of the server, or lower performance.database_connection_pool",
    "55P03": "a table is locked by another session; end that one, or wait",
    "57P01": "the server ended the connection: {text}",
    "57P03": "{text}; wait until it is up",
}
