from __future__ import annotations

import pytest

from automation.clock import VirtualClock
from automation.config import Security
from automation.errors import TooManyRequests, Unauthenticated
from automation.security.tokens import CACHE_SECONDS, Tokens

HERE = {"address": "192.0.2.7", "path": "/console"}


async def issued(tokens: Tokens, expires_in: float | None = None) -> str:
    return await tokens.issue("anna", ["automation_operator"], expires_in=expires_in, actor="local")


async def test_a_session_has_the_name_and_roles_of_its_token(tokens, audited):
    session, seconds = await tokens.open_session(await issued(tokens), "192.0.2.7")

    identity = await tokens.authenticate_session(session, **HERE)

    row = (await audited())[-1]
    (info,) = await tokens.list("session")
    assert seconds == 12 * 3600
    assert (identity.name, identity.roles) == ("anna", ("automation_operator",))
    assert identity.may("workflows:execute")
    assert (row.kind, row.actor, row.act, row.subject, row.outcome) == (
        "access_attempt",
        "anna",
        "session.open",
        "anna",
        "ok",
    )
    assert row.detail == {"id": info.id, "address": "192.0.2.7"}


async def test_a_session_is_not_opened_with_a_wrong_token(tokens, audited):
    with pytest.raises(Unauthenticated):
        await tokens.open_session("aut_" + "x" * 43, "192.0.2.7")
    with pytest.raises(Unauthenticated):
        await tokens.open_session(None, "192.0.2.7")

    (row,) = await audited()
    assert (row.act, row.subject, row.outcome) == ("authenticate", "session", "refused")


async def test_a_session_is_no_token_and_a_token_no_session(tokens):
    token = await issued(tokens)
    session, _ = await tokens.open_session(token, "192.0.2.7")
    await tokens.authenticate_session(session, **HERE)

    with pytest.raises(Unauthenticated):
        await tokens.authenticate(session, **HERE)
    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(token, **HERE)
    with pytest.raises(Unauthenticated):
        await tokens.open_session(session, "192.0.2.7")


async def test_a_session_ends_by_itself(store, clock: VirtualClock):
    tokens = Tokens(store, Security(session_hours=0.5), clock)
    session, seconds = await tokens.open_session(await issued(tokens), "192.0.2.7")

    await clock.advance(seconds - 1)
    await tokens.authenticate_session(session, **HERE)
    await clock.advance(1)

    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(session, **HERE)


async def test_a_session_does_not_outlive_its_token(tokens, clock: VirtualClock):
    session, seconds = await tokens.open_session(await issued(tokens, expires_in=90), "192.0.2.7")
    assert seconds == 90

    await clock.advance(90)

    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(session, **HERE)


async def test_revoking_a_token_ends_its_sessions(tokens, store, clock: VirtualClock):
    session, _ = await tokens.open_session(await issued(tokens), "192.0.2.7")
    other, _ = await tokens.open_session(await issued(tokens), "192.0.2.7")
    await tokens.authenticate_session(session, **HERE)
    first, _ = await tokens.list()

    await tokens.revoke(first.id, "local")

    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(session, **HERE)
    assert (await tokens.authenticate_session(other, **HERE)).name == "anna"


async def test_a_token_revoked_by_another_process_ends_its_sessions_too(tokens, store, clock: VirtualClock):
    session, _ = await tokens.open_session(await issued(tokens), "192.0.2.7")
    await tokens.authenticate_session(session, **HERE)

    await Tokens(store, Security(), clock).revoke((await tokens.list())[0].id, "local")
    await clock.advance(CACHE_SECONDS)

    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(session, **HERE)


async def test_one_session_can_be_revoked(tokens):
    token = await issued(tokens)
    session, _ = await tokens.open_session(token, "192.0.2.7")
    (info,) = await tokens.list("session")

    await tokens.revoke(info.id, "local")

    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(session, **HERE)
    assert (await tokens.authenticate(token, **HERE)).name == "anna"


async def test_signing_out_ends_the_session_and_is_audited_once(tokens, audited):
    session, _ = await tokens.open_session(await issued(tokens), "192.0.2.7")
    await tokens.authenticate_session(session, **HERE)

    for _ in range(2):
        await tokens.close_session(session)

    rows = await audited()
    assert [row.act for row in rows] == ["token.issue", "session.open", "session.close"]
    with pytest.raises(Unauthenticated):
        await tokens.authenticate_session(session, **HERE)


async def test_signing_out_of_nothing_is_no_error(tokens, audited):
    token = await issued(tokens)
    for text in (None, "", "aus_" + "x" * 43, token):
        await tokens.close_session(text)

    assert [row.act for row in await audited()] == ["token.issue"]
    assert (await tokens.authenticate(token, **HERE)).name == "anna"


async def test_a_page_left_open_does_not_lock_its_address_out(tokens, clock: VirtualClock, audited):
    session, seconds = await tokens.open_session(await issued(tokens), "192.0.2.7")
    await clock.advance(seconds)

    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await tokens.authenticate_session(session, **HERE)

    assert len(await audited()) == 2


async def test_guessed_sessions_count_as_wrong_tokens_do(tokens, audited):
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await tokens.authenticate_session("aus_" + "x" * 43, **HERE)
    with pytest.raises(TooManyRequests):
        await tokens.authenticate_session("aus_" + "x" * 43, **HERE)

    assert len(await audited()) == 4
