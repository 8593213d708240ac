"""Looking back: what alert rules would have done with the metrics of the past, stored here or on a Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from automation.alerts.backtest import (
    AlertBacktest,
    Starts,
    Trial,
    difference,
    lead_of,
    metrics_of,
    notes_on,
    play,
)
from automation.alerts.reading import Watched, watched_of
from automation.clock import Clock
from automation.errors import InputError, NotFound, TryLater
from automation.infrastructure.promql import evaluate_range
from automation.infrastructure.web import Web
from automation.model.alert import AlertRule
from automation.model.event import Event
from automation.model.metric import Bucket
from automation.monitoring.collectors.promql import PromqlCollector, series_of
from automation.monitoring.history import History, Line
from automation.monitoring.tape import FIGURES, Figure, Tape
from automation.triggers.rules import Rule

MOST_SERIES = 1_000
"""Of one metric; those further on in the order of subjects are left out, which is said."""
MOST_STEPS = 50_000
PROMETHEUS_STEPS = 11_000
"""How many points Prometheus gives in one answer."""
_ZEROS_FOR = 5
"""For how many steps a series of a query that filters is 0 once it has left the answer."""


class Rules(Protocol):
    """The alert rules in force."""

    def rules(self) -> list[AlertRule]: ...


@dataclass(frozen=True, slots=True)
class Question:
    """Which past a rule is tried on, and how."""

    since: float
    step: int | None = None
    """Seconds; by default the shortest buckets that are kept since then, on a Prometheus a minute or more."""
    figure: Figure = "last"
    """What of the samples within a step stands for them."""
    prometheus: str | None = None
    """The address of a Prometheus to ask instead of the history."""


class Hindsight:
    """Tries alert rules on the past."""

    def __init__(
        self,
        history: History,
        rules: Rules,
        clock: Clock,
        explain: Callable[[Event], Sequence[tuple[Rule, str | None]]],
        queries: Callable[[], Mapping[str, PromqlCollector]],
    ) -> None:
        """`explain` says of each rule whether it starts its workflow with an event; `queries` which metrics come from
        which queries to a Prometheus."""
        self._history = history
        self._rules = rules
        self._clock = clock
        self._explain = explain
        self._queries = queries

    async def alert(self, name: str, question: Question, definition: AlertRule | None = None) -> AlertBacktest:
        """What a version of a rule, by default the one in force, would have done; beside the one in force.

        Raises NotFound, ConditionError, InputError, which also says what a Prometheus did not answer.
        """
        current = next((rule for rule in self._rules.rules() if rule.name == name), None)
        if definition is None and current is None:
            raise NotFound(kind="alert rule", name=name)
        if definition is not None and definition.name != name:
            raise InputError(f"definition.name: is {definition.name!r}, not {name!r}", path="definition.name")
        until = self._clock.now()
        if question.since >= until:
            raise InputError("since: is in the future", path="since")
        if question.figure not in FIGURES:
            raise InputError(f"figure: must be one of {', '.join(FIGURES)}", path="figure")
        new = watched_of(definition or current)  # type: ignore[arg-type]
        versions = [new] if definition is None or current is None else [new, watched_of(current)]
        step = self._step(question, until)
        tape, notes = await self._tape(versions, question, step, until)
        trials = [Trial(watched, tape, self._starts(name)) for watched in versions]
        played = await play(tape, trials, question.since, until)
        tried = [trial.tried(played.until) for trial in trials]
        compared = len(trials) == 2
        return AlertBacktest(
            rule=name,
            since=question.since,
            until=played.until,
            step=step,
            figure=question.figure,
            source="history" if question.prometheus is None else Web(url=question.prometheus).place,
            series=tape.series,
            samples=played.samples,
            complete=played.complete,
            notes=(*notes_on(versions, step), *notes),
            tried=tried[0],
            current=tried[-1] if current is not None else None,
            gained=difference(trials[0].firings, trials[1].firings) if compared else (),
            lost=difference(trials[1].firings, trials[0].firings) if compared else (),
        )

    def _step(self, question: Question, until: float) -> int:
        length = until - question.since
        if question.step is not None:
            step = question.step
        elif question.prometheus is not None:
            step = max(60, int(length // PROMETHEUS_STEPS) + 1)
        else:
            step = self._history.step_for(question.since, until, MOST_STEPS)
        if step < 1 or length / step > MOST_STEPS:
            raise InputError(f"step: that is more than {MOST_STEPS} steps; take longer ones, or less time", path="step")
        return step

    async def _tape(
        self, versions: Sequence[Watched], question: Question, step: int, until: float
    ) -> tuple[Tape, list[str]]:
        metrics, lead = sorted(metrics_of(versions)), lead_of(versions)
        since = question.since - lead
        lines: dict[str, list[Line]] = {}
        notes: list[str] = []
        if question.prometheus is None:
            known_from = max(self._history.began, until - self._history.kept(step))
            if known_from > question.since:
                notes.append("the history does not reach so far back")
            if (blind := self._history.blind(question.since, until)) >= step:
                notes.append(f"nobody watched for {blind:.0f} seconds of it")
        else:
            known_from = since
        for metric in metrics:
            if question.prometheus is None:
                lines[metric] = await self._history.read(metric, step, since, until, limit=MOST_SERIES)
            else:
                lines[metric] = await self._ask(question.prometheus, metric, (since, until), step)
            if not lines[metric]:
                notes.append(f"there are no samples of {metric}")
            elif len(lines[metric]) == MOST_SERIES:
                notes.append(f"of {metric}, the first {MOST_SERIES} series only")
        return Tape(lines, step, question.figure, lead, (known_from, until)), notes

    async def _ask(self, url: str, metric: str, span: tuple[float, float], step: int) -> list[Line]:
        """The series of a metric on a Prometheus: of the query of the monitor that measures it, else of that name."""
        try:
            # Not by its name alone: `cpu-usage` would be a difference, and `node.cpu` nothing that Prometheus reads.
            named = f"{{__name__={json.dumps(metric)}}}"
            settings = PromqlCollector(url=url, query=named, metric="asked")
            known = self._queries().get(metric)
            if known is not None:
                other = urlsplit(known.url).netloc != urlsplit(url).netloc
                # What the one in the definition is told in confidence is not for another one.
                settings = known.model_copy(update={"url": url} | ({"token": None, "headers": {}} if other else {}))
        except ValueError:
            raise InputError(
                f"prometheus: {url[:100]!r} is not an address of a Prometheus", path="prometheus"
            ) from None
        last = span[1] // step * step
        times = [last - step * back for back in range(int((last - span[0]) // step), -1, -1)]
        found: dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, float]] = {}
        for begin in range(0, len(times), PROMETHEUS_STEPS):
            part = times[begin : begin + PROMETHEUS_STEPS]
            try:
                answer = await evaluate_range(settings, settings.query, part[0], part[-1], step, MOST_SERIES)
            except TryLater as error:
                raise InputError(f"prometheus: {error.message}", path="prometheus") from None
            for labels, points in answer:
                subject, kept = series_of(settings, labels)
                series = found.setdefault((subject, tuple(sorted(kept.items()))), {})
                series.update({round((at - times[0]) / step): value for at, value in points})
        active = settings.mode == "active"
        return [
            Line(subject, dict(labels), tuple(_buckets(points, times, step, active=active)))
            for (subject, labels), points in sorted(found.items())[:MOST_SERIES]
        ]

    def _starts(self, rule: str) -> Starts:
        def starts(event: Event) -> list[str]:
            # The rule's own actions are those of the version that is tried.
            fitting = (found.workflow for found, reason in self._explain(event) if reason is None)
            return list(dict.fromkeys(name for name in fitting if name != rule))

        return starts


def _buckets(points: Mapping[int, float], times: Sequence[float], step: int, *, active: bool) -> list[Bucket]:
    """Values at moments as buckets that end then; of a query that filters, 1 while a series is there and then 0."""
    found: list[Bucket] = []
    before, gone = None, _ZEROS_FOR
    for index, at in enumerate(times):
        value = points.get(index)
        gone = 0 if value is not None else gone + 1
        if active:
            value = 1.0 if value is not None else 0.0 if gone <= _ZEROS_FOR else None
        # Infinity and what is no number are no samples here either.
        if value is not None and value - value == 0.0:
            rise = 0.0 if before is None else value - before if value >= before else value
            found.append(Bucket(at - step, 1, value, value, value, value, value, rise))
            before = value
    return found
