"""Keeps what guardrails need to know: the global stop, freeze windows, what was done lately.

All of it is rows; this is the view of one node. What it changes itself it knows at once, what others change within a
second: of two nodes, each may let one act through that the other has just used up the room for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from automation.clock import Clock
from automation.errors import Conflict, NotFound, StoreError
from automation.model.guardrail import FreezeWindow, Guardrails, HeldAct, Stop
from automation.plugins import registry
from automation.store import guards, statements
from automation.store.audit import Fact
from automation.store.guards import Hold
from automation.store.statement import Op, Unexpected
from automation.store.store import Store, to_json
from automation.telemetry.changes import Changes
from automation.workflows.acts import Acts
from automation.workflows.freezes import Freeze, ParseCron

log = logging.getLogger("automation.workflows")

LOOK_SECONDS = 1.0
"""How soon a node knows what another one has changed."""

OVERLAP_SECONDS = 10.0
"""How far back each look goes: clocks differ, and a row is there some time after its `changed_at`."""

FORGET_SECONDS = 3600.0
"""How often old acts are removed."""

KEPT_SECONDS = 8 * 86_400.0
"""How long acts are kept: a day more than the longest window."""

SWEEP_SECONDS = 30.0
"""How long after a release it is looked for actions that went to wait just when it came."""


@dataclass(frozen=True, slots=True)
class FreezeView:
    """A freeze window, and whether it is in force."""

    window: FreezeWindow
    origin: str
    """`configuration`, or who put it in force."""
    until: float | None
    """When it ends, if it is in force now."""
    begins_at: float | None
    """When it begins next."""


@dataclass(frozen=True, slots=True)
class GuardrailStatus:
    """What holds actions back now, and which wait for it."""

    stop: Stop | None
    freezes: tuple[FreezeView, ...]
    held: tuple[HeldAct, ...]


class Guards:
    """The guardrails of one engine."""

    def __init__(self, settings: Guardrails, store: Store, clock: Clock, changes: Changes, parse: ParseCron) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self._changes = changes
        self._parse = parse
        self._configured = [Freeze(window, parse) for window in settings.freezes]
        self._by_hand: dict[str, tuple[Hold, Freeze]] = {}
        self._stop: Stop | None = None
        self._released = asyncio.Event()
        self._released.set()
        self._reach = -1.0
        self._lock = asyncio.Lock()
        self._reaching = asyncio.Lock()
        self._looked_at: float | None = None
        self._sweep_until = 0.0
        self._forget_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.node = ""
        self.acts = Acts()
        """What was done lately, as far back as was asked for."""
        self.longest_blast = settings.blast_radius.window_seconds
        self.on_release: list[Callable[[], None]] = []
        """Called when the global stop is lifted: what waits for that goes on."""

    @property
    def stopped(self) -> Stop | None:
        """The global stop, if it is in force."""
        return self._stop

    @property
    def active(self) -> bool:
        """Whether a stop or a freeze window may concern any action now."""
        return self._stop is not None or bool(self._configured) or bool(self._by_hand)

    def freezes(self, *, configured: bool = True) -> list[Freeze]:
        """The freeze windows that somebody has put in force, and those of the configuration."""
        by_hand = [freeze for _, freeze in self._by_hand.values()]
        return [*self._configured, *by_hand] if configured else by_hand

    def compiled(self, windows: Iterable[FreezeWindow]) -> tuple[Freeze, ...]:
        """Windows of a workflow, ready to be asked."""
        return tuple(Freeze(window, self._parse) for window in windows)

    async def open(self, node: str) -> None:
        """Learn what is in force, and from here on what other nodes change; raises StoreError."""
        self.node = node
        for name in self.settings.operations:
            if registry.find("action", name) is None:
                log.warning("guardrails.operations: %s", registry.unknown("action", name))
        self._forget_at = self._clock.now() + FORGET_SECONDS
        await self.look()
        self._task = asyncio.get_running_loop().create_task(self._loop(), name="automation-guardrails")

    async def close(self) -> None:
        """Look no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def stop(self, reason: str, actor: str = "local") -> None:
        """Let nothing begin that changes anything, on any node, until it is released. A second call has no effect."""
        async with self._lock:
            await self._look()
            if self._stop is None:
                stop = Stop(reason=reason.strip(), actor=actor, since=self._clock.now())
                hold = Hold("stop", "", {"reason": stop.reason}, actor, stop.since)
                await self._commit([hold.op()], actor, "stop", "everything", hold.body)
                self._set_stop(stop)

    async def release(self, actor: str = "local", reason: str = "") -> None:
        """Lift the global stop; what waited for that goes on. Raises Conflict if there is none."""
        ops = [statements.HOLD_DELETE(where_kind="stop", where_name=""), self._wake(self._clock.now())]
        async with self._lock:
            try:
                await self._commit(ops, actor, "release", "everything", {"reason": reason.strip()})
            except Unexpected:
                raise Conflict("nothing is stopped") from None
            self._set_stop(None)

    async def freeze(self, window: FreezeWindow, actor: str = "local") -> None:
        """Put a freeze window in force, beside those of the configuration. Raises Conflict for a name that is taken."""
        async with self._lock:
            await self._look()
            if window.name in self._by_hand or window.name in self._configured_names:
                raise Conflict(f"there is already a freeze window {window.name!r}")
            body = window.model_dump(mode="json", exclude_defaults=True)
            hold = Hold("freeze", window.name, body, actor, self._clock.now())
            await self._commit([hold.op()], actor, "freeze", window.name, body)
            await self._look()

    async def thaw(self, name: str, actor: str = "local") -> None:
        """Take back a freeze window that was put in force by hand. Raises NotFound, Conflict for a configured one."""
        if name in self._configured_names:
            raise Conflict(f"the freeze window {name!r} stands in the configuration: take it out there")
        op = statements.HOLD_DELETE(where_kind="freeze", where_name=name)
        async with self._lock:
            try:
                await self._commit([op], actor, "thaw", name, {})
            except Unexpected:
                raise NotFound(kind="freeze window", name=name) from None
            await self._look()

    async def status(self) -> GuardrailStatus:
        """What holds actions back now, and which wait for it."""
        await self.look()
        now = self._clock.now()
        views = [(freeze, "configuration") for freeze in self._configured]
        views += [(freeze, hold.actor) for hold, freeze in self._by_hand.values()]
        freezes = tuple(
            FreezeView(freeze.definition, origin, freeze.until(now), freeze.next_begin(now)) for freeze, origin in views
        )
        return GuardrailStatus(self._stop, freezes, tuple(await guards.held(self._store)))

    async def released(self, seconds: float | None = None) -> None:
        """Return when the global stop is lifted, or after so many seconds."""
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._released.wait())}
        if seconds is not None:
            waits.add(asyncio.ensure_future(self._clock.sleep(max(seconds, 0.0))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def reach(self, seconds: float) -> None:
        """Know what was done in the last so many seconds; raises StoreError."""
        if seconds <= self._reach:
            return
        async with self._reaching:
            if seconds > self._reach:
                now = self._clock.now()
                for act in await guards.acts_until_now(self._store, now - seconds, now):
                    self.acts.put(act)
                self._reach = seconds
                self._looked_at = self._looked_at or now

    async def look(self) -> None:
        """Take over what has changed; raises StoreError."""
        # What was read before a change of our own must not be taken for what is so after it.
        async with self._lock:
            await self._look()

    @property
    def _configured_names(self) -> frozenset[str]:
        return frozenset(freeze.definition.name for freeze in self._configured)

    async def _look(self) -> None:
        holds = await guards.all_holds(self._store)
        stops = [hold for hold in holds if hold.kind == "stop"]
        self._set_stop(
            Stop(reason=stops[0].body.get("reason", ""), actor=stops[0].actor, since=stops[0].at) if stops else None
        )
        found = {hold.name: hold for hold in holds if hold.kind == "freeze"}
        if {name: hold for name, (hold, _) in self._by_hand.items()} != found:
            self._by_hand = {name: (hold, freeze) for name, hold in found.items() if (freeze := self._read(hold))}
            self._changes.tell("guardrails", "freeze")
        if self._looked_at is not None:
            now = self._clock.now()
            for act in await guards.acts_since(self._store, self._looked_at - OVERLAP_SECONDS, not_of=self.node):
                self.acts.put(act)
            self._looked_at = now

    def _read(self, hold: Hold) -> Freeze | None:
        try:
            return Freeze(FreezeWindow.model_validate({**hold.body, "name": hold.name}), self._parse)
        except ValidationError as error:
            log.error("the freeze window %s cannot be read and is left out: %s", hold.name, error)
            return None

    def _set_stop(self, stop: Stop | None) -> None:
        before, self._stop = self._stop, stop
        if stop == before:
            return
        self._changes.tell("guardrails", "stop")
        if self._task is not None:
            # An engine that runs says so; a command that only writes the row has its own words.
            told = "is lifted" if stop is None else f"is in force, by {stop.actor}: {stop.reason}"
            log.warning("the stop of all changes %s", told)
        if stop is not None:
            self._released.clear()
            return
        self._released.set()
        self._sweep_until = self._clock.now() + SWEEP_SECONDS
        for call in self.on_release:
            call()

    async def _loop(self) -> None:
        while True:
            await self._clock.idle(LOOK_SECONDS)
            try:
                await self.look()
                now = self._clock.now()
                if now < self._sweep_until and self._stop is None:
                    await self._store.commit([self._wake(now)])
                if now >= self._forget_at:
                    self._forget_at = now + FORGET_SECONDS
                    self.acts.forget_before(now - self._reach, now - self.longest_blast)
                    await self._store.commit([statements.ACTS_FORGET(before=now - KEPT_SECONDS)])
            except StoreError as error:
                log.error("guardrails: %s", error.message)
            except Exception:
                # Whatever goes wrong here, a stop from another node must be seen by the next look.
                log.exception("guardrails cannot be looked at; it goes on")

    def _wake(self, now: float) -> Op:
        return statements.EXECUTIONS_WAKE_HELD(wake_at=now, where_held_by="stop")

    async def _commit(self, ops: list[Op], actor: str, act: str, subject: str, detail: dict[str, Any]) -> None:
        fact = Fact(self._clock.now(), "system_modification", actor, act, subject, "ok", to_json(detail))
        await self._store.commit(ops, [fact])
