"""A metric sample."""

from __future__ import annotations

import time

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value of the metric `name` for `subject` (a service, a host), with further `labels`."""

    name: str
    value: float
    subject: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    time: float = msgspec.field(default_factory=time.time)


KEPT_SECONDS = 3600.0
"""For how long recent samples are kept in memory, in seconds: the longest window of a condition."""

UNITS = {
    "cpu_usage": "percent",
    "replica_cpu_usage": "percent",
    "host_cpu_usage": "percent",
    "host_memory_usage": "percent",
    "host_disk_usage": "percent",
    "memory_bytes": "bytes",
    "probe_latency_seconds": "seconds",
    "service_up": "ratio",
}
"""The units of the metrics that the built-in collectors measure: against one in percent, `80%` means 80."""
