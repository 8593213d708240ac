"""What a platform remembers of its replicas: one JSON file each, so that a later engine finds them again.

Blocking: call these in a thread.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from automation.errors import AutomationError
from automation.infrastructure.files import remove, write_json

KEPT_LOGS = 5
"""How many logs of ended replicas are kept for each service."""


class ReplicaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as recorded. Only a `ready` one is shown; the others are on their way in or out."""

    id: str
    service: str
    state: Literal["starting", "ready", "stopping"]
    log: str
    started_at: float
    pid: int | None = None
    birth: str | None = None
    """Boot and tick at which the process began: what tells it from a later one with the same pid."""
    port: int | None = None
    address: str | None = None
    replaces: str | None = None
    """The replica that goes once this one is ready."""


class ReplicaRecords:
    """The records of all services under one folder."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def folder(self, service: str) -> Path:
        """Where the files of a service are."""
        return self._home / service

    def log_path(self, service: str, replica: str) -> Path:
        """Where a replica's output goes."""
        return self.folder(service) / f"{replica}.log"

    def all(self, service: str) -> list[ReplicaRecord]:
        """The records of a service, oldest first; raises AutomationError for a file that is none."""
        # Names are matched exactly: the folder holds other JSON files, and a service may be called "endpoints".
        wanted = re.compile(re.escape(service) + r"-[0-9a-f]{8}\.json")
        found = []
        try:
            names = [entry.name for entry in os.scandir(self.folder(service))]
        except FileNotFoundError:
            return []
        for name in names:
            record = self._read(self.folder(service) / name) if wanted.fullmatch(name) else None
            if record is not None:
                found.append(record)
        return sorted(found, key=lambda record: (record.started_at, record.id))

    def ports(self) -> set[int]:
        """The ports of all recorded replicas of all services."""
        if not self._home.is_dir():
            return set()
        services = [entry.name for entry in os.scandir(self._home) if entry.is_dir()]
        return {record.port for service in services for record in self.all(service) if record.port is not None}

    def find(self, service: str, replica: str) -> ReplicaRecord | None:
        """One record, or None."""
        return self._read(self.folder(service) / f"{replica}.json")

    def save(self, record: ReplicaRecord) -> None:
        """Durably write a record."""
        write_json(self.folder(record.service) / f"{record.id}.json", record)

    def delete(self, record: ReplicaRecord) -> None:
        """Durably remove a record; its log becomes `<replica>.log.1`, of which the newest few are kept."""
        remove(self.folder(record.service) / f"{record.id}.json")
        log = Path(record.log)
        if log.exists():
            # The newest by when the replica ended, not by when it last wrote.
            log.replace(log.with_name(log.name + ".1")).touch()
        ended = sorted(log.parent.glob("*.log.1"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in ended[KEPT_LOGS:]:
            path.unlink(missing_ok=True)

    def log_tail(self, record: ReplicaRecord, lines: int = 15, limit: int = 4096) -> str:
        """The last lines of a replica's output."""
        try:
            with Path(record.log).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
                text = file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def publish(self, service: str, addresses: list[str], now: float) -> None:
        """Write `endpoints.json` for load balancers and clients, unless it already says this."""
        path = self.folder(service) / "endpoints.json"
        try:
            known = msgspec.json.decode(path.read_bytes())["addresses"]
        except FileNotFoundError:
            known = []
        except (msgspec.DecodeError, KeyError, TypeError):
            known = None
        if known != addresses:
            write_json(path, {"service": service, "addresses": addresses, "updated_at": now})

    def try_lock(self, service: str) -> int | None:
        """Take the lock of a service against other programs: a handle to close, or None while another has it."""
        self.folder(service).mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder(service) / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _read(self, path: Path) -> ReplicaRecord | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=ReplicaRecord)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise AutomationError(f"{path}: not a record of a replica: {error}") from None
