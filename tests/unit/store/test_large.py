"""Large values: cut out of an entry and put back, whatever users give, and never taken for what they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from automation.errors import NotFound
from automation.model.large import LargeValue
from automation.store import large, statements
from automation.store.large import Piece, cut
from automation.store.store import Store, decode, to_json
from automation.store.tables import large_values

BIG = "x" * 2000
HUGE = "y" * 200_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10) | st.just("$refs"), inner, max_size=5)
    ),
    max_leaves=40,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "outputs": json_values,
        "parameters": json_values,
        "items": st.lists(json_values, max_size=5),
        "variables": st.dictionaries(st.text(max_size=5), json_values, max_size=4),
        "event": st.dictionaries(st.sampled_from(["type", "data", "labels"]), json_values, max_size=3),
        "error": json_values,
        "attempt": st.integers(1, 9),
    },
)


def put_back(body: bytes, pieces: list[Piece]) -> dict[str, Any]:
    read: dict[str, Any] = decode(body)
    known = {piece.sha256: decode(piece.text) for piece in pieces}
    for path, value in large.references(read):
        large._put(read, path, known[value.sha256])
    read.pop("$refs", None)
    return read


@given(bodies, st.integers(1, 200))
def test_what_is_cut_out_and_put_back_is_what_it_was(body: dict[str, Any], limit: int) -> None:
    kept, pieces = cut(body, limit)

    assert put_back(kept, pieces) == body
    assert all(len(piece.text) > limit for piece in pieces)
    named = large.named(kept.decode())
    assert sum(1 for _ in holes(named)) == len(pieces)
    if not pieces:
        assert decode(kept) == body


@given(bodies, st.integers(1, 200))
def test_what_the_engine_looks_at_stays(body: dict[str, Any], limit: int) -> None:
    named = large.named(cut(body, limit)[0].decode())

    assert set(named) == set(body)
    for key in ("error", "attempt"):
        assert named.get(key) == body.get(key)
    assert isinstance(named.get("variables", {}), dict)
    assert set(named.get("variables", {})) == set(body.get("variables", {}))
    event = named.get("event", {})
    assert set(event) == set(body.get("event", {}))
    assert not any(isinstance(value, LargeValue) for value in event.values())


def holes(value: Any) -> Any:
    if isinstance(value, LargeValue):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from holes(item)


def paths(body: dict[str, Any], limit: int = 1000) -> list[tuple[str | int, ...]]:
    return [piece.path for piece in cut(body, limit)[1]]


def test_the_single_value_is_cut_out_and_what_stands_beside_it_stays() -> None:
    kept, _ = cut({"outputs": {"status": 200, "body": BIG}}, 1000)
    assert decode(kept)["outputs"] == {"status": 200, "body": None}
    assert paths({"outputs": {"results": [{"a": 1}, {"log": BIG}]}}) == [("outputs", "results", 1, "log")]


def test_what_is_large_by_many_small_values_is_cut_out_as_a_whole() -> None:
    assert paths({"outputs": {"rows": list(range(1000))}}) == [("outputs", "rows")]
    assert paths({"items": [{"name": "n"}] * 500}) == [("items",)]
    assert paths({"variables": {"a": list(range(1000)), "b": 1}}) == [("variables", "a")]
    assert paths({"variables": {str(number): number for number in range(1000)}}) == []
    assert paths({"event": {"type": "t", "data": {"text": BIG}}}) == [("event", "data", "text")]


def test_keys_that_are_no_texts_are_left_as_they_are() -> None:
    assert paths({"variables": {"a": {1: BIG}}}) == [("variables", "a")]
    assert put_back(*cut({"variables": {"a": {1: BIG}}}, 1000)) == {"variables": {"a": {"1": BIG}}}


def test_what_is_nested_without_end_is_cut_out_where_it_becomes_too_deep() -> None:
    value: Any = BIG
    for _ in range(50):
        value = {"in": value}
    [path] = paths({"outputs": value})
    assert len(path) == large._DEEPEST


def test_what_does_not_become_smaller_is_kept_as_it_is() -> None:
    import random

    noise = random.Random(1).randbytes(5000)
    assert large.compressed(noise) == (large.RAW, noise)
    coding, small = large.compressed(HUGE.encode())
    assert coding == large.ZLIB
    assert len(small) < 1000
    assert large.expanded(coding, small) == HUGE.encode()


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    opened = Store(f"sqlite:///{tmp_path}/store.db")
    await opened.open()
    yield opened
    await opened.close()


async def test_the_same_value_is_stored_once(store: Store) -> None:
    _, pieces = cut({"outputs": {"a": HUGE, "b": HUGE}}, 1000)
    assert len(pieces) == 2
    await store.commit(large.writes("e1", pieces, 10.0))
    await store.commit(large.writes("e2", pieces, 20.0))
    await store.commit(large.writes("e2", pieces, 30.0))

    row = await store.first(select(func.count(), func.min(large_values.c.used_at)).select_from(large_values))
    assert row is not None
    assert tuple(row) == (1, 10.0)
    uses = await store.fetch(text("SELECT execution_id FROM large_value_uses ORDER BY 1"))
    assert [row[0] for row in uses] == ["e1", "e2"]


async def test_that_it_is_used_again_is_noted_once_an_hour(store: Store) -> None:
    _, pieces = cut({"outputs": HUGE}, 1000)
    for at, noted in ((10.0, 10.0), (3609.0, 10.0), (3611.0, 3611.0), (3612.0, 3611.0)):
        await store.commit(large.writes("e1", pieces, at))
        row = await store.first(select(large_values.c.used_at, large_values.c.created_at))
        assert row is not None
        assert tuple(row) == (noted, 10.0)


async def test_one_that_is_not_there_is_said(store: Store) -> None:
    body = to_json({"outputs": None, "$refs": [[["outputs"], "ab" * 32, 7]]})
    await store.commit([statements.JOURNAL(execution_id="e", seq=1, at=1.0, kind="k", action=None, body=body)])
    from automation.store import executions

    with pytest.raises(NotFound, match="large value named 'sha256:abab"):
        await executions.entries(store, "e")
