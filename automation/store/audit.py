"""The audit chain: each row carries a hash over itself and the row before it, so that no row can be changed, removed
or moved without every later hash telling.

The hash is SHA-256 over the JSON array of the row's fields with the previous hash last; the first row of a chain
follows 64 zeros. Where the last rows were cut off, the chain's head, written with each of them, tells.

The oldest rows may be deleted when they have been kept long enough. Before that, a row is sealed that says up to which
number, and with which hash the deleted part ends: so a chain that begins later is as sound as that row, which is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from automation.errors import Problem
from automation.store import statements
from automation.store.statement import Op

START = "0" * 64
RETENTION = "retention"
"""The act of a row that says what was deleted for its age; of audit rows, `{"audit": {chain: [seq, hash]}}`."""
_encode = msgspec.json.Encoder().encode


class Fact(msgspec.Struct, frozen=True):
    """What an audit row says, before it is sealed into the chain."""

    at: float
    kind: str
    """One of `config.AUDITABLE`."""
    actor: str
    act: str
    subject: str
    outcome: str = "ok"
    detail: str = "{}"
    """JSON."""


class Chain:
    """The end of one chain, and the sealing of further rows to it."""

    __slots__ = ("hash", "name", "seq")

    def __init__(self, name: str, seq: int = 0, head: str = START) -> None:
        self.name = name
        self.seq = seq
        self.hash = head

    def seal(self, facts: Iterable[Fact]) -> list[tuple[Any, ...]]:
        """The rows for the facts, in order, with their hashes; moves the end of the chain."""
        rows = []
        name, seq, previous = self.name, self.seq, self.hash
        for fact in facts:
            seq += 1
            body = (
                name,
                seq,
                fact.at,
                fact.kind,
                fact.actor,
                fact.act,
                fact.subject,
                fact.outcome,
                fact.detail,
                previous,
            )
            digest = sha256(_encode(body)).hexdigest()
            rows.append((*body, digest))
            previous = digest
        self.seq, self.hash = seq, previous
        return rows

    def head(self) -> Op:
        """The write that records where the chain ends."""
        return statements.AUDIT_HEAD(chain=self.name, seq=self.seq, hash=self.hash)


def verify(
    rows: Iterable[Sequence[Any]],
    heads: Mapping[str, tuple[int, str]],
    deleted: Mapping[str, tuple[int, str]] | None = None,
) -> tuple[int, list[Problem]]:
    """Walk the rows, ordered by chain and seq; return how many there are and what does not fit.

    A row is (chain, seq, at, kind, actor, act, subject, outcome, detail, previous, hash). `deleted` says up to which
    row each chain may have been deleted for its age, and that row's hash, as rows of `RETENTION` among these say.
    """
    problems: list[Problem] = []
    ends: dict[str, tuple[int, str]] = {}
    deleted = deleted or {}
    count = 0
    for row in rows:
        count += 1
        chain, seq, previous, digest = row[0], row[1], row[9], row[10]
        gone = deleted.get(chain, (0, START))
        # Deleting stops and goes on: what begins before the end of what may be gone, begins anywhere.
        first = gone if seq > gone[0] else (seq - 1, previous if seq > 1 else START)
        last_seq, last_hash = ends.get(chain, first)
        place = f"{chain}/{seq}"
        if seq != last_seq + 1:
            missing = f"{last_seq + 1}" if seq == last_seq + 2 else f"{last_seq + 1} to {seq - 1}"
            problems.append(Problem(place, f"row {missing} is missing before it"))
        elif previous != last_hash:
            problems.append(Problem(place, "does not follow the row before it: one of the two was replaced or moved"))
        if sha256(_encode(tuple(row[:10]))).hexdigest() != digest:
            problems.append(Problem(place, "was changed: its hash does not fit its content"))
        elif seq == gone[0] and digest != gone[1]:
            problems.append(Problem(place, "is not the row that was to be deleted: it was replaced"))
        ends[chain] = (seq, digest)
    for chain, (seq, digest) in sorted(heads.items()):
        last_seq, last_hash = ends.get(chain, (0, START))
        if last_seq < seq:
            problems.append(Problem(f"{chain}/{seq}", f"rows {last_seq + 1} to {seq} are missing at the end"))
        elif last_seq == seq and last_hash != digest:
            problems.append(Problem(f"{chain}/{seq}", "the last row was replaced"))
        elif last_seq > seq:
            problems.append(Problem(f"{chain}/{last_seq}", f"rows after {seq} were added past the recorded end"))
    problems += [Problem(chain, "the record of where it ends is missing") for chain in sorted(set(ends) - set(heads))]
    return count, problems
