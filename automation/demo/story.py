"""The story, step by step. Each step waits for facts, with a limit of its own, and says what happened."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from statistics import fmean
from typing import TypeVar

from automation.demo.display import Display
from automation.demo.facts import KILLED, RAISED, REPORTED, Facts, read_facts
from automation.demo.stage import SERVICE, Stage
from automation.errors import AutomationError
from automation.model.service import Replica

T = TypeVar("T")

THRESHOLD = 80.0
"""Percent of a replica's cores; what the alert's condition says."""
CALM, BUSY = 25.0, 98.0
"""The CPU usage, in percent of the replicas' cores, that the load aims at before and after it is raised.

Calm is so little that one replica can carry all of it. Busy is as far above the threshold on two replicas as it is
below on three: a fifth, for what else the machine has to do makes each request dearer or cheaper."""
NEAR = 0.05
"""How far from what is aimed at the usage may be, as a share of it, before the rate is corrected."""
FURTHEST = 1.5
"""How far the raised rate may be corrected, up or down, as a factor."""
FIRST_RATE = 9.0
POLL_SECONDS = 0.2


class NotHappened(AutomationError):
    """A step of the story did not happen in time."""


class Story:
    """Plays the story on a stage."""

    def __init__(self, stage: Stage, display: Display) -> None:
        self._stage = stage
        self._display = display
        self._cost = 0.0
        """CPU seconds that a request costs, as measured."""

    async def play(self) -> None:
        """All of it; raises NotHappened."""
        await self._up()
        await self._calm()
        await self._kill()
        await self._restarted()
        await self._busy()
        await self._scaled()
        await self._calmed()
        await self.report()

    async def _up(self) -> None:
        stage = self._stage
        self._display.begin(f"starting {stage.service.replicas} replicas of {SERVICE}")

        async def up() -> list[Replica] | None:
            alive = [replica for replica in await stage.replicas() if replica.alive]
            return alive if len(alive) == stage.service.replicas else None

        alive = await self._until(up, 20, f"{stage.service.replicas} healthy replicas")
        pids = ", ".join(str(replica.pid) for replica in alive)
        self._display.done(f"{len(alive)} replicas of {SERVICE} are up (pids {pids})")

    async def _calm(self) -> None:
        """Send a little load, and measure what a request costs."""
        stage = self._stage
        self._display.begin("starting the load generator, measuring what a request costs")
        await stage.traffic.start(FIRST_RATE)
        began = await self._until(self._lines(1), 10, "a line of the load generator")
        cpu, answered = await stage.cpu_seconds(), stage.traffic.seen.ok
        await self._until(self._lines(began + 3), 10, "answers to the load")
        requests = stage.traffic.seen.ok - answered
        if requests <= 0:
            raise NotHappened(f"no request was answered: {stage.traffic.seen.errors}")
        self._cost = max(0.002, (await stage.cpu_seconds() - cpu) / requests)
        await stage.traffic.set_rate(self._rate(CALM))
        self._display.done(
            f"{stage.traffic.rate:.0f} requests a second; each costs {self._cost * 1000:.1f} ms of CPU, as measured"
        )

    async def _kill(self) -> None:
        stage = self._stage
        victim = next(replica for replica in await stage.replicas() if replica.alive)
        assert victim.pid is not None
        self._display.begin(f"killing replica {victim.id} (SIGKILL to pid {victim.pid})")
        os.kill(victim.pid, signal.SIGKILL)
        await stage.tell(KILLED, replica=victim.id, pid=victim.pid, signal="SIGKILL")
        facts = await self._until_fact(lambda facts: facts.failed is not None, 20, "service_health_check_failed")
        assert facts.failed is not None
        assert facts.killed is not None
        took = facts.failed.event.time - facts.killed.event.time
        self._display.done(
            f"replica killed; its health check failed after {took:.1f} s: {facts.failed.event.data['error']}"
        )

    async def _restarted(self) -> None:
        self._display.begin("service_restart_workflow restarts the service")
        await self._until_fact(
            lambda facts: facts.restart is not None and facts.restart.execution.status.finished,
            45,
            "the end of service_restart_workflow",
        )
        facts = await self._until_fact(lambda facts: facts.recovered is not None, 15, "service_health_check_recovered")
        assert facts.restart is not None
        assert facts.killed is not None
        if not facts.restart.succeeded:
            raise NotHappened(
                f"service_restart_workflow {facts.restart.execution.status.value}: {facts.restart.execution.error}"
            )
        ended = facts.restart.execution.finished_at or 0.0

        async def calm() -> float | None:
            usage = self._stage.since("cpu_usage", ended)
            return usage[-1] if usage and usage[-1] < THRESHOLD else None

        # Starting costs CPU as well: what is measured from here on must be the load alone.
        await self._until(calm, 15, f"CPU below {THRESHOLD:.0f} % after the restart", self._cpu)
        alive = [replica for replica in await self._stage.replicas() if replica.alive]
        took = ended - facts.killed.event.time
        self._display.done(f"restarted: {len(alive)} healthy replicas again {took:.1f} s after the kill")

    async def _busy(self) -> None:
        """Raise the load, and correct it by what is measured, until the alert fires."""
        stage = self._stage
        rate, before = self._rate(BUSY), stage.traffic.rate
        self._display.begin(f"raising the load from {before:.0f} to {rate:.0f} requests a second")
        await stage.traffic.set_rate(rate)
        await stage.tell(RAISED, **{"from": round(before, 1), "to": round(rate, 1)})
        checked = time.monotonic()

        async def fired() -> Facts | None:
            nonlocal checked
            facts = await read_facts(stage.engine.queries)
            if facts.firing is not None:
                return facts
            if time.monotonic() - checked >= 3.0:
                checked = time.monotonic()
                await self._correct(rate)
            return None

        facts = await self._until(fired, 30, "high_cpu_usage to fire", self._cpu)
        assert facts.firing is not None
        assert facts.raised is not None
        took = facts.firing.event.time - facts.raised.event.time
        self._display.done(f"high_cpu_usage fired after {took:.1f} s, at {facts.firing.event.data['value']:.0f} % CPU")

    async def _correct(self, first: float) -> None:
        usage = self._stage.since("cpu_usage", time.time() - 2.0)
        if not usage or abs(fmean(usage) / BUSY - 1) <= NEAR:
            return
        wanted = self._stage.traffic.rate * BUSY / max(10.0, fmean(usage))
        await self._stage.traffic.set_rate(min(max(wanted, first / FURTHEST), first * FURTHEST))

    async def _scaled(self) -> None:
        stage = self._stage
        self._display.begin("scale_infrastructure starts more replicas, notify_slack tells people")
        facts = await self._until_fact(
            lambda facts: facts.scaling is not None and facts.scaling.execution.status.finished,
            45,
            "the end of the alert's actions",
        )
        assert facts.scaling is not None
        if not facts.scaling.succeeded:
            raise NotHappened(f"high_cpu_usage {facts.scaling.execution.status.value}: {facts.scaling.execution.error}")
        rule = next(rule for rule in stage.engine.alerts.rules() if rule.name == "high_cpu_usage")
        said = next(action.parameters for action in rule.actions if action.type == "notify_slack")
        wanted = (said["channel"], said["message"])
        if wanted not in [(message.channel, message.text) for message in stage.receiver.messages]:
            raise NotHappened(f"Slack was not told {wanted[1]!r} in {wanted[0]}, but {stage.receiver.messages}")
        scale = facts.scaling.action("infrastructure.scale_infrastructure")
        assert scale is not None
        self._display.done(f"scaled from {scale.outputs['from']} to {scale.outputs['to']} replicas; Slack was told")

    async def _calmed(self) -> None:
        self._display.begin(f"CPU falls below {THRESHOLD:.0f} %")
        facts = await self._until_fact(lambda facts: facts.resolved is not None, 25, "alert.resolved", self._cpu)
        assert facts.resolved is not None

        since = facts.resolved.event.time

        async def settled() -> float | None:
            usage = self._stage.since("cpu_usage", since)[-3:]
            return fmean(usage) if len(usage) == 3 and fmean(usage) < THRESHOLD else None

        usage = await self._until(settled, 20, f"CPU to stay below {THRESHOLD:.0f} %", self._cpu)
        self._display.done(f"CPU is down to {usage:.0f} %; the alert is resolved")

    async def report(self) -> None:
        """Put on record what the load generator saw until now."""
        seen = self._stage.traffic.seen
        await self._stage.tell(
            REPORTED,
            sent=seen.sent,
            ok=seen.ok,
            failed=seen.failed,
            retried=seen.retried,
            availability_percent=round(seen.availability or 0.0, 3),
            slowest_p99_ms=seen.slowest_p99_ms,
            errors=seen.errors,
        )

    def _rate(self, percent: float) -> float:
        """The requests a second that make so much CPU usage on the replicas that the service begins with."""
        service = self._stage.service
        return percent / 100 * service.cpu * service.replicas / self._cost

    def _lines(self, count: int) -> Callable[[], Awaitable[int | None]]:
        async def enough() -> int | None:
            found = len(self._stage.traffic.seconds)
            return found if found >= count else None

        return enough

    def _cpu(self) -> str:
        usage = self._stage.since("cpu_usage", time.time() - 4.0)
        return f"CPU {', '.join(f'{value:.0f}' for value in usage[-4:])} %" if usage else "no CPU was measured"

    async def _until_fact(
        self, holds: Callable[[Facts], bool], seconds: float, what: str, why: Callable[[], str] | None = None
    ) -> Facts:
        async def found() -> Facts | None:
            facts = await read_facts(self._stage.engine.queries)
            return facts if holds(facts) else None

        return await self._until(found, seconds, what, why)

    async def _until(
        self,
        look: Callable[[], Awaitable[T | None]],
        seconds: float,
        what: str,
        why: Callable[[], str] | None = None,
    ) -> T:
        """What `look` finds, as soon as it finds something; raises NotHappened."""
        deadline = time.monotonic() + seconds
        while True:
            found = await look()
            if found is not None:
                return found
            if trouble := self._stage.traffic.trouble:
                raise NotHappened(trouble)
            if time.monotonic() >= deadline:
                raise NotHappened(f"waited {seconds:g} s for {what}" + (f"; {why()}" if why else ""))
            if why is not None:
                self._display.note(why())
            await asyncio.sleep(POLL_SECONDS)
