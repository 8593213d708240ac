"""A running engine that has one source, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automation import AutomationEngine
from automation.definitions import Definitions
from automation.model.event import Event
from automation.model.schedule import SourceDefinition
from automation.sources.supervisor import SourceState
from tests.support.programs import until

NAME = "under-test"


async def follow(engine: AutomationEngine, kind: str, /, **settings: Any) -> None:
    """Run this source, and no other; `normalise` is no setting but its normalisers."""
    normalise = settings.pop("normalise", ())
    given = {"name": NAME, "type": kind, "settings": settings, "normalise": normalise}
    definition = SourceDefinition.model_validate(given)
    await engine.apply(Definitions(sources=(definition,)))


async def unfollow(engine: AutomationEngine) -> None:
    """Run no source any more."""
    await engine.apply(Definitions())


def state(engine: AutomationEngine) -> SourceState:
    """How the source is doing."""
    return engine.watching.sources.states[NAME]


async def is_so(engine: AutomationEngine, check: Callable[[SourceState], object]) -> SourceState:
    """How the source is doing, once it is so."""
    await until(lambda: check(state(engine)), "the source has come to that")
    return state(engine)


async def came(engine: AutomationEngine, count: int) -> list[Event]:
    """The events that came, oldest first, once there are so many."""

    async def enough() -> list[Event]:
        found = [stored.event for stored in (await engine.queries.events(limit=500)).items]
        return found if len(found) >= count else []

    try:
        found: list[Event] = await until(enough, f"{count} events came")
    except AssertionError as error:
        raise AssertionError(f"{error}; {state(engine)}") from None
    assert len(found) == count, [event.id for event in found]
    return found[::-1]


async def dead_letters(engine: AutomationEngine) -> list[str]:
    """What was no event, and why; the newest first."""
    return [decision.reason for decision in (await engine.queries.decisions(kind="source")).items]
