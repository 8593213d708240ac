"""Runs the sources that are defined, each for itself: one that dies is started again and touches no other."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from automation.clock import Clock
from automation.errors import AutomationError, DefinitionError, InputError, MissingExtra, NotFound, Problem
from automation.infrastructure.cancelling import end, is_ending
from automation.model.event import Event, EventReceipt
from automation.model.schedule import SourceDefinition
from automation.plugins import Plugin, no_secret, read_settings, registry, revealed
from automation.sources.normalise import Normalise
from automation.sources.source import Delivery, Item, Rejected, SourceContext
from automation.store.dead_letters import DeadLetter, event_text
from automation.store.events import Decision
from automation.store.records import save_position
from automation.store.statement import Op

log = logging.getLogger("automation.sources")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
HEALTHY_AFTER = 60.0
"""Seconds: the pause before a restart doubles from the first to the longest, and begins anew after that long a run."""

POSITION_PREFIX = "source."
MOST_AT_ONCE = 500
"""How many events of one source are on their way to the disk at the same time, at most."""
_RAW_KEPT = 10_000

Status = Literal["starting", "running", "failed", "stopped"]


class Publisher(Protocol):
    """Takes events in."""

    def publish(self, event: Event, *, also: Sequence[Op] = ()) -> Awaitable[EventReceipt]:
        """Return when the event's effects and the writes in `also` are on disk, together; of a duplicate, neither.
        Raises InputError for an event that cannot be accepted."""
        ...

    def publish_many(self, events: Sequence[Event], /) -> Awaitable[Sequence[EventReceipt]]:
        """Return when all their effects are on disk. Raises InputError, and takes none, if one cannot be accepted."""
        ...


Positions = Callable[[str], Awaitable[Mapping[str, Any]]]
"""All stored positions whose name begins so, without that beginning."""

Commit = Callable[[Sequence[Op]], Awaitable[object]]
"""Returns when the writes are on disk, together."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is doing, since this process has run it."""

    name: str
    type: str
    status: Status = "stopped"
    held_back: bool = False
    """Whether it waits because the database cannot be written."""
    restarts: int = 0
    retry_at: float | None = None
    """When it is started again, after a fault."""
    last_error: str | None = None
    last_event_at: float | None = None
    lag: int | None = None
    """How many items wait where they come from, as far as it knows."""
    events: int = 0
    duplicates: int = 0
    """How many of `events` had come before, and started nothing again."""
    rejected: int = 0


@dataclass(slots=True)
class _Running:
    definition: SourceDefinition
    plugin: Plugin
    settings: BaseModel
    normalise: Normalise
    state: SourceState
    tell: Callable[[SourceState], object]
    position: Any = None
    positioned: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def note(self, **changes: Any) -> None:
        before, self.state = self.state, replace(self.state, **changes)
        if (before.status, before.held_back) != (self.state.status, self.state.held_back):
            self.tell(self.state)

    def listens(self) -> None:
        if self.state.status == "starting":
            self.note(status="running")


def check_source(definition: SourceDefinition) -> tuple[Plugin, BaseModel, Normalise]:
    """The plug-in of a source, its settings and normalisers; raises DefinitionError with what is wrong with them."""
    plugin = registry.find("source", definition.type)
    if plugin is None:
        unknown = registry.unknown("source", definition.type)
        raise DefinitionError([Problem("type", unknown)], what=f"source {definition.name!r}")
    library = plugin.options.get("library")
    if library is not None and importlib.util.find_spec(library) is None:
        missing = MissingExtra(feature=f"the source {plugin.name!r}", extra=plugin.options["extra"])
        raise DefinitionError([Problem("type", missing.message)], what=f"source {definition.name!r}")
    settings = read_settings(plugin.settings, definition.settings, "settings")
    return plugin, settings, Normalise(definition.normalise)


class SourceSupervisor:
    """Runs sources as tasks, and publishes what they give."""

    def __init__(self, clock: Clock, publisher: Publisher, positions: Positions, commit: Commit) -> None:
        self._clock = clock
        self._publisher = publisher
        self._positions = positions
        self._commit = commit
        self._sources: dict[str, _Running] = {}
        self._started = False
        self.confide(no_secret, lambda text: text)
        self.tell: Callable[[SourceState], object] = lambda state: None
        """Called whenever a source has come to another status, or is held back or no longer is."""

    def confide(self, secret: Callable[[str], str], redact: Callable[[str], str]) -> None:
        """Use `secret` for what stands for `${secret:NAME}` in settings, asked each time that a source begins to run,
        and `redact` to hide secrets in the text of errors."""
        self._secret, self._redact = secret, redact

    @property
    def states(self) -> dict[str, SourceState]:
        """How each source is doing, by name."""
        return {name: running.state for name, running in self._sources.items()}

    @property
    def definitions(self) -> dict[str, SourceDefinition]:
        """What each source is, by name."""
        return {name: running.definition for name, running in self._sources.items()}

    async def add(self, definition: SourceDefinition) -> None:
        """Run this source, in the place of one of the same name; raises DefinitionError."""
        plugin, settings, normalise = check_source(definition)
        known = self._sources.get(definition.name)
        if known is not None:
            if known.definition == definition:
                return
            await _end(known)
        state = SourceState(definition.name, definition.type)
        running = _Running(definition, plugin, settings, normalise, state, lambda state: self.tell(state))
        self._sources[definition.name] = running
        if self._started:
            self._launch(running)

    async def remove(self, name: str) -> None:
        """Stop this source and forget it, but for its position; raises NotFound."""
        running = self._sources.pop(name, None)
        if running is None:
            raise NotFound(kind="source", name=name)
        await _end(running)

    async def start(self) -> None:
        """Run all sources."""
        self._started = True
        for running in self._sources.values():
            if running.task is None:
                self._launch(running)

    async def stop(self) -> None:
        """Stop all sources. What they were giving and was not stored is given again after the next start."""
        self._started = False
        await asyncio.gather(*(_end(running) for running in self._sources.values()))

    def _launch(self, running: _Running) -> None:
        running.note(status="starting")
        name = f"source-{running.definition.name}"
        running.task = asyncio.get_running_loop().create_task(self._supervise(running), name=name)

    async def _supervise(self, running: _Running) -> None:
        pause = FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                await self._run(running)
            except Exception as error:
                # Whatever a source raises must not touch the others.
                if is_ending():
                    return
                said = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else "it says no more")
                text = self._redact(f"{type(error).__name__}: {said}")
                log.warning("source %s failed: %s", running.definition.name, text)
                log.debug("source %s failed", running.definition.name, exc_info=error)
                running.note(status="failed", last_error=text)
            else:
                running.note(status="stopped")
                return
            if self._clock.monotonic() - began >= HEALTHY_AFTER:
                pause = FIRST_PAUSE
            running.note(retry_at=self._clock.now() + pause)
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            running.note(status="starting", restarts=running.state.restarts + 1, retry_at=None)

    async def _run(self, running: _Running) -> None:
        if not running.positioned:
            stored = await self._positions(POSITION_PREFIX)
            running.position = stored.get(running.definition.name)
            running.positioned = True
        context = SourceContext(running.definition.name, self._clock, running.position, running.listens)
        items: AsyncIterator[Item] = running.plugin.call(self._settings(running), context)
        if running.plugin.takes < 2:
            # It is given no context to say so by.
            running.listens()
        try:
            async for item in items:
                running.listens()
                await self._take(running, item)
        finally:
            # A generator is closed now, not whenever it is collected: it may hold files and connections.
            if inspect.isasyncgen(items):
                await items.aclose()

    def _settings(self, running: _Running) -> BaseModel:
        written = running.definition.settings
        found = revealed(written, self._secret)
        return running.settings if found == written else read_settings(running.plugin.settings, found, "settings")

    async def _take(self, running: _Running, item: Item) -> None:
        if isinstance(item, Event):
            item = Delivery((item,))
        if isinstance(item, Delivery) and item.lag is not None:
            running.note(lag=item.lag)
        position = None
        if item.position is not None:
            name = POSITION_PREFIX + running.definition.name
            position = save_position(name, item.position, self._clock.now())
        if isinstance(item, Rejected):
            await self._reject(running, item, position)
        elif item.events:
            await self._deliver(running, item.events, position)
        elif position is not None:
            await self._patiently(running, lambda: self._commit([position]))
        if item.position is not None:
            running.position = item.position

    async def _deliver(self, running: _Running, events: Sequence[Event], position: Op | None) -> None:
        # The position goes with the last one, when all others are on disk.
        *others, last = events
        for start in range(0, len(others), MOST_AT_ONCE):
            await self._pass_all_on(running, others[start : start + MOST_AT_ONCE])
        await self._pass_on(running, last, position)

    async def _pass_all_on(self, running: _Running, events: Sequence[Event]) -> None:
        receipts: Sequence[EventReceipt] = ()

        async def write() -> None:
            nonlocal receipts
            receipts = await self._publisher.publish_many(fit)

        try:
            fit = [running.normalise(event) for event in events]
            await self._patiently(running, write)
        except AutomationError:
            # One of them is not acceptable, or can never be written, and costs only itself.
            found = await asyncio.gather(
                *(self._pass_on(running, event, None) for event in events), return_exceptions=True
            )
            for failure in found:
                if failure is not None:
                    raise failure from None
            return
        duplicates = sum(receipt.duplicate for receipt in receipts)
        state = running.state
        running.note(
            events=state.events + len(receipts),
            duplicates=state.duplicates + duplicates,
            last_event_at=self._clock.now(),
        )

    async def _pass_on(self, running: _Running, event: Event, position: Op | None) -> None:
        also = () if position is None else (position,)

        async def write() -> None:
            receipt = await self._publisher.publish(running.normalise(event), also=also)
            if receipt.duplicate:
                if also:
                    await self._commit(also)
                running.note(duplicates=running.state.duplicates + 1)

        try:
            await self._patiently(running, write)
        except InputError as error:
            await self._reject(running, Rejected(repr(event), error.message), position, event)
        else:
            running.note(events=running.state.events + 1, last_event_at=self._clock.now())

    async def _reject(
        self, running: _Running, rejected: Rejected, position: Op | None, event: Event | None = None
    ) -> None:
        name = running.definition.name
        log.warning("source %s: not an event: %s", name, rejected.error)
        dead_letter = Decision(
            at=self._clock.now(),
            kind="source",
            subject=name,
            outcome="dead_letter",
            reason=f"{rejected.error}: {rejected.raw[:_RAW_KEPT]}",
            event_source=event.source if event else None,
            event_id=event.id if event else None,
        )
        body = rejected.raw if event is None else event_text(event)
        letter = DeadLetter.new(self._clock.now(), name, body, rejected.error)
        ops = [dead_letter.op(), letter.op(), *(() if position is None else (position,))]
        await self._patiently(running, lambda: self._commit(ops))
        running.note(rejected=running.state.rejected + 1, last_error=rejected.error)

    async def _patiently(self, running: _Running, write: Callable[[], Awaitable[object]]) -> None:
        # While the database cannot be written, the source is held back: it goes on where it stands.
        pause = FIRST_PAUSE
        while True:
            try:
                await write()
                if running.state.held_back:
                    running.note(held_back=False)
                return
            except AutomationError as error:
                if not error.retryable:
                    raise
                running.note(held_back=True, last_error=error.message)
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


async def _end(running: _Running) -> None:
    if running.task is not None:
        await end(running.task)
        running.task = None
    running.note(status="stopped", held_back=False, retry_at=None)
