"""The layout of a workflow's graph: what must hold of every drawing."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.console.graph import HEIGHT, PER_ROW, WIDTH, Layout, ascending, column, layout, needs_of
from automation.model.workflow import ActionDefinition, WorkflowDefinition

SLACK = 0.2
"""Coordinates are rounded to a tenth."""


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Any graph without circles, up to 25 nodes."""
    size = draw(st.integers(1, 25))
    names = [f"node_{place}" for place in range(size)]
    needs: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(names):
        before = names[:place]
        needs[name] = tuple(draw(st.lists(st.sampled_from(before), unique=True, max_size=4))) if before else ()
    order = draw(st.permutations(names))
    return {name: needs[name] for name in order}


def check(needs: dict[str, tuple[str, ...]], drawing: Layout) -> None:
    assert {node.name for node in drawing.nodes} == set(needs)
    for node in drawing.nodes:
        assert node.x >= 0
        assert node.y >= 0
        assert node.x + WIDTH <= drawing.width + SLACK
        assert node.y + HEIGHT <= drawing.height + SLACK
    for one, other in itertools.combinations(drawing.nodes, 2):
        apart_x = abs(one.x - other.x) >= WIDTH - SLACK
        apart_y = abs(one.y - other.y) >= HEIGHT - SLACK
        assert apart_x or apart_y, f"{one} and {other} overlap"
    place = {node.name: node for node in drawing.nodes}
    assert sorted((edge.source, edge.target) for edge in drawing.edges) == sorted(
        (need, name) for name, given_needs in needs.items() for need in given_needs
    )
    for edge in drawing.edges:
        assert on_border(edge.points[0], place[edge.source])
        assert on_border(edge.points[-1], place[edge.target])
        for x, y in edge.points:
            assert -SLACK <= x <= drawing.width + SLACK
            assert -SLACK <= y <= drawing.height + SLACK


def on_border(point: tuple[float, float], node) -> bool:
    x, y = point[0] - node.x, point[1] - node.y
    on_side = min(abs(x), abs(x - WIDTH)) < SLACK and -SLACK < y < HEIGHT + SLACK
    on_top = min(abs(y), abs(y - HEIGHT)) < SLACK and -SLACK < x < WIDTH + SLACK
    return on_side or on_top


@pytest.mark.parametrize("draw", [layout, column])
@given(needs=graphs())
@settings(max_examples=100, deadline=None)
def test_every_drawing_is_whole(draw, needs) -> None:
    """Nodes lie within the picture and never on each other; every edge joins the nodes it is about, and no other."""
    check(needs, draw(needs))


@given(needs=graphs())
@settings(max_examples=100, deadline=None)
def test_edges_run_to_the_right_and_around_nodes(needs) -> None:
    drawing = layout(needs)
    place = {node.name: node for node in drawing.nodes}
    for edge in drawing.edges:
        if edge.angular:
            continue
        assert place[edge.source].x < place[edge.target].x
        # Where it passes a layer, it passes between the nodes.
        for (x1, y1), (x2, _) in zip(edge.points[1:-1:2], edge.points[2::2], strict=False):
            middle = (x1 + x2) / 2
            inside = [n for n in drawing.nodes if n.x < middle < n.x + WIDTH and n.y < y1 < n.y + HEIGHT]
            assert not inside


@given(needs=graphs())
@settings(max_examples=100, deadline=None)
def test_a_column_runs_downward_and_lanes_do_not_overlap(needs) -> None:
    drawing = column(needs)
    place = {node.name: node for node in drawing.nodes}
    lanes: dict[float, list[tuple[float, float, str]]] = {}
    for edge in drawing.edges:
        assert place[edge.source].y < place[edge.target].y
        if len(edge.points) == 4:
            lanes.setdefault(edge.points[1][0], []).append((edge.points[1][1], edge.points[2][1], edge.source))
    for spans in lanes.values():
        for (start, end, source), (other_start, other_end, other) in itertools.combinations(spans, 2):
            # Edges of one node share a lane; those of different nodes never do at the same height.
            assert source == other or end <= other_start or other_end <= start


@pytest.mark.parametrize("size", [1, 2, 5, 6, 11, 200])
def test_a_sequence_is_written_in_rows(size) -> None:
    names = [f"step_{place}" for place in range(size)]
    needs = {name: tuple(names[place - 1 : place] if place else ()) for place, name in enumerate(names)}

    drawing = layout(needs)

    check(needs, drawing)
    assert drawing.columns == min(size, PER_ROW)
    assert len({node.y for node in drawing.nodes}) == -(-size // PER_ROW)


@pytest.mark.parametrize("draw", [layout, column])
@pytest.mark.parametrize(
    "needs",
    [
        {"start": (), **{f"n{i}": ("start",) for i in range(198)}, "end": tuple(f"n{i}" for i in range(198))},
        {f"n{i}": tuple(f"n{k}" for k in range(max(0, i - 3), i)) for i in range(200)},
        {f"n{i}": tuple(f"n{k}" for k in range(i)) for i in range(100)},
        {f"n{i}": () for i in range(200)},
        {f"n{i}": tuple(f"n{k}" for k in range(i % 10, i - i % 10, 10)[-3:]) for i in range(200)},
    ],
    ids=["fan", "band", "complete", "loose", "lattice"],
)
def test_large_graphs_are_whole_and_quick(needs, draw) -> None:
    began = time.process_time()
    drawing = draw(needs)
    assert time.process_time() - began < 3
    check(needs, drawing)


def test_crossings_that_need_not_be_are_avoided() -> None:
    """Two parallel pairs that are listed crosswise are drawn side by side."""
    drawing = layout({"a": (), "b": (), "of_b": ("b",), "of_a": ("a",)})
    place = {node.name: node.y for node in drawing.nodes}
    assert place["a"] == pytest.approx(place["of_a"])
    assert place["b"] == pytest.approx(place["of_b"])


def test_a_fork_is_symmetric() -> None:
    drawing = layout({"start": (), "left": ("start",), "right": ("start",), "end": ("left", "right")})
    place = {node.name: node.y for node in drawing.nodes}
    assert place["start"] == pytest.approx(place["end"])
    assert place["start"] == pytest.approx((place["left"] + place["right"]) / 2, abs=SLACK)


def test_a_column_keeps_branches_together() -> None:
    drawing = column({"a1": (), "b1": (), "a2": ("a1",), "b2": ("b1",), "end": ("a2", "b2")})
    assert [node.name for node in drawing.nodes] == ["a1", "a2", "b1", "b2", "end"]


def test_a_circle_and_unknown_names_do_not_hang_it() -> None:
    drawing = layout({"a": ("b",), "b": ("a",), "c": ("nowhere",)})
    assert len(drawing.nodes) == 3
    assert [(edge.source, edge.target) for edge in drawing.edges] == [("a", "b")]
    assert len(column({"a": ("b",), "b": ("a",), "c": ("nowhere",)}).nodes) == 3


def test_nothing_gives_an_empty_drawing() -> None:
    assert layout({}).nodes == ()
    assert column({}).nodes == ()


def test_what_is_not_said_depends_on_the_action_before() -> None:
    definition = WorkflowDefinition(
        name="w",
        actions=(
            ActionDefinition(name="a", action_type="flow"),
            ActionDefinition(name="b", action_type="flow"),
            ActionDefinition(name="c", action_type="flow", depends_on=()),
            ActionDefinition(name="d", action_type="flow", depends_on=("a", "b", "a")),
        ),
    )
    assert needs_of(definition) == {"a": (), "b": ("a",), "c": (), "d": ("a", "b")}


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.5, 5)), max_size=20))
def test_isotonic_regression_ascends_and_keeps_the_balance(pairs) -> None:
    wishes, weights = [wish for wish, _ in pairs], [weight for _, weight in pairs]

    found = ascending(wishes, weights)

    assert all(before <= after + 1e-9 for before, after in itertools.pairwise(found))
    # The weighted mean is kept: nothing drifts away from where it wants to be.
    assert sum(v * w for v, w in zip(found, weights, strict=True)) == pytest.approx(
        sum(v * w for v, w in zip(wishes, weights, strict=True)), abs=1e-6
    )
    if wishes == sorted(wishes):
        assert found == pytest.approx(wishes)
