"""What a page of a long list takes: each filter, the first page and one far down, in Python and through REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from automation import AutomationEngine, WorkflowStatus
from automation.api.app import create_app
from automation.api.server import Server
from automation.config import Api
from automation.store.pages import Page
from benchmarks import engines, stored
from benchmarks.figures import Figure, Outcome, median, percentile
from benchmarks.history import rows_of
from benchmarks.setting import Setting

DEEP = 0.9
"""The cursor of a page far down leaves this share of the list behind it."""

Query = Callable[..., Awaitable[Page[Any]]]


@dataclass(frozen=True, slots=True)
class Case:
    """One list with one filter."""

    name: str
    path: str
    filters: dict[str, str] = field(default_factory=dict)

    def of(self, engine: AutomationEngine) -> Query:
        """The same question, asked in Python."""
        queries = engine.queries
        ask: Query = {"executions": queries.executions, "events": queries.events, "audit": queries.audit}[self.path]
        filters: dict[str, Any] = dict(self.filters)
        if "status" in filters:
            filters["status"] = WorkflowStatus(filters["status"])
        return lambda cursor, limit: ask(cursor=cursor, limit=limit, **filters)


COMMON, NEVER = stored.name(3), "never-started"
CASES = [
    Case("executions", "executions"),
    Case("executions of a workflow", "executions", {"workflow": COMMON}),
    Case("executions of an unknown workflow", "executions", {"workflow": NEVER}),
    Case("executions that succeeded", "executions", {"status": "succeeded"}),
    Case("executions that failed, a tenth", "executions", {"status": "failed"}),
    Case("executions that were cancelled, none", "executions", {"status": "cancelled"}),
    Case("executions of a workflow that failed", "executions", {"workflow": COMMON, "status": "failed"}),
    Case(
        "executions of a workflow that were cancelled, none", "executions", {"workflow": COMMON, "status": "cancelled"}
    ),
    Case("executions of an unknown workflow that succeeded", "executions", {"workflow": NEVER, "status": "succeeded"}),
    Case("events", "events"),
    Case("events of a type", "events", {"type": "check.3"}),
    Case("audit rows", "audit"),
    Case("audit rows of a kind", "audit", {"kind": "workflow_execution"}),
    Case("audit rows of a kind, few", "audit", {"kind": "configuration_change"}),
]


def run(setting: Setting) -> Outcome:
    """Each case many times, in turns."""
    rows = rows_of(setting)
    database = stored.database(setting, rows)
    times = 3 if setting.quick else 20
    figures = asyncio.run(_run(setting.folder, database, times))
    size = f"{rows:,} executions, {database.stat().st_size / 1e9:.2f} GB"
    return Outcome("listing", f"a page of 100 ({size}), median of {times}, through REST on loopback", figures)


async def _run(folder: Path, database: Path, times: int) -> list[Figure]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    async with engines.engine(folder, f"sqlite:///{database}", api=Api(port=0)) as engine:
        server = Server(engine, create_app(engine))
        await server.start()
        token = await engine.tokens.issue("bench", ["automation_admin"], expires_in=None, actor="local")
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx2.AsyncClient(base_url=f"{server.url}/api/v1", headers=headers, timeout=60)
        try:
            asked = [
                (case, where, cursor) for case in CASES for where, cursor in (await _cursors(engine, case)).items()
            ]
            for turn in range(times + 1):
                for case, where, cursor in asked:
                    direct, rest = await _once(engine, client, case, cursor)
                    if turn:
                        both = found.setdefault(f"{case.name}{where}", ([], []))
                        both[0].append(direct)
                        both[1].append(rest)
            begin = time.perf_counter()
            await engine.queries.execution_counts()
            counted = time.perf_counter() - begin
        finally:
            await client.aclose()
            await server.stop()
    figures = [
        Figure(
            name,
            median(rest) * 1000,
            "ms",
            f"p99 {percentile(rest, 0.99) * 1000:.1f}; without REST {median(direct) * 1000:.1f}",
        )
        for name, (direct, rest) in found.items()
    ]
    figures.append(Figure("executions counted by status", counted * 1000, "ms", "without REST"))
    return figures


async def _cursors(engine: AutomationEngine, case: Case) -> dict[str, str | None]:
    """Where the pages begin that are asked for: at the beginning and, in a long list, far down."""
    following = (await case.of(engine)(None, 1)).next_cursor
    if following is None:
        return {"": None}
    chain, _, number = following.rpartition(":")
    if number.isdecimal():
        # A row's number, for audit rows that of the only chain.
        deep = f"{chain}{':' if chain else ''}{round(int(number) * (1 - DEEP)) + 1}"
    else:
        # An identifier begins with its time; its first eight digits count in units of 65.536 s.
        begins = int(following[:8], 16) - round(DEEP * stored.DAYS * 86_400 / 65.536)
        deep = f"{begins:08x}{following[8:]}"
    return {"": None, ", far down": deep}


async def _once(
    engine: AutomationEngine, client: httpx2.AsyncClient, case: Case, cursor: str | None
) -> tuple[float, float]:
    """Seconds in Python, and through REST."""
    begin = time.perf_counter()
    page = await case.of(engine)(cursor, 100)
    direct = time.perf_counter() - begin
    parameters = {**case.filters, "limit": "100", **({"cursor": cursor} if cursor else {})}
    begin = time.perf_counter()
    answer = await client.get(f"/{case.path}", params=parameters)
    rest = time.perf_counter() - begin
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["items"]) == len(page.items)
    return direct, rest
