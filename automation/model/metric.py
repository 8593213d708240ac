"""A metric sample."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from automation.errors import InputError


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value of the metric `name` for `subject` (a service, a host), with further `labels`."""

    name: str
    value: float
    subject: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    time: float = msgspec.field(default_factory=time.time)


def is_plain(sample: Sample) -> bool:
    """Whether a sample has plain numbers already, as nearly all have."""
    return (
        type(sample) is Sample
        and type(sample.value) is float
        and type(sample.time) is float
        and type(sample.labels) is dict
    )


def plain(sample: object) -> Sample:
    """The sample with plain numbers; raises InputError that says what of it is none.

    True and False are 1 and 0. A Decimal, or a number of numpy, is the float that it says it is.
    """
    if not isinstance(sample, Sample):
        raise InputError(f"must be a Sample, such as Sample(name='load', value=1.5), not {type(sample).__name__}")
    if not isinstance(sample.labels, Mapping):
        raise InputError(f"labels must be a mapping, not {type(sample.labels).__name__}")
    value = _number(sample.value, "value", "float(...) makes a number of a text")
    moment = _number(sample.time, "time", "seconds since the epoch, such as time.time()")
    return msgspec.structs.replace(sample, value=value, time=moment, labels=dict(sample.labels))


def _number(value: object, what: str, hint: str) -> float:
    given = f"{value!r:.60}"
    if isinstance(value, str | bytes | bytearray) or not hasattr(value, "__float__"):
        raise InputError(f"{what} must be a number, not {given} ({type(value).__name__}): {hint}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be a number, not {given} ({type(value).__name__}): {error}") from None
    return value if type(value) is int else number


class Bucket(msgspec.Struct, frozen=True):
    """The samples of one series within a stretch of time, in so few numbers that two of them can be made one."""

    start: float
    """Seconds since the epoch, a multiple of the bucket's length."""
    count: int
    total: float
    least: float
    most: float
    first: float
    last: float
    rise: float
    """What a counter has gone up by, from the last sample before the bucket on; where it is less than before, it has
    started again from 0."""


KEPT_SECONDS = 3600.0
"""For how long recent samples are kept in memory, in seconds."""

LONGEST_WINDOW = 90 * 86_400.0
"""The longest window of a condition, in seconds: what memory does not reach is answered from the history."""


class MetricInfo(msgspec.Struct, frozen=True):
    """What a metric of ours measures."""

    unit: str
    """`percent`, `bytes`, `seconds`, `days`, `ratio` (0 to 1), `count`, or `state` (0 or 1)."""
    meaning: str
    labels: tuple[str, ...] = ()
    """Beside the subject."""


CATALOGUE = {
    "certificate_days_left": MetricInfo("days", "Until a certificate expires; negative afterwards.", ("target",)),
    "cpu_usage": MetricInfo("percent", "Of the cores that a replica may use, mean of the living replicas."),
    "engine_executions": MetricInfo("count", "Executions in a status, 10,001 where there are more.", ("status",)),
    "engine_oldest_unfinished_seconds": MetricInfo(
        "seconds", "Age of the oldest execution that has not ended, whatever it waits for; 0 if all have."
    ),
    "engine_pending_writes": MetricInfo("count", "Writes that wait for the writer."),
    "engine_source_lag": MetricInfo("count", "Items that wait for a source, of those that know.", ("source",)),
    "host_cpu_usage": MetricInfo("percent", "Of all cores, since the round before."),
    "host_disk_usage": MetricInfo("percent", "Of a file system.", ("path",)),
    "host_load1": MetricInfo("count", "Load average of a minute."),
    "host_memory_usage": MetricInfo("percent", "Of the memory that is not available."),
    "memory_bytes": MetricInfo("bytes", "Resident memory of a replica and what it has started.", ("replica",)),
    "probe_latency_seconds": MetricInfo("seconds", "How long an HTTP answer took.", ("target",)),
    "replica_cpu_usage": MetricInfo("percent", "Of the cores that the replica may use.", ("replica",)),
    "replicas": MetricInfo("count", "Living replicas of a service."),
    "service_availability": MetricInfo("ratio", "Share of good probes of a service in a round.", ("monitor",)),
    "service_up": MetricInfo("ratio", "Share of a service's replicas that are well."),
    "tcp_connect_seconds": MetricInfo("seconds", "How long a TCP connection took to be accepted.", ("target",)),
    "tls_handshake_seconds": MetricInfo("seconds", "How long the TLS handshake after that took.", ("target",)),
}
"""The metrics that the built-in collectors measure under names of their own, by name."""

UNITS = {name: info.unit for name, info in CATALOGUE.items()}
"""The units of these metrics: against one in percent, `80%` means 80."""
