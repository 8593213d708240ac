"""What commands ask of metrics, of a server or of the configured database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from automation.clock import iso

if TYPE_CHECKING:
    from automation.cli.client import Document
    from automation.engine import AutomationEngine


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


class RemoteMetrics:
    """Asks a server."""

    def __init__(self, get: Callable[..., Awaitable[Document]]) -> None:
        self._get = get

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


def _document(value: Any) -> Document:
    from automation.api.render import plain

    document: Document = plain(value)
    return document
