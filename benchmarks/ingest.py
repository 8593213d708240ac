"""Events over HTTP: how many a second a server acknowledges that has one core, and what it does with too many."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select

from automation.store.store import Store
from automation.store.tables import events
from benchmarks.figures import Figure, Outcome, percentile
from benchmarks.served import Load, Sent, Served, elsewhere, flood, press, rules, served
from benchmarks.setting import Setting

RULES = 1000
SHAPES = ((100, 8), (1, 32))
"""Events a request, and connections."""
PRESSED = 400
"""Connections under overload: so many that what they send at once is more than the server lets wait."""
TIMES = 3
"""How many times its capacity the server is offered."""
BYTES = 600
"""That an event takes on the disk, with its indexes and its share of the write-ahead log, at most."""


def run(setting: Setting) -> Outcome:
    """Every rule is looked at by some events, one of a hundred starts a workflow of one action; all are kept."""
    seconds, rounds = (2.0, 1) if setting.quick else (10.0, 3)
    figures = asyncio.run(_run(setting, seconds, rounds))
    title = f"events over HTTP, acknowledged when on disk; {RULES:,} rules, {setting.databases.kind}"
    return Outcome("ingest", title, figures, _facts())


async def _run(setting: Setting, seconds: float, rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    async with setting.databases.new(setting.folder) as database:
        with elsewhere(), served(setting.folder, {"workflows": rules(RULES)}, _settings(database.url)) as server:
            for batch, connections in SHAPES:
                await flood(server, Load(f"warm-{batch}", batch, connections, 1.0, RULES))
                found = [
                    await _measured(server, Load(f"events-{batch}-{turn}", batch, connections, seconds, RULES))
                    for turn in range(rounds)
                ]
                figures += _figures(batch, found)
    return figures


def _settings(url: str) -> dict[str, object]:
    return {"database_url": url, "level": "autonomous"}


def _facts() -> dict[str, str]:
    return {
        "processor time": "of the server, all threads: what else the machine does changes the rates more",
        "the server": "`automation serve` on a core of its own where there are two, SIGKILL at the end",
    }


async def _measured(server: Served, load: Load) -> tuple[float, float, list[float]]:
    """Events a second, processor time of the server an event, and the latencies of the requests."""
    begin, processor = time.perf_counter(), server.processor
    sent = await flood(server, load)
    seconds, used = time.perf_counter() - begin, server.processor - processor
    assert not sent.other, sent.other
    return sent.events / seconds, used / sent.events, sent.latencies


def _figures(batch: int, found: Sequence[tuple[float, float, list[float]]]) -> list[Figure]:
    rates = sorted(rate for rate, _, _ in found)
    least = min(processor for _, processor, _ in found)
    latencies = [each for _, _, some in found for each in some]
    name = f"{batch} a request" if batch > 1 else "one a request"
    spread = f"best of {len(rates)}; worst {rates[0]:,.0f}"
    return [
        Figure(f"{name}: events a second", rates[-1], "/s", spread),
        Figure(f"{name}: processor time an event", least * 1e6, "µs", f"{1 / least:,.0f} in a second of it"),
        Figure(f"{name}: an answer, median", percentile(latencies, 0.5) * 1000, "ms"),
        Figure(f"{name}: an answer, p99", percentile(latencies, 0.99) * 1000, "ms"),
    ]


def overload(setting: Setting) -> Outcome:
    """Three times what it takes, then SIGKILL: is all there that was acknowledged?"""
    seconds = 5.0 if setting.quick else 60.0
    setting.need_space(seconds * 40_000 * BYTES)
    return asyncio.run(_overload(setting, seconds))


async def _overload(setting: Setting, seconds: float) -> Outcome:
    batch, connections = SHAPES[0]
    async with setting.databases.new(setting.folder) as database:
        with elsewhere(), served(setting.folder, {"workflows": rules(RULES)}, _settings(database.url)) as server:
            await flood(server, Load("warm", batch, connections, 1.0, RULES))
            capacity, _, _ = await _measured(server, Load("alone", batch, connections, 3.0, RULES))
            rate = TIMES * capacity / batch
            memory = [server.memory]
            parts = []
            begin = time.perf_counter()
            for part in range(2):
                parts.append(await press(server, Load(f"pressed-{part}", batch, PRESSED, seconds / 2, RULES), rate))
                memory.append(server.memory)
            took = time.perf_counter() - begin
        missing = sum([await _missing(database.url, f"pressed-{part}", sent) for part, sent in enumerate(parts)])
    return Outcome(
        "overload",
        f"{TIMES} times what a server takes, for {seconds:g} s, {batch} events a request, {setting.databases.kind}",
        _pressed_figures(capacity, rate, took, parts, memory, missing),
        {"lost": "acknowledged with 202, and not in the database after SIGKILL"},
    )


def _pressed_figures(
    capacity: float, rate: float, took: float, parts: Sequence[Sent], memory: Sequence[float], missing: int
) -> list[Figure]:
    batch = SHAPES[0][0]
    accepted = sum(sent.events for sent in parts)
    pushed_back = sum(sent.pushed_back for sent in parts) * batch
    other = sum(sum(sent.other.values()) for sent in parts)
    latencies = [each for sent in parts for each in sent.latencies]
    not_offered = sum(sent.not_offered for sent in parts) * batch
    return [
        Figure("what it takes", capacity, "/s", "events, with 8 connections that wait for their answers"),
        Figure("offered", rate * batch, "/s", f"{not_offered:,} events found no connection free"),
        Figure("acknowledged", accepted / took, "/s", f"{accepted:,} events"),
        Figure("pushed back", pushed_back / took, "/s", f"{pushed_back:,} events, 429 with Retry-After"),
        Figure("answered otherwise", other, "", "requests"),
        Figure("lost", missing, "", f"of {accepted:,} that were acknowledged"),
        Figure("an answer, p99", percentile(latencies, 0.99) * 1000, "ms", "of the acknowledged"),
        Figure("resident memory before", memory[0] / 1e6, "MB"),
        Figure("resident memory in the middle", memory[1] / 1e6, "MB"),
        Figure("resident memory at the end", memory[2] / 1e6, "MB"),
    ]


async def _missing(url: str, source: str, sent: Sent) -> int:
    """How many of the acknowledged events are not in the database."""
    batch = SHAPES[0][0]
    found: Counter[int] = Counter()
    store = Store(url)
    await store.open()
    try:
        last = 0
        while True:
            query = select(events.c.seq, events.c.id, events.c.source).where(events.c.seq > last)
            rows = await store.fetch(query.order_by(events.c.seq).limit(50_000))
            if not rows:
                break
            last = rows[-1].seq
            found.update(int(row.id) // batch for row in rows if row.source == source)
    finally:
        await store.close()
    return sum(batch - found[numbers.start // batch] for numbers in sent.accepted)
