"""Packed journals: the same entries, and so the same execution, whatever part of a journal is packed."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.model.execution import JournalEntry
from automation.store.packing import Told, joined, packed, unpacked
from automation.store.store import decode, to_json
from automation.workflows.state import State, fold

NAMES = ("a", "b", "c")

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
errors = st.fixed_dictionaries({"type": st.text(max_size=8), "message": st.text(max_size=8)})
facts = st.one_of(
    st.tuples(
        st.just("action_started"),
        st.fixed_dictionaries({"attempt": st.integers(1, 9), "operation": st.text(max_size=8), "parameters": values}),
    ),
    st.tuples(st.just("action_completed"), st.fixed_dictionaries({"outputs": values})),
    st.tuples(
        st.just("action_failed"), st.fixed_dictionaries({"error": errors}, optional={"retry_at": st.floats(0, 2e9)})
    ),
    st.tuples(st.just("action_waiting"), st.fixed_dictionaries({"until": st.none() | st.floats(0, 2e9)})),
    st.tuples(st.sampled_from(["action_skipped", "action_cancelled"]), st.fixed_dictionaries({"reason": st.text()})),
    st.tuples(st.sampled_from(["approved", "denied"]), st.fixed_dictionaries({"reason": st.text(max_size=8)})),
)


@st.composite
def journals(draw: st.DrawFn) -> list[Told]:
    started = {"variables": draw(st.dictionaries(st.text(max_size=5), values, max_size=3)), "event": None}
    told: list[tuple[str, str | None, dict[str, Any]]] = [("started", None, started)]
    for kind, body in draw(st.lists(facts, max_size=12)):
        told.append((kind, draw(st.sampled_from([*NAMES, "a[0]", "b[17]"])), body))
    if draw(st.booleans()):
        told.append(("finished", None, {"status": draw(st.sampled_from(["succeeded", "failed", "cancelled"]))}))
    times = draw(st.lists(st.floats(0, 4e9), min_size=len(told), max_size=len(told)))
    return [
        Told(seq, at, kind, action, to_json(body))
        for seq, (at, (kind, action, body)) in enumerate(zip(times, told, strict=True), 1)
    ]


def folded(rows: list[Told]) -> dict[str, Any]:
    state = fold(NAMES, [JournalEntry(execution_id="e", **{**row._asdict(), "body": decode(row.body)}) for row in rows])
    return {name: shown(getattr(state, name)) for name in State.__slots__}


def shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    slots = getattr(type(value), "__slots__", ())
    return {name: getattr(value, name) for name in slots} if slots and hasattr(value, slots[0]) else value


@given(journals())
def test_a_packed_journal_is_the_same_journal(rows: list[Told]) -> None:
    again = unpacked(packed(rows))

    assert again == rows
    assert folded(again) == folded(rows)


@given(journals(), st.data())
def test_it_is_the_same_whatever_part_of_it_is_packed(rows: list[Told], data: st.DataObject) -> None:
    """Also while the entries that are packed are still taken out of the journal."""
    end = data.draw(st.integers(1, len(rows)))
    taken_out = data.draw(st.integers(0, end))

    assert joined(unpacked(packed(rows[:end])), rows[taken_out:]) == rows


def test_a_packed_journal_takes_little_room() -> None:
    body = to_json({"attempt": 1, "operation": "infrastructure.restart_service", "parameters": {"service_name": "api"}})
    rows = [Told(seq, 1.7e9 + seq, "action_started", f"step{seq}", body) for seq in range(1, 20)]
    assert len(packed(rows)) < sum(len(row.body) for row in rows) / 4


@pytest.mark.parametrize("body", [b"", b"nonsense", zlib.compress(b"[1]"), zlib.compress(b"{")])
def test_what_is_no_packed_journal_is_said(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(body)
