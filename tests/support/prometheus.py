"""A real Prometheus and a real Alertmanager, each on a free port with its data in a folder of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.support.programs import answering, free_port, program


@asynccontextmanager
async def prometheus(folder: Path, config: dict[str, Any]) -> AsyncIterator[str]:
    """A Prometheus with this configuration, scraping and evaluating each second: its address."""
    timing = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    file = _written(folder / "prometheus.yml", {"global": timing, **config})
    address, log = f"127.0.0.1:{free_port()}", folder / "prometheus.log"
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--web.listen-address={address}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        "--rules.alert.resend-delay=1s",
    ]
    with program(command, log) as process:
        await answering(f"http://{address}/-/ready", process, log)
        yield address


@asynccontextmanager
async def alertmanager(folder: Path, config: dict[str, Any]) -> AsyncIterator[str]:
    """An Alertmanager with this configuration, alone in its cluster: its address."""
    file = _written(folder / "alertmanager.yml", config)
    address, log = f"127.0.0.1:{free_port()}", folder / "alertmanager.log"
    command = [
        "prometheus-alertmanager",
        f"--config.file={file}",
        f"--web.listen-address={address}",
        f"--storage.path={folder / 'alertmanager'}",
        "--cluster.listen-address=",
        "--log.level=debug",
    ]
    with program(command, log) as process:
        await answering(f"http://{address}/-/ready", process, log)
        yield address


async def query(address: str, expression: str) -> list[dict[str, Any]]:
    """The series that an expression of PromQL gives now."""
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"http://{address}/api/v1/query", params={"query": expression})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
    return found


def _written(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file
