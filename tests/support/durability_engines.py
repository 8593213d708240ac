"""What the engines share that durability tests kill: how they are made, how they tell, and how they die."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from automation import AutomationConfig, AutomationEngine, AutomationLevel
from automation.clock import Clock
from automation.store.writer import Unit
from tests.support import databases

Task = Callable[..., Awaitable[None]]


def say(**facts: Any) -> None:
    """One line, written in one piece."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def config_of(folder: str, **settings: Any) -> AutomationConfig:
    """The folder's database: a file in it, or the one on a server that a file in it names."""
    named = Path(folder, databases.NAMED)
    return AutomationConfig(
        database_url=named.read_text() if named.exists() else f"sqlite:///{folder}/automation.db",
        data_dir=f"{folder}/data",
        level=AutomationLevel.INTELLIGENT,
        max_concurrent_actions=16,
        # Some workflows fail on purpose, again and again; no circuit is to hold them up.
        **{"performance": {"circuit_breaker": {"enabled": False}}, **settings},
    )


def new_engine(folder: str, clock: Clock | None = None, **settings: Any) -> AutomationEngine:
    """An engine on the folder's database."""
    return AutomationEngine(config_of(folder, **settings), clock=clock)


def die_at_write(engine: AutomationEngine, at: int | str, when: str) -> None:
    """Be killed `before` or `after` a transaction: the one of this number, or the first with an audit row of this act.
    Nobody has been told of it in either case.
    """
    backend = engine.store.backend
    backend.write = deadly(backend.write, at, when)  # type: ignore[method-assign]


def deadly(write: Callable[..., Awaitable[None]], at: int | str, when: str) -> Callable[..., Awaitable[None]]:
    """The writing of a backend that does so."""
    number = 0

    async def counted(*arguments: Any) -> None:
        nonlocal number
        number += 1
        units: list[Unit] = arguments[-1]
        last = number == at or any(fact.act == at for unit in units for fact in unit.facts)
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await write(*arguments)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    return counted
