"""Tokens of programs and sessions of people: issued, recognised, revoked; each of it audited.

What is audited of accesses: each refused one (within the bounds of `refusals`), and each opened and closed session.
A request with a valid token is not: there would be a row for every scrape and every poll of a browser, and what such
a request does is audited where it is done.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from automation.clock import Clock
from automation.config import Security
from automation.errors import Conflict, InputError, NotFound, TooManyRequests, Unauthenticated
from automation.model.identity import Identity
from automation.model.ids import new_id
from automation.security.attempts import FailedAttempts
from automation.security.private_file import write_private
from automation.security.refusals import Refusals
from automation.store import statements
from automation.store.audit import Fact
from automation.store.records import Token, all_tokens, token_by_hash
from automation.store.statement import Unexpected
from automation.store.store import Store, to_json

CACHE_SECONDS = 5.0
"""How long a token stays recognised without asking the database: after so long at most, a revocation by another
process holds here too."""

_PREFIXES = {"api": "aut_", "session": "aus_"}
_FORMATS = {kind: re.compile(rf"{prefix}[A-Za-z0-9_-]{{43}}") for kind, prefix in _PREFIXES.items()}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,199}")
_RESERVED = frozenset({"local", "system"})
_MOST_CACHED = 1_000


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What may be shown of a token."""

    id: str
    kind: str
    name: str
    roles: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def usable(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return _ended(self, now) is None


@dataclass(frozen=True, slots=True)
class _Recognised:
    token: Token
    identity: Identity
    until: float


class Tokens:
    """The tokens of one store."""

    def __init__(self, store: Store, security: Security, clock: Clock) -> None:
        self._store = store
        self._security = security
        self._clock = clock
        self._attempts = FailedAttempts(security.failed_attempts, clock)
        self._recognised: dict[str, _Recognised] = {}
        self._generation = 0
        self.refusals = Refusals(store, clock)
        """The audit of refused accesses, for `access.refuse`."""

    async def issue(self, name: str, roles: Sequence[str], *, expires_in: float | None, actor: str) -> str:
        """A new token, which is shown this one time; only its hash is stored. Raises InputError."""
        self._check(name, roles, expires_in)
        expires_at = None if expires_in is None else self._clock.now() + expires_in
        text, token = self._new("api", name, tuple(dict.fromkeys(roles)), expires_at)
        await self._store_issued(token, actor)
        return text

    async def describe(self, token: str) -> TokenInfo:
        """What may be shown of a token or session, given its text; raises NotFound."""
        found = await token_by_hash(self._store, _hash(token))
        if found is None:
            raise NotFound("there is no such token", kind="token", name="")
        return _info(found)

    async def authenticate(self, token: str | None, *, address: str, path: str) -> Identity:
        """Who sends this token; raises Unauthenticated or, after too many wrong ones, TooManyRequests.

        An address is what the server says it is: behind a proxy, that of the proxy unless it is told otherwise.
        """
        return (await self._recognise("api", token, address, path)).identity

    async def revoke(self, token_id: str, actor: str) -> TokenInfo:
        """End a token or session, and with a token all sessions that were opened with it; raises NotFound, Conflict."""
        token = await self._find(token_id)
        if token is None:
            raise NotFound(kind="token", name=token_id)
        now = self._clock.now()
        op = statements.TOKEN_REVOKE(revoked_at=now, where_id=token.id)
        detail = to_json({"id": token.id, "kind": token.kind})
        fact = Fact(now, "configuration_change", actor, "token.revoke", token.name, detail=detail)
        try:
            await self._store.commit([op], self._store.facts(fact))
        except Unexpected:
            raise Conflict(f"the token {token_id} is revoked already") from None
        finally:
            self._forget()
        return _info(token, revoked_at=now)

    async def open_session(self, token: str | None, address: str) -> tuple[str, int]:
        """Sign a browser in with a token: the session's own token, and after how many seconds it ends."""
        found = (await self._recognise("api", token, address, "session")).token
        now = self._clock.now()
        expires_at = now + self._security.session_hours * 3600
        if found.expires_at is not None:
            expires_at = min(expires_at, found.expires_at)
        # The id says which token it belongs to: a session ends with its token, whoever revokes that and where.
        text, session = self._new("session", found.name, found.roles, expires_at, f"{found.id}.{new_id()}")
        detail = to_json({"id": session.id, "address": address})
        fact = Fact(now, "access_attempt", found.name, "session.open", found.name, detail=detail)
        await self._store.commit([session.op()], self._store.facts(fact))
        return text, int(expires_at - now)

    async def authenticate_session(self, session: str | None, *, address: str, path: str) -> Identity:
        """Who is signed in with this session; raises as `authenticate`.

        A session that has ended is neither audited nor counted: an open page goes on asking with it for a while.
        """
        return (await self._recognise("session", session, address, path)).identity

    async def close_session(self, session: str | None) -> None:
        """Sign out; nothing happens if the session is unknown or has ended."""
        if session is None or not _FORMATS["session"].fullmatch(session):
            return
        token = await token_by_hash(self._store, _hash(session))
        if token is None or token.kind != "session":
            return
        now = self._clock.now()
        op = statements.TOKEN_REVOKE(revoked_at=now, where_id=token.id)
        detail = to_json({"id": token.id})
        fact = Fact(now, "access_attempt", token.name, "session.close", token.name, detail=detail)
        with suppress(Unexpected):
            await self._store.commit([op], self._store.facts(fact))
        self._forget()

    async def ensure_admin(self, path: Path) -> bool:
        """Where no usable token exists, issue one named `admin` and write it to a file of mode 0600; whether it did.

        Raises ConfigurationError if the file cannot be written.
        """
        now = self._clock.now()
        if any(_ended(token, now) is None for token in await all_tokens(self._store)):
            return False
        text, token = self._new("api", "admin", ("automation_admin",), None)
        # The file goes first, and is on disk before the row is. Whoever dies in between leaves a file with a token
        # that is not valid, and a database without one: the next start comes here again and replaces the file. The
        # other way round there would be a valid token that nobody knows, and no reason to issue another.
        await asyncio.to_thread(write_private, path, f"{text}\n")
        await self._store_issued(token, "system")
        return True

    async def close(self) -> None:
        """Write what was only counted of refused accesses; the store must still be open."""
        await self.refusals.settle(now=True)

    async def list(self, kind: str = "api") -> tuple[TokenInfo, ...]:
        """All tokens (or, with `session`, all sessions), oldest first, revoked and expired ones too."""
        return tuple(_info(token) for token in await all_tokens(self._store, kind))

    def _check(self, name: str, roles: Sequence[str], expires_in: float | None) -> None:
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise InputError(
                f"name: {name[:50]!r} cannot be the name of a token: up to 200 letters, digits and . _ - + @, "
                f"and neither of {', '.join(sorted(_RESERVED))}"
            )
        known = self._security.role_names
        unknown = [role for role in roles if role not in known]
        if unknown or not roles:
            what = f"there is no role {unknown[0]!r}" if unknown else "a token needs at least one role"
            raise InputError(f"roles: {what}; roles: {', '.join(known)}")
        if expires_in is not None and not (expires_in > 0 and math.isfinite(expires_in)):
            raise InputError(f"expires_in: must be a positive number of seconds, not {expires_in}")

    def _new(
        self, kind: str, name: str, roles: tuple[str, ...], expires_at: float | None, token_id: str | None = None
    ) -> tuple[str, Token]:
        text = _PREFIXES[kind] + secrets.token_urlsafe(32)
        token = Token(token_id or new_id(), kind, name, _hash(text), roles, self._clock.now(), expires_at)
        return text, token

    async def _store_issued(self, token: Token, actor: str) -> None:
        detail = to_json({"id": token.id, "roles": token.roles, "expires_at": token.expires_at})
        fact = Fact(token.created_at, "configuration_change", actor, "token.issue", token.name, detail=detail)
        await self._store.commit([token.op()], self._store.facts(fact))

    async def _recognise(self, kind: str, text: str | None, address: str, path: str) -> _Recognised:
        await self.refusals.settle()
        if not text:
            # Neither counted nor audited: who sends no token guesses nothing.
            raise Unauthenticated()
        await self._hold_back(address, path)
        digest = _hash(text) if _FORMATS[kind].fullmatch(text) else None
        known = self._recognised.get(digest) if digest else None
        if known is not None and known.token.kind == kind and self._clock.monotonic() < known.until:
            return known
        generation = self._generation
        # Looked up by its hash, a wrong token can only tell by time how far its hash agrees with a stored one. Nobody
        # can choose a token by the beginning of its hash, so there is nothing to compare in constant time.
        token = await token_by_hash(self._store, digest) if digest else None
        reason = await self._refusal(kind, token)
        if token is None or reason is not None:
            raise await self._refused(kind, token, reason or "unknown", address, path)
        return self._keep(token, generation)

    def _keep(self, token: Token, generation: int) -> _Recognised:
        identity = Identity(token.name, token.roles, self._security.permissions(token.roles))
        left = CACHE_SECONDS if token.expires_at is None else min(CACHE_SECONDS, token.expires_at - self._clock.now())
        recognised = _Recognised(token, identity, self._clock.monotonic() + left)
        # Not if something was revoked while the database was read: it may have been this.
        if generation == self._generation:
            if len(self._recognised) >= _MOST_CACHED:
                self._recognised.clear()
            self._recognised[token.hash] = recognised
        return recognised

    def _forget(self) -> None:
        self._generation += 1
        self._recognised.clear()

    async def _refusal(self, kind: str, token: Token | None) -> str | None:
        """Why this token is refused, or None."""
        if token is None or token.kind != kind:
            return "unknown"
        reason = _ended(token, self._clock.now())
        if reason is not None or kind != "session":
            return reason
        parent = await self._find(token.id.partition(".")[0])
        ended = "unknown" if parent is None else _ended(parent, self._clock.now())
        return None if ended is None else f"its token is {ended}"

    async def _refused(self, kind: str, token: Token | None, reason: str, address: str, path: str) -> Exception:
        if kind == "session" and token is not None and token.kind == "session":
            return Unauthenticated()
        # Requests that came at the same time have all passed the first look: here the limit holds for them as well.
        await self._hold_back(address, path)
        # Expired and revoked ones count as unknown ones do; otherwise the limit would tell that they were once valid.
        self._attempts.add(address)
        detail = {"reason": reason} if token is None else {"reason": reason, "id": token.id, "name": token.name}
        await self.refusals.record(f"address:{address}", "authenticate", path, detail)
        return Unauthenticated()

    async def _hold_back(self, address: str, path: str) -> None:
        # Even with a valid token: otherwise the limit would tell which one is.
        wait = self._attempts.wait(address)
        if wait <= 0:
            return
        actor = f"address:{address}"
        if self._attempts.first(address):
            await self.refusals.record(actor, "authenticate", path, {"reason": "too many wrong tokens"})
        else:
            self.refusals.count(actor)
        raise TooManyRequests(retry_after=wait)

    async def _find(self, token_id: str) -> Token | None:
        kind = "session" if "." in token_id else "api"
        return next((token for token in await all_tokens(self._store, kind) if token.id == token_id), None)


def _hash(text: str) -> str:
    # Fast on purpose. Slow hashes protect what people choose; 32 random bytes cannot be found by trying.
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def _ended(token: Token | TokenInfo, now: float) -> str | None:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= now:
        return "expired"
    return None


def _info(token: Token, revoked_at: float | None = None) -> TokenInfo:
    return TokenInfo(
        token.id,
        token.kind,
        token.name,
        token.roles,
        token.created_at,
        token.expires_at,
        token.revoked_at if revoked_at is None else revoked_at,
    )
