"""What the dispatcher needs of other rooms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from automation.model.event import Event
from automation.store.statement import Op
from automation.triggers.deciding import P, Prepares


class Workflows(Prepares[P], Protocol[P]):
    """What the dispatcher needs of the workflows room."""

    def launch(self, run: P, /) -> None:
        """Go on with it, now that it is written."""
        ...

    async def refusal(self, run: P, /) -> str | None:
        """Why there is no seat for it, or None."""
        ...


class Awaited(Protocol):
    """Executions that wait for events."""

    def match(self, event: Event) -> Sequence[Any]:
        """What waits for the event; nothing, at hardly any cost, for most events."""
        ...

    async def writes(self, met: Sequence[Any], event: Event) -> list[Op]:
        """What is committed with the event."""
        ...

    def tell(self, met: Sequence[Any], event: Event) -> tuple[str, ...]:
        """The event is on disk; returns the executions that it has woken."""
        ...


class Companion(Protocol):
    """What more belongs to events of some types than what triggers make of them."""

    @property
    def types(self) -> Collection[str]:
        """Of which types; it is asked about no others."""
        ...

    def check(self, event: Event) -> None:
        """Refuse an event of which nothing can be written; raises InputError."""
        ...

    def writes(self, event: Event) -> tuple[Sequence[Op], Callable[[], None]] | None:
        """What is committed with an event, and what is called once it is; None for most."""
        ...
