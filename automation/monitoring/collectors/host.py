"""The `host` collector: what this machine uses."""

from __future__ import annotations

import asyncio
import socket

import psutil
from pydantic import BaseModel, ConfigDict

from automation.model.metric import Sample
from automation.monitoring.collector import Observations, Probe
from automation.plugins import collector


class HostCollector(BaseModel):
    """What of this machine is measured."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    disks: tuple[str, ...] = ("/",)
    """Paths; the file system of each is measured."""
    subject: str = ""
    """The subject of the samples; by default the name of this machine."""


@collector("host")
async def host(settings: HostCollector, probe: Probe) -> Observations:
    """Measure this machine: `host_cpu_usage`, `host_memory_usage`, `host_disk_usage` (label `path`), in percent, and
    `host_load1`.

    CPU is the share of the time since the round before, so it comes from the second round on.
    """
    found = Observations()
    subject = settings.subject or socket.gethostname()
    now = probe.clock.now()

    def sample(name: str, value: float, **labels: str) -> None:
        found.samples.append(Sample(name=name, value=value, subject=subject, labels=labels, time=now))

    busy, total = await asyncio.to_thread(_cpu_times)
    busy_before, total_before = probe.previous.get("cpu", (busy, total))
    if total > total_before:
        share = 100.0 * (busy - busy_before) / (total - total_before)
        sample("host_cpu_usage", min(100.0, max(0.0, share)))
    probe.previous["cpu"] = (busy, total)
    sample("host_memory_usage", (await asyncio.to_thread(psutil.virtual_memory)).percent)
    sample("host_load1", psutil.getloadavg()[0])
    for path in settings.disks:
        try:
            sample("host_disk_usage", (await asyncio.to_thread(psutil.disk_usage, path)).percent, path=path)
        except OSError as error:
            found.problems.append(f"{path}: {error.strerror}")
    return found


def _cpu_times() -> tuple[float, float]:
    # Not psutil.cpu_percent: it keeps one memory for the whole process, which two engines would share.
    times = psutil.cpu_times()
    # Guests' time is a part of "user" already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total
