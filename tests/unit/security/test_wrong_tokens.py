from __future__ import annotations

import asyncio

import pytest

from automation.config import Audit, Security
from automation.errors import StoreUnavailable, TooManyRequests, Unauthenticated
from automation.security.tokens import Tokens
from automation.store.records import verify_audit
from automation.store.store import Store

HERE = {"address": "192.0.2.7", "path": "/api/v1/workflows"}
WRONG = "aut_" + "x" * 43


async def issued(tokens: Tokens, *roles: str, expires_in: float | None = None) -> str:
    return await tokens.issue("deploy", roles or ("automation_viewer",), expires_in=expires_in, actor="local")


async def wrong(tokens: Tokens, times: int = 1, address: str = "192.0.2.7") -> list[type[Exception]]:
    seen = []
    for _ in range(times):
        try:
            await tokens.authenticate(WRONG, address=address, path="/")
        except (Unauthenticated, TooManyRequests) as error:
            seen.append(type(error))
    return seen


async def test_too_many_wrong_tokens_hold_an_address_back_for_a_minute(tokens, clock):
    text = await issued(tokens)
    assert await wrong(tokens, 2) == [Unauthenticated] * 2
    await clock.advance(20)
    assert await wrong(tokens, 2) == [Unauthenticated, TooManyRequests]

    with pytest.raises(TooManyRequests) as caught:
        await tokens.authenticate(text, **HERE)
    assert caught.value.retry_after == 40
    assert caught.value.message == "too many requests; try again in 40 s"
    assert (await tokens.authenticate(text, address="192.0.2.8", path="/")).name == "deploy"

    await clock.advance(40)
    assert (await tokens.authenticate(text, **HERE)).name == "deploy"


async def test_a_recognised_token_is_held_back_as_well(tokens):
    text = await issued(tokens)
    await tokens.authenticate(text, **HERE)
    await wrong(tokens, 3)

    with pytest.raises(TooManyRequests):
        await tokens.authenticate(text, **HERE)


async def test_expired_tokens_count_so_that_the_limit_tells_nothing(tokens, clock):
    text = await issued(tokens, expires_in=1)
    await clock.advance(1)
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await tokens.authenticate(text, **HERE)

    with pytest.raises(TooManyRequests):
        await tokens.authenticate(text, **HERE)


async def test_requests_at_the_same_time_do_not_slip_past_the_limit(tokens, audited):
    results = await asyncio.gather(*(wrong(tokens) for _ in range(30)))

    assert [kind for (kind,) in results].count(Unauthenticated) == 3
    assert len(await audited()) == 4


async def test_a_burst_is_audited_once_and_summarised_with_the_next_request_a_minute_later(tokens, clock, audited):
    text = await issued(tokens)
    await wrong(tokens, 103)

    rows = await audited()
    assert [row.detail.get("reason") for row in rows[1:]] == ["unknown"] * 3 + ["too many wrong tokens"]

    await clock.advance(61)
    await tokens.authenticate(text, **HERE)

    row = (await audited())[-1]
    assert (row.actor, row.act, row.outcome) == ("system", "refusals.summary", "refused")
    assert row.detail == {"count": 99, "seconds": 61, "by": {"address:192.0.2.7": 99}}
    assert len(await audited()) == 6


async def test_what_was_only_counted_is_written_when_the_engine_stops(tokens, audited):
    await wrong(tokens, 10)

    await tokens.close()
    await tokens.close()

    rows = await audited()
    assert [row.act for row in rows] == ["authenticate"] * 4 + ["refusals.summary"]
    assert rows[-1].detail["count"] == 6


async def test_many_addresses_cannot_fill_the_disk(tokens, audited, clock):
    for number in range(400):
        await wrong(tokens, address=f"2001:db8:0:{number:x}::1")
    await tokens.close()

    rows = await audited()
    assert len(rows) == 301
    assert rows[-1].detail["count"] == 100
    assert len(rows[-1].detail["by"]) == 20


async def test_a_full_disk_neither_lets_in_nor_keeps_out(tokens, store, clock, audited, monkeypatch):
    text = await issued(tokens)
    write = store.backend.write

    async def full(units):
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store.backend, "write", full)
    assert await wrong(tokens, 2) == [Unauthenticated] * 2
    await clock.advance(61)
    assert (await tokens.authenticate(text, **HERE)).name == "deploy"

    monkeypatch.setattr(store.backend, "write", write)
    await clock.advance(61)
    await tokens.authenticate(text, **HERE)
    assert (await audited())[-1].detail["count"] == 2


async def test_nothing_is_written_where_access_attempts_are_not_audited(tmp_path, clock):
    store = Store(f"sqlite:///{tmp_path / 'quiet.db'}", audit=Audit(events_to_audit=("configuration_change",)))
    await store.open()
    tokens = Tokens(store, Security(failed_attempts=3), clock)

    await wrong(tokens, 10)
    await tokens.close()
    await issued(tokens)

    assert (await verify_audit(store))[0] == 1
    await store.close()
