"""What commands ask of metrics and of the rules over them, of a server or of the configured database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from automation.clock import iso
from automation.errors import InputError

if TYPE_CHECKING:
    from automation.cli.client import Document
    from automation.engine import AutomationEngine
    from automation.hindsight import Question
    from automation.model.alert import AlertRule


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which part of the history of a metric is shown."""

    since: float
    step: int | None = None
    subject: str | None = None
    limit: int = 100


class MetricsClient(Protocol):
    """Asks something of metrics. Raises AutomationError."""

    async def list(self) -> Document:
        """The metrics that have samples."""
        ...

    async def show(self, name: str, stretch: Stretch) -> Document:
        """What a metric was."""
        ...

    async def explain(self, rule: str) -> Document:
        """What an alert rule says of each series now."""
        ...

    async def backtest(self, rule: str, question: Question, definition: AlertRule | None) -> Document:
        """What an alert rule would have done."""
        ...


class RemoteMetrics:
    """Asks a server."""

    def __init__(self, get: Callable[..., Awaitable[Document]], post: Callable[..., Awaitable[Document]]) -> None:
        self._get = get
        self._post = post

    async def list(self) -> Document:
        """The metrics that have samples."""
        return await self._get("/metrics")

    async def show(self, name: str, stretch: Stretch) -> Document:
        """What a metric was."""
        return await self._get(
            f"/metrics/{quote(name, safe='')}",
            since=iso(stretch.since),
            step=stretch.step,
            subject=stretch.subject,
            limit=stretch.limit,
        )

    async def explain(self, rule: str) -> Document:
        """What an alert rule says of each series now."""
        return await self._get(f"/alert-rules/{quote(rule, safe='')}")

    async def backtest(self, rule: str, question: Question, definition: AlertRule | None) -> Document:
        """What an alert rule would have done."""
        body: dict[str, Any] = {"since": iso(question.since), "figure": question.figure}
        given = {"step": question.step, "prometheus": question.prometheus}
        body |= {key: value for key, value in given.items() if value is not None}
        if definition is not None:
            body["definition"] = definition.model_dump(mode="json", exclude_defaults=True)
        return await self._post(f"/alert-rules/{quote(rule, safe='')}/backtest", body)


class LocalMetrics:
    """Reads the configured database."""

    def __init__(self, defined: Callable[[], Awaitable[AutomationEngine]]) -> None:
        self._defined = defined

    async def list(self) -> Document:
        """The metrics that have a history."""
        from automation.api.routes.metrics import metrics_of

        return _document(await metrics_of(await self._defined()))

    async def show(self, name: str, stretch: Stretch) -> Document:
        """What a metric was."""
        from automation.api.routes.metrics import Excerpt, history_of

        excerpt = Excerpt(stretch.since, stretch.step, stretch.subject, stretch.limit)
        return _document(await history_of(await self._defined(), name, excerpt))

    async def explain(self, rule: str) -> Document:
        """Refused: what was measured last is in the memory of a server."""
        raise InputError(
            f"to explain {rule}, ask the server that measures: its memory has the samples; set AUTOMATION_URL"
        )

    async def backtest(self, rule: str, question: Question, definition: AlertRule | None) -> Document:
        """What an alert rule would have done."""
        return _document(await (await self._defined()).hindsight.alert(rule, question, definition))


def _document(value: Any) -> Document:
    from automation.api.render import plain

    document: Document = plain(value)
    return document
