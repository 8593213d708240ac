"""Where the nodes of a workflow's graph stand and how its edges run. Pure: names in, coordinates out.

`layout` is a layered drawing after Sugiyama, Tagawa and Toda ("Methods for Visual Understanding of Hierarchical System
Structures", IEEE Transactions on Systems, Man and Cybernetics 11(2), 1981): layers by the longest path, order within a
layer by barycentres, coordinates by isotonic regression. `column` is one for narrow windows: a node below the other.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from automation.model.workflow import WorkflowDefinition

WIDTH, HEIGHT = 208.0, 72.0
"""The size of a node."""
MARGIN = 8.0
PER_ROW = 5
"""How many nodes of a mere sequence stand beside each other before the next row begins."""

_GAP = 38.0
"""Between layers."""
_ROW_GAP = 18.0
"""Within a layer."""
_LANE = 14.0
"""How much room an edge takes where it passes through a layer."""
_MOST_LANES = 1500
_LANE_STEP = 10.0
_COLUMN_GAP = 24.0
_SWEEPS = 8

Point = tuple[float, float]
Needs = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Node:
    """A node's upper left corner."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge through these points: a curve to the right from each even one to the next, straight from each odd one."""

    source: str
    target: str
    points: tuple[Point, ...]
    angular: bool = False
    """Whether it is straight throughout."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing of `width` by `height`; `columns` is how many nodes it is wide."""

    width: float
    height: float
    columns: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def needs_of(definition: WorkflowDefinition) -> dict[str, tuple[str, ...]]:
    """What each action depends on: what it says, or the action before it."""
    needs: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for action in definition.actions:
        needs[action.name] = before if action.depends_on is None else tuple(dict.fromkeys(action.depends_on))
        before = (action.name,)
    return needs


def layout(needs: Needs) -> Layout:
    """Place every node of a graph; edges run to the right. A mere sequence is written in rows, as text is."""
    layers = _layers(needs)
    if _is_chain(needs, layers):
        return _rows([layer[0] for layer in layers])
    drawing = _Drawing(needs, layers)
    drawing.order()
    return drawing.place()


def column(needs: Needs) -> Layout:
    """Place every node below what it depends on; edges that skip a node run in lanes to the left of all nodes."""
    names = _in_turn(needs)
    row = {name: place for place, name in enumerate(names)}
    jumps: dict[str, list[str]] = {}
    for name in names:
        for need in needs[name]:
            if row.get(need, len(row)) < row[name] - 1:
                jumps.setdefault(need, []).append(name)
    lanes = _lanes(
        [(row[source], row[targets[-1]]) for source, targets in sorted(jumps.items(), key=lambda j: row[j[0]])]
    )
    left = MARGIN + (_LANE_STEP * (1 + max(lanes.values())) + 6 if lanes else 0.0)
    top = [MARGIN + place * (HEIGHT + _COLUMN_GAP) for place in range(len(names))]
    edges = []
    for name in names:
        for need in needs[name]:
            here = row.get(need, len(row))
            if here == row[name] - 1:
                x = left + WIDTH / 2
                edges.append(Edge(need, name, ((x, top[here] + HEIGHT), (x, top[row[name]])), angular=True))
            elif here < row[name]:
                x = left - _LANE_STEP * (1 + lanes[here])
                start, end = top[here] + HEIGHT / 2 + 8, top[row[name]] + HEIGHT / 2 - 8
                edges.append(Edge(need, name, ((left, start), (x, start), (x, end), (left, end)), angular=True))
    nodes = tuple(Node(name, left, top[place]) for place, name in enumerate(names))
    height = top[-1] + HEIGHT + MARGIN if names else 2 * MARGIN
    return Layout(left + WIDTH + MARGIN, height, 1, nodes, tuple(edges))


def _in_turn(needs: Needs) -> list[str]:
    """Each node after all it depends on, and where possible right after one of them."""
    after: dict[str, list[str]] = {name: [] for name in needs}
    missing = {name: {need for need in needs[name] if need in needs} for name in needs}
    for name in needs:
        for need in missing[name]:
            after[need].append(name)
    ready = [name for name in reversed(list(needs)) if not missing[name]]
    names: list[str] = []
    while ready:
        name = ready.pop()
        names.append(name)
        for follower in after[name]:
            missing[follower].discard(name)
        ready += [follower for follower in reversed(after[name]) if not missing[follower]]
    placed = set(names)
    return names + [name for name in needs if name not in placed]


def _lanes(spans: Sequence[tuple[int, int]]) -> dict[int, int]:
    """A lane for each span of rows, by its first row: the nearest that is free all along."""
    ends: list[int] = []
    lanes = {}
    for first, last in spans:
        lane = next((lane for lane, end in enumerate(ends) if end <= first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes[first] = lane
    return lanes


def _layers(needs: Needs) -> list[list[str]]:
    depth: dict[str, int] = {}
    left = list(needs)
    while left:
        ready = [name for name in left if all(need in depth or need not in needs for need in needs[name])]
        # A circle cannot be registered; a drawing of one should still not hang.
        for name in ready or left:
            depth[name] = 1 + max((depth[need] for need in needs[name] if need in depth), default=-1)
        left = [name for name in left if name not in depth]
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in needs:
        layers[depth[name]].append(name)
    return layers


def _is_chain(needs: Needs, layers: Sequence[Sequence[str]]) -> bool:
    if any(len(layer) != 1 for layer in layers):
        return False
    return all(tuple(needs[layer[0]]) == tuple(before) for before, layer in pairwise(layers))


def _rows(names: Sequence[str]) -> Layout:
    """A mere sequence, in rows as text is written."""
    right, down = WIDTH + _GAP, HEIGHT + 2 * _ROW_GAP
    nodes = [
        Node(name, MARGIN + place % PER_ROW * right, MARGIN + place // PER_ROW * down)
        for place, name in enumerate(names)
    ]
    edges = []
    for before, after in pairwise(nodes):
        start = (before.x + WIDTH, before.y + HEIGHT / 2)
        end = (after.x, after.y + HEIGHT / 2)
        if before.y == after.y:
            edges.append(Edge(before.name, after.name, (start, end)))
        else:
            # Back to the beginning of the next row, along the gap between both.
            gap = after.y - _ROW_GAP
            low = before.x + WIDTH / 2
            back = after.x + WIDTH / 2
            turn = ((low, before.y + HEIGHT), (low, gap), (back, gap), (back, after.y))
            edges.append(Edge(before.name, after.name, turn, angular=True))
    columns = min(len(names), PER_ROW)
    height = 2 * MARGIN + (len(names) - 1) // PER_ROW * down + HEIGHT
    return Layout(2 * MARGIN + columns * right - _GAP, height, columns, tuple(nodes), tuple(edges))


class _Drawing:
    """Layers of cells: the nodes, and a lane for each edge wherever it passes through a layer between its ends."""

    def __init__(self, needs: Needs, layers: list[list[str]]) -> None:
        self.names = [name for layer in layers for name in layer]
        self.layers: list[list[int]] = []
        self.depth: list[int] = []
        for depth, layer in enumerate(layers):
            self.layers.append(list(range(len(self.depth), len(self.depth) + len(layer))))
            self.depth += [depth] * len(layer)
        number = {name: cell for cell, name in enumerate(self.names)}
        self.before: list[list[int]] = [[] for _ in self.depth]
        self.after: list[list[int]] = [[] for _ in self.depth]
        self.paths = self._connect(
            [(number[need], number[name]) for name in self.names for need in needs[name] if need in number]
        )
        self.across = [0.0] * len(self.depth)

    def _connect(self, edges: list[tuple[int, int]]) -> list[list[int]]:
        depth = self.depth
        edges = [(source, target) for source, target in edges if depth[source] < depth[target]]
        lanes = sum(depth[target] - depth[source] - 1 for source, target in edges)
        paths = []
        for source, target in edges:
            path = [source]
            # Beyond some number of lanes there is no picture to be saved, only time to be lost.
            for between in range(depth[source] + 1, depth[target] if lanes <= _MOST_LANES else 0):
                lane = len(self.depth)
                self.depth.append(between)
                self.layers[between].append(lane)
                self.before.append([])
                self.after.append([])
                path.append(lane)
            path.append(target)
            for here, there in pairwise(path):
                self.after[here].append(there)
                self.before[there].append(here)
            paths.append(path)
        return paths

    def order(self) -> None:
        """Order each layer so that few edges cross."""
        best, fewest = [list(layer) for layer in self.layers], self._crossings()
        for sweep in range(_SWEEPS):
            if fewest == 0:
                break
            downward = sweep % 2 == 0
            places = self._places()
            for layer in self.layers if downward else reversed(self.layers):
                near = self.before if downward else self.after
                layer.sort(key=lambda cell: _mean([places[other] for other in near[cell]], places[cell]))
                places |= {cell: place for place, cell in enumerate(layer)}
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def _places(self) -> dict[int, int]:
        return {cell: place for layer in self.layers for place, cell in enumerate(layer)}

    def _crossings(self) -> int:
        places = self._places()
        crossings = 0
        for layer in self.layers:
            seen: list[int] = []
            for cell in layer:
                ends = sorted(places[other] for other in self.after[cell])
                crossings += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return crossings

    def place(self) -> Layout:
        """Give each cell its coordinates: near to what it is joined with, in order, without overlap."""
        for layer in self.layers:
            self._settle(layer, [0.0] * len(layer))
        for sweep in range(2 * _SWEEPS):
            downward = sweep % 2 == 0
            near = self.before if downward else self.after
            for layer in self.layers if downward else reversed(self.layers):
                self._settle(layer, [self._wish(cell, near[cell]) for cell in layer])
        for layer in self.layers:
            self._settle(layer, [self._wish(cell, self.before[cell] + self.after[cell]) for cell in layer])
        return self._finished()

    def _wish(self, cell: int, near: Iterable[int]) -> float:
        return _mean([self.across[other] for other in near], self.across[cell])

    def _settle(self, layer: list[int], wishes: list[float]) -> None:
        offsets, offset = [], 0.0
        for place, cell in enumerate(layer):
            if place:
                offset += (self._size(layer[place - 1]) + self._size(cell)) / 2 + _ROW_GAP
            offsets.append(offset)
        weights = [1.0 if cell < len(self.names) else 4.0 for cell in layer]
        settled = ascending([wish - offset for wish, offset in zip(wishes, offsets, strict=True)], weights)
        for cell, value, offset in zip(layer, settled, offsets, strict=True):
            self.across[cell] = value + offset

    def _size(self, cell: int) -> float:
        return HEIGHT if cell < len(self.names) else _LANE

    def _finished(self) -> Layout:
        least = min((self.across[cell] - self._size(cell) / 2 for cell in range(len(self.across))), default=0.0)
        most = max((self.across[cell] + self._size(cell) / 2 for cell in range(len(self.across))), default=0.0)
        centre = [round(value - least + MARGIN, 1) for value in self.across]
        step = WIDTH + _GAP
        start = [MARGIN + depth * step for depth in self.depth]
        nodes = [Node(name, start[cell], centre[cell] - HEIGHT / 2) for cell, name in enumerate(self.names)]
        edges = []
        for path in self.paths:
            points = [(start[path[0]] + WIDTH, centre[path[0]])]
            for lane in path[1:-1]:
                points += [(start[lane], centre[lane]), (start[lane] + WIDTH, centre[lane])]
            points.append((start[path[-1]], centre[path[-1]]))
            edges.append(Edge(self.names[path[0]], self.names[path[-1]], tuple(points)))
        width = 2 * MARGIN + len(self.layers) * step - _GAP
        height = round(most - least + 2 * MARGIN, 1)
        return Layout(width, height, len(self.layers), tuple(nodes), tuple(edges))


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def ascending(wishes: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The ascending numbers with the least weighted squares of differences to the wishes.

    By pooling adjacent violators, Best and Chakravarti, Mathematical Programming 47, 1990.
    """
    pools: list[tuple[float, float, int]] = []
    for wish, weight in zip(wishes, weights, strict=True):
        value, total, count = wish, weight, 1
        while pools and pools[-1][0] >= value:
            other, mass, size = pools.pop()
            value = (value * total + other * mass) / (total + mass)
            total, count = total + mass, count + size
        pools.append((value, total, count))
    return [value for value, _, count in pools for _ in range(count)]
