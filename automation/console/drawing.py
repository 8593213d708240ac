"""The graph of a workflow, or of one of its executions, as SVG. Pure: no page, no request, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from markupsafe import Markup

from automation.console import icons
from automation.console.graph import HEIGHT, WIDTH, Edge, Layout, Node, Point, column, layout, needs_of
from automation.console.words import duration, fit
from automation.model.execution import ActionRun, ActionStatus
from automation.model.workflow import ActionDefinition, WorkflowDefinition
from automation.workflows.shape import shape_of

MANY = 12
"""With more actions than that, a graph is scrolled by itself and not with its page."""

_ENDED = frozenset(status.value for status in ActionStatus if status.finished)


@dataclass(frozen=True, slots=True)
class Look:
    """What stands on a node."""

    name: str
    operation: str
    note: str
    status: str | None = None
    shape: tuple[str, ...] = ()
    """When and how often it runs, where that is more than once in its turn."""
    joins_some: bool = False
    """Whether it begins when some of those before it have succeeded, rather than when all have ended."""

    @property
    def summary(self) -> str:
        """All of it in one line."""
        return ", ".join(part for part in (self.name, self.operation, self.note, *self.shape) if part)


def draw_workflow(definition: WorkflowDefinition) -> Markup:
    """The graph of a workflow as it is defined."""
    return _draw(definition, [_look(action, operation_of(action), _defined(action)) for action in definition.actions])


def draw_execution(definition: WorkflowDefinition, runs: Iterable[ActionRun], now: float) -> Markup:
    """The graph of a workflow with what became of each of its actions so far."""
    ran = {run.name: run for run in runs}
    looks = []
    for action in definition.actions:
        run = ran.get(action.name)
        if run is None:
            looks.append(_look(action, operation_of(action), "pending", "pending"))
        else:
            operation = run.operation or operation_of(action)
            looks.append(_look(action, operation, progress(run, now), run.status.value))
    return _draw(definition, looks)


def _look(action: ActionDefinition, operation: str, note: str, status: str | None = None) -> Look:
    return Look(action.name, operation, note, status, shape_of(action), action.join != "all")


def operation_of(action: ActionDefinition) -> str:
    """What an action does, by its full name, as far as its definition says."""
    return action.action_type if "." in action.action_type else f"{action.action_type}.{action.name}"


def progress(run: ActionRun, now: float) -> str:
    """An action's status, how long it took (or has taken), and the attempt where it is not the first."""
    parts = [run.status.value]
    if run.started_at is not None and run.status is not ActionStatus.PENDING:
        parts.append(duration((run.finished_at or now) - run.started_at))
    if run.iteration > 1:
        parts.append(f"iteration {run.iteration}")
    if run.attempt > 1:
        parts.append(f"try {run.attempt}")
    return " · ".join(parts)


def _defined(action: ActionDefinition) -> str:
    shape = shape_of(action)
    if shape:
        return "; ".join(shape)
    if action.conditions:
        return f"if {' and '.join(action.conditions)}"
    if action.always:
        return "always runs"
    return "may fail" if action.on_failure == "continue" else ""


def _draw(definition: WorkflowDefinition, looks: list[Look]) -> Markup:
    needs = needs_of(definition)
    told = {look.name: look for look in looks}
    title = f"Graph of the workflow {definition.name}"
    wide, narrow = _layouts(tuple(needs.items()))
    both = _svg(wide, told, title, "wide") + _svg(narrow, told, title, "narrow")
    kind = f"cols-{min(wide.columns, 6)}{' large' if len(looks) > MANY else ''}"
    # Focusable, since a keyboard must be able to scroll it. Which of the two is shown is decided in `graph.css`.
    return Markup(
        '<div class="graph {}"><div class="scroll" tabindex="0" role="region" aria-label="The drawing">{}</div></div>'
    ).format(kind, both)


# A live page draws the same graph again and again with few nodes changed, so what is pure is remembered.


@lru_cache(maxsize=64)
def _layouts(needs: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[Layout, Layout]:
    return layout(dict(needs)), column(dict(needs))


def _svg(picture: Layout, looks: Mapping[str, Look], title: str, kind: str) -> Markup:
    edges = Markup("").join(
        _edge(edge, _edge_look(looks[edge.source], looks[edge.target]), kind) for edge in picture.edges
    )
    nodes = Markup("").join(_node(node, looks[node.name]) for node in picture.nodes)
    return Markup(
        '<svg class="{kind}" role="img" aria-labelledby="graph-{kind}-title graph-{kind}-text"'
        ' width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        '<title id="graph-{kind}-title">{title}</title><desc id="graph-{kind}-text">{text}</desc>'
        '<defs><marker id="arrow-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path class="arrow" d="M0 0.5L7.5 4L0 7.5z"/></marker></defs>{edges}{nodes}</svg>'
    ).format(
        kind=kind,
        width=picture.width,
        height=picture.height,
        title=title,
        text=f"{len(looks)} actions. The table of actions says the same in words.",
        edges=edges,
        nodes=nodes,
    )


def _edge_look(source: Look, target: Look) -> str:
    if target.joins_some:
        return "edge some done" if source.status == ActionStatus.SUCCEEDED.value else "edge some"
    return "edge done" if source.status in _ENDED else "edge"


@lru_cache(maxsize=4096)
def _edge(edge: Edge, look: str, kind: str) -> Markup:
    return Markup('<path class="{}" d="{}" marker-end="url(#arrow-{})"/>').format(look, _route(edge), kind)


def _route(edge: Edge) -> str:
    parts = [f"M{_at(edge.points[0])}"]
    for place, (here, there) in enumerate(pairwise(edge.points)):
        middle = (here[0] + there[0]) / 2
        curve = f"C{_at((middle, here[1]))} {_at((middle, there[1]))} {_at(there)}"
        parts.append(f"L{_at(there)}" if edge.angular or place % 2 else curve)
    return "".join(parts)


def _at(point: Point) -> str:
    return f"{point[0]:g},{point[1]:g}"


@lru_cache(maxsize=4096)
def _node(node: Node, look: Look) -> Markup:
    left = 33.0 if look.status else 14.0
    room = WIDTH - left - 9
    first = 24 if look.note else 32
    picture = Markup("")
    if look.status:
        picture = Markup('<g transform="translate(10 12)"><path class="icon icon-{}" d="{}"/></g>').format(
            look.status, icons.path(look.status)
        )
    operation = fit(look.operation, room, 11.5)
    note = Markup("")
    if look.note:
        note = Markup('<text class="note" x="{:g}" y="59">{}</text>').format(left, fit(look.note, room, 11.5))
    tone = icons.tone(look.status) if look.status else "plain"
    return Markup(
        '<g class="node {tone}" transform="translate({x:g} {y:g})"><title>{summary}</title>'
        '<rect width="{width:g}" height="{height:g}" rx="8"/>{picture}'
        '<text class="name" x="{left:g}" y="{first}">{name}</text>'
        '<text class="operation" x="{left:g}" y="{second}">{operation}</text>{note}</g>'
    ).format(
        tone=tone,
        x=node.x,
        y=node.y,
        summary=look.summary,
        width=WIDTH,
        height=HEIGHT,
        picture=picture,
        left=left,
        name=fit(look.name, room, 13, bold=True),
        operation=operation if operation == look.operation else fit(look.operation.rpartition(".")[2], room, 11.5),
        note=note,
        first=first,
        second=first + 18,
    )
