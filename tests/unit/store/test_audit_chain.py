"""The audit chain by itself: any change of its rows is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from automation.store.audit import Chain, Fact, verify

FACT = Fact(1.5, "action_execution", "ann", "test.record", "e1")

facts = st.lists(
    st.builds(
        Fact,
        at=st.floats(0, 2e9),
        kind=st.sampled_from(["access_attempt", "action_execution"]),
        actor=st.text(max_size=5),
        act=st.text(max_size=5),
        subject=st.text(max_size=5),
        detail=st.sampled_from(["{}", '{"a":1}']),
    ),
    min_size=1,
    max_size=12,
)


@given(facts, st.data())
def test_any_change_of_a_chain_is_found(some: list[Fact], data: st.DataObject) -> None:
    chain = Chain("main")
    rows = chain.seal(some)
    heads = {"main": (chain.seq, chain.hash)}
    assert verify(rows, heads) == (len(rows), [])

    place = data.draw(st.integers(0, len(rows) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "swap", "add"]))
    if how == "change":
        column = data.draw(st.sampled_from([2, 3, 4, 5, 6, 7, 8]))
        changed = list(rows[place])
        changed[column] = 3e9 if column == 2 else "changed!"
        rows[place] = tuple(changed)
    elif how == "remove":
        del rows[place]
    elif how == "swap" and place:
        first, second = list(rows[place - 1]), list(rows[place])
        first[1], second[1] = second[1], first[1]
        rows[place - 1 : place + 1] = [tuple(second), tuple(first)]
    else:
        rows += Chain("main", chain.seq, chain.hash).seal([FACT])

    assert verify(rows, heads)[1] != []
