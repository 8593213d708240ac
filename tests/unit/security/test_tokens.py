from __future__ import annotations

import re
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from automation.clock import VirtualClock
from automation.config import Role, Security
from automation.errors import Conflict, InputError, NotFound, StoreUnavailable, Unauthenticated
from automation.security import tokens as module
from automation.security.tokens import CACHE_SECONDS, Tokens
from automation.store.records import verify_audit

HERE = {"address": "192.0.2.7", "path": "/api/v1/workflows"}
WRONG = "aut_" + "x" * 43


async def issued(tokens: Tokens, *roles: str, expires_in: float | None = None) -> str:
    return await tokens.issue("deploy", roles or ("automation_viewer",), expires_in=expires_in, actor="local")


async def test_an_issued_token_names_its_bearer_and_what_it_may_do(tokens):
    text = await issued(tokens, "automation_operator", "automation_operator")

    identity = await tokens.authenticate(text, **HERE)

    assert re.fullmatch(r"aut_[A-Za-z0-9_-]{43}", text)
    assert identity.name == "deploy"
    assert identity.roles == ("automation_operator",)
    assert identity.may("workflows:execute")
    assert not identity.may("workflows:delete")


async def test_only_the_hash_is_stored_and_it_is_never_shown(tokens, store, tmp_path: Path):
    text = await issued(tokens)

    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    (info,) = await tokens.list()

    assert text.encode() not in content
    assert text[4:].encode() not in content
    assert sha256(text.encode()).hexdigest().encode() in content
    assert not hasattr(info, "hash")


async def test_issuing_is_audited_together_with_the_token(tokens, audited):
    await tokens.issue("deploy", ["automation_viewer"], expires_in=60, actor="anna")

    (row,), (info,) = await audited(), await tokens.list()

    assert (row.kind, row.actor, row.act, row.subject, row.outcome) == (
        "configuration_change",
        "anna",
        "token.issue",
        "deploy",
        "ok",
    )
    assert row.detail == {"id": info.id, "roles": ["automation_viewer"], "expires_at": info.created_at + 60}


async def test_a_token_that_cannot_be_stored_leaves_no_audit_row(tokens, store, audited, monkeypatch):
    monkeypatch.setattr(module.secrets, "token_urlsafe", lambda _count: "y" * 43)
    await issued(tokens)

    with pytest.raises(Exception, match="UNIQUE constraint"):
        await issued(tokens)

    assert len(await tokens.list()) == 1
    assert len(await audited()) == 1


@pytest.mark.parametrize(
    ("name", "roles", "expires_in", "message"),
    [
        (
            "x",
            ["viewer"],
            None,
            "roles: there is no role 'viewer'; roles: automation_admin, automation_operator, automation_viewer, "
            "automation_source",
        ),
        ("x", [], None, "roles: a token needs at least one role; roles: automation_admin"),
        ("x", ["automation_viewer"], 0, "expires_in: must be a positive number of seconds, not 0"),
        ("x", ["automation_viewer"], float("nan"), "expires_in: must be a positive number of seconds, not nan"),
        ("x", ["automation_viewer"], float("inf"), "expires_in: must be a positive number of seconds, not inf"),
        ("", ["automation_viewer"], None, "name: '' cannot be the name of a token"),
        ("address:1.2.3.4", ["automation_viewer"], None, "name: 'address:1.2.3.4' cannot be the name of a token"),
        ("local", ["automation_viewer"], None, "and neither of local, system"),
        ("x" * 201, ["automation_viewer"], None, "up to 200 letters"),
    ],
)
async def test_what_cannot_be_issued(tokens, audited, name, roles, expires_in, message):
    with pytest.raises(InputError, match=re.escape(message)):
        await tokens.issue(name, roles, expires_in=expires_in, actor="local")

    assert await tokens.list() == ()
    assert await audited() == []


async def test_a_role_of_the_configuration_can_be_given(store, clock):
    security = Security(roles={"release": Role(permissions=("workflows:execute",))})
    tokens = Tokens(store, security, clock)

    identity = await tokens.authenticate(await issued(tokens, "release"), **HERE)

    assert identity.permissions == {"workflows:execute"}


@pytest.mark.parametrize("text", [None, ""])
async def test_no_token_is_refused_without_being_counted_or_audited(tokens, audited, text):
    for _ in range(20):
        with pytest.raises(Unauthenticated, match="Authorization: Bearer"):
            await tokens.authenticate(text, **HERE)

    assert await audited() == []


@pytest.mark.parametrize("text", [WRONG, "secret", "aut_" + "ü" * 43, "aut_" + "x" * 100_000, "\ud800", "aut_\n"])
async def test_a_wrong_token_is_refused_and_audited_by_address(tokens, audited, text):
    with pytest.raises(Unauthenticated) as caught:
        await tokens.authenticate(text, **HERE)

    (row,) = await audited()
    assert caught.value.message == "a valid token is needed: send it as 'Authorization: Bearer <token>'"
    assert (row.kind, row.actor, row.act, row.subject, row.outcome, row.detail) == (
        "access_attempt",
        "address:192.0.2.7",
        "authenticate",
        "/api/v1/workflows",
        "refused",
        {"reason": "unknown"},
    )


async def test_what_a_stranger_sends_is_bounded_in_the_audit(tokens, audited, store):
    with pytest.raises(Unauthenticated):
        await tokens.authenticate(WRONG, address="a" * 9_999, path="/\ud800" + "p" * 9_999)

    (row,) = await audited()
    assert len(row.subject) == 500
    assert row.subject.startswith("/?ppp")
    assert len(row.actor) == 500
    assert await verify_audit(store) == (1, [])


async def test_an_expired_token_is_refused_with_its_reason_in_the_audit_only(tokens, clock: VirtualClock, audited):
    text = await issued(tokens, expires_in=3)
    await tokens.authenticate(text, **HERE)

    await clock.advance(3)
    with pytest.raises(Unauthenticated) as caught:
        await tokens.authenticate(text, **HERE)

    (info,) = await tokens.list()
    assert "expired" not in caught.value.message
    assert not info.usable(clock.now())
    assert (await audited())[-1].detail == {"reason": "expired", "id": info.id, "name": "deploy"}


async def test_a_revoked_token_is_refused_at_once(tokens, clock: VirtualClock, audited):
    text = await issued(tokens)
    await tokens.authenticate(text, **HERE)
    (info,) = await tokens.list()

    revoked = await tokens.revoke(info.id, "anna")
    with pytest.raises(Unauthenticated):
        await tokens.authenticate(text, **HERE)

    rows = await audited()
    assert revoked.revoked_at == clock.now()
    assert (await tokens.list())[0].revoked_at == clock.now()
    assert (rows[1].kind, rows[1].actor, rows[1].act, rows[1].subject) == (
        "configuration_change",
        "anna",
        "token.revoke",
        "deploy",
    )
    assert rows[2].detail["reason"] == "revoked"


async def test_a_token_can_be_described_by_whoever_has_it(tokens):
    one, two = await issued(tokens), await issued(tokens)
    listed = await tokens.list()

    assert await tokens.describe(one) == listed[0]
    assert await tokens.describe(two) == listed[1]
    with pytest.raises(NotFound, match="there is no such token") as caught:
        await tokens.describe(WRONG)
    assert WRONG not in caught.value.message


async def test_what_cannot_be_revoked(tokens, audited):
    await issued(tokens)
    (info,) = await tokens.list()
    await tokens.revoke(info.id, "anna")

    with pytest.raises(Conflict, match=f"the token {info.id} is revoked already"):
        await tokens.revoke(info.id, "anna")
    for unknown in ("nobody", "no.body"):
        with pytest.raises(NotFound, match=f"there is no token named '{unknown}'"):
            await tokens.revoke(unknown, "anna")

    assert len(await audited()) == 2


async def test_a_recognised_token_is_not_looked_up_again_for_a_while(tokens, clock, store, monkeypatch):
    text = await issued(tokens)
    await tokens.authenticate(text, **HERE)
    asked = []
    fetch = store.backend.fetch
    monkeypatch.setattr(store.backend, "fetch", lambda query: asked.append(query) or fetch(query))

    await clock.advance(CACHE_SECONDS - 0.1)
    await tokens.authenticate(text, **HERE)
    assert asked == []

    await clock.advance(0.1)
    await tokens.authenticate(text, **HERE)
    assert len(asked) == 1


async def test_a_revocation_by_another_process_holds_after_that_while(tokens, clock, store):
    text = await issued(tokens)
    await tokens.authenticate(text, **HERE)
    (info,) = await tokens.list()

    await Tokens(store, Security(), clock).revoke(info.id, "local")
    await clock.advance(CACHE_SECONDS)

    with pytest.raises(Unauthenticated):
        await tokens.authenticate(text, **HERE)


async def test_a_token_read_while_it_was_revoked_is_not_remembered(tokens, store, monkeypatch):
    text = await issued(tokens)
    (info,) = await tokens.list()
    fetch = store.backend.fetch

    async def revoked_meanwhile(query):
        rows = await fetch(query)
        monkeypatch.setattr(store.backend, "fetch", fetch)
        await tokens.revoke(info.id, "local")
        return rows

    monkeypatch.setattr(store.backend, "fetch", revoked_meanwhile)
    await tokens.authenticate(text, **HERE)

    with pytest.raises(Unauthenticated):
        await tokens.authenticate(text, **HERE)


async def test_remembering_is_bounded(tokens, monkeypatch):
    monkeypatch.setattr(module, "_MOST_CACHED", 2)
    texts = [await issued(tokens) for _ in range(5)]

    for text in texts:
        await tokens.authenticate(text, **HERE)

    assert len(tokens._recognised) <= 2


async def test_tokens_are_listed_oldest_first_revoked_ones_too(tokens, clock):
    for name in ("one", "two"):
        await tokens.issue(name, ["automation_viewer"], expires_in=None, actor="local")
        await clock.advance(1)
    await tokens.revoke((await tokens.list())[0].id, "local")

    one, two = await tokens.list()

    assert (one.name, two.name) == ("one", "two")
    assert not one.usable(clock.now())
    assert two.usable(clock.now())


async def test_a_role_that_was_removed_from_the_configuration_may_do_nothing(store, clock):
    before = Tokens(store, Security(roles={"release": Role(permissions=("workflows:execute",))}), clock)
    text = await issued(before, "release")

    identity = await Tokens(store, Security(), clock).authenticate(text, **HERE)

    assert identity.permissions == frozenset()


async def test_a_database_that_cannot_be_read_is_no_wrong_token(tokens, store, monkeypatch):
    text = await issued(tokens)

    async def broken(query):
        raise StoreUnavailable("cannot read") from sqlite3.OperationalError()

    monkeypatch.setattr(store.backend, "fetch", broken)
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await tokens.authenticate(text, **HERE)
