"""The one connection of a writer: its end of the audit chain, the number of its last batch, and how a batch is written.

A batch in which nothing is looked at goes in one command that is its own transaction: one way to the server and back.
What is guarded by a count, or was refused, goes by a transaction with savepoints, in halves until the culprits are
found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from automation.errors import StoreError
from automation.model.ids import new_id
from automation.store import statements
from automation.store.audit import Chain, Fact
from automation.store.postgres_reasons import FAILURES, UNWRITABLE, Kind, kind
from automation.store.postgres_statements import MARK, Form, Piece, committing, counting, form_of, pieces, stages
from automation.store.statement import Statement, Unexpected
from automation.store.writer import InDoubt, Unit, grouped

if TYPE_CHECKING:
    import asyncpg

SETTINGS = """
SET default_transaction_isolation = 'read committed';
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET idle_in_transaction_session_timeout = '60s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local');
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
"""
"""A writer reaches every row by its key, whatever the planner believes of a table that was empty when it last looked.
One that stands still in the middle of a transaction loses its locks after a minute."""
BYTES_AT_ONCE = 16 * 1024 * 1024
"""So much text goes in one command; the limit of PostgreSQL for an array is sixteen times as much."""
ATTEMPTS = 4
"""How often a batch is tried that was in the way of another writer's."""
CHAINS = 0x61756469
"""The class of the advisory locks that say which audit chains have a living writer: "audi"."""

FORGOTTEN_SECONDS = 30 * 86_400.0
"""After how long the row of a writer that ended without a word is removed."""
END_SECONDS = 5.0

_NOW = "extract(epoch FROM clock_timestamp())"
_BACKEND = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"

_encode = msgspec.json.Encoder().encode


class _Refusal(Exception):
    """Something in these units will never be written."""

    def __init__(self, statement: Statement | None, cause: BaseException | None) -> None:
        super().__init__(statement, cause)
        self.statement = statement
        self.cause = cause


class Session:
    """A connection that writes. Its end, for whatever reason, is the end of the session; a new one finds out what
    became of the last batch."""

    def __init__(self, connection: asyncpg.Connection[Any], writer: str) -> None:
        self.connection = connection
        self.writer = writer
        self.id = new_id()
        self.chain = Chain("")
        self.batch = 0
        """The number of the last batch that is committed."""
        self.server: tuple[Any, ...] | None = None
        """Process and start of the server's side."""

    async def begin(self, former: Session | None, lock_seconds: float) -> None:
        """Take an audit chain that no living writer has, and the writer's row: what is still under way on the former
        session's connection is then void, or done and counted."""
        await self.connection.execute(f"{SETTINGS} SET lock_timeout = {round(lock_seconds * 1000)};")
        self.server = tuple(await self.connection.fetchrow(_BACKEND))
        if former is not None and former.server is not None:
            await self._end(former.server)
        number = 0
        while not self.chain.name:
            number += 1
            if await self.connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", CHAINS, number):
                self.chain = Chain("main" if number == 1 else f"main-{number}")
        name = self.chain.name
        row = await self.connection.fetchrow("SELECT seq, hash FROM audit_heads WHERE chain = $1", name)
        if row is not None:
            self.chain = Chain(name, row[0], row[1])
        self.batch = await self.connection.fetchval(
            f"INSERT INTO writers (id, session, batch, seen_at) VALUES ($1, $2, 0, {_NOW}) "
            "ON CONFLICT (id) DO UPDATE SET session = excluded.session, seen_at = excluded.seen_at RETURNING batch",
            self.writer,
            self.id,
        )
        await self.connection.execute(f"DELETE FROM writers WHERE seen_at < {_NOW} - $1", FORGOTTEN_SECONDS)

    async def end(self) -> None:
        """Leave nothing behind."""
        await self.connection.execute("DELETE FROM writers WHERE id = $1", self.writer)
        await self.connection.close(timeout=END_SECONDS)

    async def _end(self, server: tuple[Any, ...]) -> None:
        """See that the server's side of an older connection is gone, with its locks."""
        for _ in range(100):
            if not await self.connection.fetchval(_TERMINATE, *server):
                return
            await asyncio.sleep(0.02)

    async def write(self, units: list[Unit]) -> None:
        """Commit all units in one transaction; see `writer.Backend`. Raises what the driver raises, and InDoubt."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if not await self._at_once(units):
                    await self._with_care(units)
                return
            except FAILURES as error:
                if kind(error) is not Kind.AGAIN or attempt == ATTEMPTS:
                    raise

    async def _at_once(self, units: list[Unit]) -> bool:
        """In one command that commits itself. False, and nothing written, where that is not possible or was refused."""
        plan = stages(pieces(grouped(units)))
        if len(plan) > 1 or any(piece.form.many is None or piece.form.counted for stage in plan for piece in stage):
            return False
        chain = Chain(self.chain.name, self.chain.seq, self.chain.hash)
        try:
            found = [*(plan[0] if plan else ()), *_sealed(chain, units)]
            arrays = [_encode(piece.rows).decode() for piece in found]
        except UNWRITABLE:
            return False
        if sum(map(len, arrays)) > BYTES_AT_ONCE:
            return False
        command = committing(tuple(piece.form for piece in found))
        try:
            await self.connection.fetchval(command, *arrays, self.writer, self.id, self.batch + 1)
        except FAILURES as error:
            if kind(error) is Kind.REFUSED:
                return False
            if kind(error) is Kind.LOST:
                raise InDoubt(error) from None
            raise
        self.chain = chain
        self.batch += 1
        return True

    async def _with_care(self, units: list[Unit]) -> None:
        """In a transaction with savepoints: what is refused is found, and all else written."""
        execute = self.connection.execute
        chain = Chain(self.chain.name, self.chain.seq, self.chain.hash)
        await execute("BEGIN")
        try:
            mark = MARK.format(id=1, session=2, batch=3)
            if await self.connection.fetchval(mark, self.writer, self.id, self.batch + 1) is None:
                raise ConnectionAbortedError("another connection has taken the place of this one")
            for unit in units:
                unit.error = None
            counted = [unit for unit in units if any(form_of(statement).counted for statement, _ in unit.ops)]
            apart = set(map(id, counted))
            await self._portion([unit for unit in units if id(unit) not in apart])
            await self._portion(counted)
            written = [unit for unit in units if unit.error is None]
            for piece in _sealed(chain, written):
                await self._run([piece])
        except FAILURES as error:
            if kind(error) is not Kind.LOST:
                await execute("ROLLBACK")
            raise
        try:
            await execute("COMMIT")
        except FAILURES as error:
            if kind(error) is Kind.LOST:
                raise InDoubt(error) from None
            raise
        self.chain = chain
        self.batch += 1

    async def _portion(self, units: list[Unit]) -> None:
        if not units:
            return
        execute = self.connection.execute
        await execute("SAVEPOINT portion")
        try:
            await self._try_facts([fact for unit in units for fact in unit.facts])
            for stage in stages(pieces(grouped(units))):
                await self._run(stage)
        except _Refusal as refusal:
            await execute("ROLLBACK TO portion; RELEASE portion")
            if len(units) == 1:
                units[0].error = _told(units[0], refusal)
                return
            middle = len(units) // 2
            await self._portion(units[:middle])
            await self._portion(units[middle:])
        else:
            await execute("RELEASE portion")

    async def _try_facts(self, facts: list[Fact]) -> None:
        """See that the audit rows will not be refused: they are written last, for all units at once."""
        try:
            await self.connection.fetchval("SELECT jsonb_typeof($1::jsonb)", _encode(facts).decode())
        except UNWRITABLE as error:
            raise _Refusal(None, error) from None
        except FAILURES as error:
            if kind(error) is Kind.REFUSED:
                raise _Refusal(None, error) from None
            raise

    async def _run(self, stage: Sequence[Piece]) -> None:
        together = [piece for piece in stage if piece.form.many is not None]
        try:
            if together:
                await self._run_together(together)
            for piece in stage:
                if piece.form.many is None:
                    await self._run_alone(piece)
        except FAILURES as error:
            if kind(error) is Kind.REFUSED:
                raise _Refusal(None, error) from None
            raise

    async def _run_together(self, stage: list[Piece]) -> None:
        try:
            arrays = [_encode(piece.rows).decode() for piece in stage]
        except UNWRITABLE as error:
            raise _Refusal(None, error) from None
        if sum(map(len, arrays)) > BYTES_AT_ONCE and (len(stage) > 1 or len(stage[0].rows) > 1):
            for part in _parts(stage):
                await self._run_together(part)
            return
        counts = await self.connection.fetchrow(counting(tuple(piece.form for piece in stage)), *arrays)
        for piece, (changed, distinct) in zip(stage, counts, strict=True):
            wanted = piece.form.statement.expect
            rows = len(piece.rows)
            if wanted is not None and (changed != wanted * rows or distinct != (rows if wanted else 0)):
                raise _Refusal(piece.form.statement, None)

    async def _run_alone(self, piece: Piece) -> None:
        form = piece.form
        for values in piece.rows:
            try:
                told = await self.connection.execute(form.one, *(values[at] for at in form.order))
            except FAILURES as error:
                if form.statement.expect is not None and kind(error) is Kind.REFUSED:
                    raise _Refusal(form.statement, error) from None
                raise
            if form.statement.expect is not None and int(told.rpartition(" ")[2]) != form.statement.expect:
                raise _Refusal(form.statement, None)


def _parts(stage: list[Piece]) -> list[list[Piece]]:
    """The pieces one by one; the rows of one piece in two halves."""
    if len(stage) > 1:
        return [[piece] for piece in stage]
    ((form, rows, keys),) = stage
    middle = len(rows) // 2
    return [[Piece(form, rows[:middle], keys)], [Piece(form, rows[middle:], keys)]]


_AUDIT_FORMS: tuple[Form, Form] = (form_of(statements.AUDIT), form_of(statements.AUDIT_HEAD))


def _sealed(chain: Chain, units: Sequence[Unit]) -> list[Piece]:
    facts: list[Fact] = [fact for unit in units for fact in unit.facts]
    if not facts:
        return []
    rows, (audit, head) = chain.seal(facts), _AUDIT_FORMS
    return [Piece(audit, rows, None), Piece(head, [chain.head()[1]], None)]


def _told(unit: Unit, refusal: _Refusal) -> BaseException:
    """The error for whoever brought the unit: what was guarded is `Unexpected` also where a key refused it."""
    if refusal.statement is not None:
        return Unexpected(refusal.statement.name)
    state = str(getattr(refusal.cause, "sqlstate", ""))
    guarded = next((statement.name for statement, _ in unit.ops if statement.expect is not None), None)
    if guarded is not None and state.startswith("23"):
        return Unexpected(guarded)
    return StoreError(f"the database refused: {refusal.cause}")
